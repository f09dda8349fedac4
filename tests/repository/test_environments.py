"""Pins of requirements.txt, envs/*.yaml and the image agree, and each environment has what its rules import."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version

import pytest
import yaml
from dependencies import (
    ENVIRONMENTS,
    OF_SNAKEMAKE,
    code_of,
    code_of_planning,
    environment_pins,
    pins,
    scripts_of_rules,
    used_packages,
)
from repository_paths import ROOT

DOCKERFILE = ROOT / "workflow" / "Dockerfile"
EVERY_ENVIRONMENT = sorted((ROOT / "envs").rglob("*.yaml"))
PINNED_BY_THE_LOCK = [*ENVIRONMENTS.values(), OF_SNAKEMAKE]


@pytest.mark.parametrize("path", PINNED_BY_THE_LOCK, ids=lambda path: path.stem)
def test_environment_has_the_versions_of_requirements(path):
    locked, found = pins(), environment_pins(path)
    assert found.pop("pip", "") == ""  # for packages that are on PyPI alone
    found.pop("python")
    assert found == {name: locked[name] for name in found}


@pytest.mark.parametrize("path", EVERY_ENVIRONMENT, ids=lambda path: path.stem)
def test_environment_takes_nothing_from_the_default_channels(path):
    environment = yaml.safe_load(path.read_text())
    bioconda = ["bioconda"] if path == OF_SNAKEMAKE else []  # has Snakemake
    assert environment["channels"] == ["conda-forge", *bioconda, "nodefaults"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_environment_has_what_its_rules_import_and_nothing_else(environment):
    named = set(environment_pins(ENVIRONMENTS[environment])) - {"python", "pip"}
    assert named == used_packages(code_of(environment))


def test_the_environment_of_snakemake_has_what_planning_imports_and_nothing_else():
    named = set(environment_pins(OF_SNAKEMAKE)) - {"python", "pip"}
    assert named == used_packages(code_of_planning()) | {"snakemake"}


def test_tables_need_no_network_and_planning_neither_network_nor_scans():
    statistics, planning = (environment_pins(path) for path in (ENVIRONMENTS["statistics"], OF_SNAKEMAKE))
    assert not {"torch", "torchvision", "simpleitk"} & {*statistics, *planning}
    assert not {"scipy", "nibabel", "matplotlib"} & set(planning)


def test_every_rule_with_an_environment_is_read():
    rules = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "rules").glob("*.smk"))
    assert len(scripts_of_rules()) == len(re.findall(r"^ +conda:$", rules, re.MULTILINE))
    assert {environment for _, environment, _ in scripts_of_rules()} == set(ENVIRONMENTS)


def test_every_environment_and_the_image_have_the_same_python():
    image = re.findall(r"^FROM python:(\d+\.\d+)-", DOCKERFILE.read_text(), re.MULTILINE)
    assert image == ["3.11"]
    assert {environment_pins(path)["python"] for path in EVERY_ENVIRONMENT} == set(image)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={image[0]}"


def test_the_image_installs_a_lock_and_the_package_and_nothing_else():
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text())
    runs = re.findall(r"^RUN (.+)", text, re.MULTILINE)
    assert [run for run in runs if "install" in run] == [
        "python -m pip install -r $LOCK",
        "python -m pip install --no-deps --no-build-isolation --editable .",
    ]
    assert re.search(r"^ARG LOCK=(.+)", text, re.MULTILINE)[1] == "requirements.txt"
    assert re.findall(r"^COPY (.+) \S+", text, re.MULTILINE) == ["requirements.txt requirements-cpu.txt", "."]
    assert (ROOT / "workflow" / "run.py").is_file()
    entry = json.loads(re.search(r"^ENTRYPOINT (.+)", text, re.MULTILINE)[1])
    arguments = json.loads(re.search(r"^CMD (.+)", text, re.MULTILINE)[1])
    assert entry == ["python", "workflow/run.py"]
    assert all((ROOT / path).is_file() for path in [entry[1], *arguments])


def test_the_image_leaves_out_what_git_leaves_out():
    ignored = (ROOT / "workflow" / "Dockerfile.dockerignore").read_text().splitlines()
    for name in ("results", "data", ".venv", ".snakemake", ".git", "**/__pycache__"):
        assert name in ignored


def test_the_executor_of_the_cluster_profile_is_pinned():
    profile = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text())
    plugin = f"snakemake-executor-plugin-{profile['executor']}"
    assert version(plugin) == pins()[plugin]


def test_the_catalog_entry_says_what_is_there():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    rules = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    assert set(usage) <= {"mandatory-flags", "software-stack-deployment"}
    deployment = usage["software-stack-deployment"]
    assert set(deployment) == {"conda", "apptainer", "apptainer+conda", "report"}
    assert deployment["conda"] is bool(re.search(r"^ +conda:", rules, re.MULTILINE))
    contained = bool(re.search(r"^ *container(?:ized)?:", rules, re.MULTILINE))
    assert deployment["apptainer"] is deployment["apptainer+conda"] is contained
    assert deployment["report"] is ("report(" in rules)
    # What the catalog asks for beside the entry.
    for path in ("workflow/Snakefile", "config/README.md", "README.md", "LICENSE"):
        assert (ROOT / path).is_file()


@pytest.mark.workflow
@pytest.mark.skipif(
    not (shutil.which("conda") or shutil.which("mamba")),
    reason="conda is not installed: whether it can solve envs/*.yaml is not tested here",
)
def test_conda_plans_its_environments(tmp_path):
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--configfile", str(ROOT / "tests" / "tiny.yaml"), "--cores", "1", "--use-conda", "-n"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    said = result.stdout + result.stderr
    assert {path.name for path in ENVIRONMENTS.values()} <= set(
        re.findall(r"([\w-]+\.yaml) will be created", said)
    )
