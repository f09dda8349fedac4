"""Pins of requirements.txt, envs/*.yaml and the image agree, and each environment has what its rules import."""

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import version

import pytest
import yaml
from repository_paths import ROOT

SCRIPTS = ROOT / "workflow" / "scripts"
DOCKERFILE = ROOT / "workflow" / "Dockerfile"
ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))
CONDA_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib"}
IMPORT_NAMES = {
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
    "intensity_normalization": "intensity-normalization",
    "PIL": "matplotlib",  # which cannot do without pillow
    "mpl_toolkits": "matplotlib",
}


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements():
    """{package: version} of requirements.txt, and {package: marker}."""
    pins, markers = {}, {}
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            pin, _, marker = line.partition(" ; ")
            name, version = pin.split("==")
            pins[canonical(name)], markers[canonical(name)] = version, marker
    return pins, markers


def pins_of(path):
    """{package: version} of a conda environment, by its names on PyPI."""
    dependencies = yaml.safe_load(path.read_text())["dependencies"]
    listed = [entry.split("=") for entry in dependencies if isinstance(entry, str) and "=" in entry]
    listed += [pin.split("==") for entry in dependencies if isinstance(entry, dict) for pin in entry["pip"]]
    return {CONDA_NAMES.get(name, canonical(name)): version for name, version in listed}


@cache
def imported(path):
    """What a file imports: (files of this package or beside it, packages from outside)."""
    files, packages = set(), set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            top = name.split(".")[0]
            if top == "patch2loc" or (SCRIPTS / f"{top}.py").is_file():
                base = SCRIPTS.joinpath(*name.split("."))
                files.update(
                    file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()
                )
            elif top not in sys.stdlib_module_names:
                packages.add(IMPORT_NAMES.get(top, canonical(top)))
    return files, packages


def third_party(path):
    """Packages from outside that a script or module imports, directly or through this package."""
    waiting, seen, found = [path], set(), set()
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            files, packages = imported(file)
            waiting.extend(files)
            found |= packages
    return found


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
    pins, _ = requirements()
    found = pins_of(path)
    found.pop("python")
    assert found == {name: pins[name] for name in found}


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


def test_requirements_hold_every_dependency_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {canonical(re.match(r"[\w.-]+", entry).group()) for entry in project["dependencies"]}
    assert asked <= set(requirements()[0])


def test_gpu_libraries_are_asked_for_on_linux_only():
    pins, markers = requirements()
    gpu = {name for name in pins if name.startswith(("nvidia-", "cuda-", "triton"))}
    assert len(gpu) > 10
    assert {markers[name] for name in gpu} == {'platform_system == "Linux" and platform_machine == "x86_64"'}
    assert not any(markers[name] for name in set(pins) - gpu)


def test_every_module_of_the_package_finds_its_imports_in_requirements():
    pins, _ = requirements()
    absent = {
        str(path.relative_to(SCRIPTS)): sorted(third_party(path) - set(pins))
        for path in SCRIPTS.rglob("*.py")
        if third_party(path) - set(pins)
    }
    assert absent == {}


def test_every_environment_and_the_image_have_the_same_python():
    image = re.findall(r"^FROM python:(\d+\.\d+)-", DOCKERFILE.read_text(), re.MULTILINE)
    assert image == ["3.11"]
    every = [*ENVIRONMENTS, *(ROOT / "envs" / "tools").glob("*.yaml")]
    assert {pins_of(path)["python"] for path in every} == set(image)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={image[0]}"


def test_the_image_installs_requirements_and_nothing_else():
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text())
    runs = re.findall(r"^RUN (.+)", text, re.MULTILINE)
    assert [run for run in runs if "install" in run] == ["python -m pip install -r requirements.txt"]
    copied = re.findall(r"^COPY (\S+) ", text, re.MULTILINE)
    assert copied[0] == "requirements.txt"
    assert "." in copied
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
    pins, _ = requirements()
    assert f"snakemake-executor-plugin-{profile['executor']}" in pins
    installed = version(f"snakemake-executor-plugin-{profile['executor']}")
    assert installed == pins[f"snakemake-executor-plugin-{profile['executor']}"]


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
