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
from dependencies import SCRIPTS, canonical, pins, third_party
from repository_paths import ROOT

DOCKERFILE = ROOT / "workflow" / "Dockerfile"
DEFINITION = ROOT / "workflow" / "apptainer.def"
ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))
CONDA_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib"}


def pins_of(path):
    """{package: version} of a conda environment, by its names on PyPI."""
    dependencies = yaml.safe_load(path.read_text())["dependencies"]
    listed = [entry.split("=") for entry in dependencies if isinstance(entry, str) and "=" in entry]
    listed += [pin.split("==") for entry in dependencies if isinstance(entry, dict) for pin in entry["pip"]]
    return {CONDA_NAMES.get(name, canonical(name)): version for name, version in listed}


def rules_with_scripts():
    """(rule, environment, script) of every rule in rules/*.smk."""
    constants = {"IMAGING": "imaging", "NETWORK": "network", "STATISTICS": "statistics"}
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for block in re.split(r"^(?=rule \w+:)", path.read_text(), flags=re.MULTILINE)[1:]:
            name = re.match(r"rule (\w+):", block).group(1)
            script = re.search(r'script:\s*"\.\./workflow/scripts/(\w+\.py)"', block)
            environment = re.search(r"conda:\s*(\w+)", block)
            if script:
                yield pytest.param(constants[environment.group(1)], script.group(1), id=name)


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_environment_has_the_versions_of_requirements(path):
    locked, found = pins(), pins_of(path)
    found.pop("python")
    assert found == {name: locked[name] for name in found}


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_environment_takes_nothing_from_the_default_channels(path):
    environment = yaml.safe_load(path.read_text())
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    python = tuple(map(int, pins_of(path)["python"].split(".")))
    assert python >= (3, 11)


@pytest.mark.parametrize(("environment", "script"), list(rules_with_scripts()))
def test_environment_has_what_the_script_of_a_rule_imports(environment, script):
    has = set(pins_of(ROOT / "envs" / f"{environment}.yaml"))
    assert third_party(SCRIPTS / script) <= has


def test_every_environment_and_the_image_have_the_same_python():
    image = re.findall(r"^FROM python:(\d+\.\d+)-", DOCKERFILE.read_text(), re.MULTILINE)
    assert image == ["3.11"]
    every = [*ENVIRONMENTS, *(ROOT / "envs" / "tools").glob("*.yaml")]
    assert {pins_of(path)["python"] for path in every} == set(image)
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


def sections(path):
    """{section: its lines} of a definition of Apptainer, comments left out; "" is its header."""
    name, found = "", {"": []}
    for line in path.read_text().splitlines():
        if line.startswith("%"):
            name = line.removeprefix("%").strip()
            found[name] = []
        elif line.strip() and not line.startswith("#"):
            found[name].append(line.strip())
    return found


def test_the_definition_for_apptainer_is_of_the_same_base_and_lock_as_the_image():
    definition, image = sections(DEFINITION), DOCKERFILE.read_text()
    base = re.search(r"^FROM (\S+)$", image, re.MULTILINE)[1]
    assert definition[""] == ["Bootstrap: docker", f"From: {base}"]
    assert definition["arguments"] == [f"LOCK={re.search(r'^ARG LOCK=(.+)$', image, re.MULTILINE)[1]}"]
    copied = dict(line.split() for line in definition["files"])
    assert list(copied) == re.search(r"^COPY (.+) \./$", image, re.MULTILINE)[1].split()
    assert all((ROOT / source).is_file() for source in copied)
    (installing,) = definition["post"]
    assert installing.endswith("python -m pip install -r /opt/patch2loc/{{ LOCK }}")
    assert set(copied.values()) == {f"/opt/patch2loc/{source}" for source in copied}
    # Both start the same program, and set the same variables for it; the image also names what a user by number lacks.
    entry = json.loads(re.search(r"^ENTRYPOINT (.+)", image, re.MULTILINE)[1])
    assert definition["runscript"] == [f'exec {" ".join(entry)} "$@"']
    variables = re.search(r"^ENV ((?:.+\\\n)*.+)", image, re.MULTILINE)[1].replace("\\\n", " ").split()
    given = {
        *definition["environment"][0].removeprefix("export ").split(),
        *installing.split(" python ")[0].split(),
    }
    assert given == {variable for variable in variables if not variable.startswith(("HOME=", "LOGNAME="))}


def test_a_user_that_is_given_by_a_number_has_a_name_and_a_home_in_the_image():
    """As `docker run --user` in docs/how-to/operations.md: Snakemake asks for the name, and fails without."""
    variables = re.search(r"^ENV ((?:.+\\\n)*.+)", DOCKERFILE.read_text(), re.MULTILINE)[1].replace(
        "\\\n", " "
    )
    environment = dict(variable.split("=") for variable in variables.split())
    assert "--user" in (ROOT / "docs/how-to/operations.md").read_text()
    code = "import os; os.getuid = lambda: 2**31 - 7; import getpass; print(getpass.getuser(), os.path.expanduser('~'))"
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert said.stdout.split() == [environment["LOGNAME"], environment["HOME"]], said.stderr


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
    assert set(usage) <= {"mandatory-flags", "software-stack-deployment", "report"}
    deployment = usage["software-stack-deployment"]
    assert deployment["conda"] is bool(re.search(r"^ +conda:", rules, re.MULTILINE))
    contained = bool(re.search(r"^ *container(?:ized)?:", rules, re.MULTILINE))
    assert deployment["apptainer"] is deployment["apptainer+conda"] is contained
    assert usage["report"] is ("report(" in rules)
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
    assert {path.name for path in ENVIRONMENTS} <= set(re.findall(r"([\w-]+\.yaml) will be created", said))
