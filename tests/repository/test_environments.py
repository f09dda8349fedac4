"""Pins of requirements.txt, envs/*.yaml and the image agree, and each environment has what its rules import."""

import csv
import json
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections import defaultdict
from datetime import date
from importlib.metadata import version
from pathlib import Path

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
from replica import serve
from repository_paths import ROOT

from patch2loc.commands.command_line import command_parser
from patch2loc.preprocess.external_tools import TOOLS

DOCKERFILE = ROOT / "workflow" / "Dockerfile"
DEFINITION = ROOT / "workflow" / "apptainer.def"
EVERY_ENVIRONMENT = sorted((ROOT / "envs").rglob("*.yaml"))
RECORD = ROOT / "envs" / "conda-forge-versions.csv"
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
    assert environment["channels"] == ["conda-forge", "nodefaults"]


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
    folder = re.search(r"^WORKDIR (.+)", text, re.MULTILINE)[1]
    shell, entry = json.loads(re.search(r"^ENTRYPOINT (.+)", text, re.MULTILINE)[1])
    assert shell == "/bin/sh"
    assert (ROOT / Path(entry).relative_to(folder)).is_file()


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        (["--help"], ["--help"]),
        (["detect", "a bids", "-o", "out"], ["detect", "a bids", "-o", "out"]),
        (["train", "config/demo.yaml", "--cores", "2"], ["train", "config/demo.yaml", "--cores", "2"]),
        (
            ["a bids", "out", "participant", "--strict"],
            ["detect", "a bids", "out", "participant", "--strict"],
        ),
        (["a bids", "out", "group"], ["detect", "a bids", "out", "group"]),
    ],
)
def test_the_image_runs_the_command_and_is_called_like_a_bids_app(given, passed, tmp_path):
    (tmp_path / "a bids").mkdir()
    command = tmp_path / "patch2loc"
    command.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    command.chmod(0o755)
    said = subprocess.run(
        ["/bin/sh", str(ROOT / "workflow/entrypoint.sh"), *given],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.splitlines() == passed


def test_the_kubernetes_job_calls_detect_on_a_folder_that_it_mounts():
    page = (ROOT / "docs/how-to/operations.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```yaml\n(apiVersion: batch/v1\n.*?)^```", page, re.MULTILINE | re.DOTALL)
    job = yaml.safe_load(text)
    pod = job["spec"]["template"]["spec"]
    assert pod["restartPolicy"] in ("Never", "OnFailure")  # all that a Job may have
    (container,) = pod["containers"]
    (mount,) = container["volumeMounts"]
    assert [volume["name"] for volume in pod["volumes"]] == [mount["name"]]
    arguments = command_parser().parse_args(container["args"])
    for path in (*arguments.scans, arguments.output):
        assert Path(path).is_relative_to(mount["mountPath"])


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
    assert definition["runscript"] == ['exec python workflow/run.py "$@"']  # of the clone
    assert (ROOT / "workflow/run.py").is_file()
    # Both set the same variables; the image also names what a user by number lacks.
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


def recorded_versions():
    """{package by its name on conda-forge: versions that it is known to have}."""
    recorded = defaultdict(set)
    with open(RECORD, encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            recorded[row["package"]].add(row["version"])
    return recorded


def pins_of_channels():
    """{package by its name on conda-forge: pinned version} of all environments, without those that pip installs."""
    entries = [
        entry for path in EVERY_ENVIRONMENT for entry in yaml.safe_load(path.read_text())["dependencies"]
    ]
    pins = dict(entry.split("=") for entry in entries if isinstance(entry, str) and "=" in entry)
    return {name: version for name, version in sorted(pins.items()) if name != "python"}


def test_every_row_of_the_record_says_what_was_read_where_and_when():
    with open(RECORD, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["package"] for row in rows} <= set(pins_of_channels())
    for row in rows:
        assert row["source"]
        assert date.fromisoformat(row["read"]) <= date.today()
        if row["file"]:
            assert row["file"].partition("/")[2].startswith(f"{row['package']}-{row['version']}-")


def test_what_comes_from_conda_forge_is_known_to_be_there():
    """All other packages come by pip from PyPI, which has the versions of the lock."""
    pins, recorded = pins_of_channels(), recorded_versions()
    assert {name for name, version in pins.items() if version not in recorded[name]} == set()


def test_hd_bet_is_one_version_everywhere():
    pin = "hd-bet==" + environment_pins(ROOT / "envs/tools/hdbet.yaml")["hd-bet"]
    assert pin in TOOLS["hd-bet"].install
    assert pin in (ROOT / "docs/explanation/preprocessing.md").read_text(encoding="utf-8")


def answer_of_anaconda(*files):
    """What the server of channels answers about a package of these (version, platform, build, label)."""
    return json.dumps(
        {
            "files": [
                {
                    "version": version,
                    "basename": f"{platform}/made-up-{version}-{build}_0.conda",
                    "attrs": {"subdir": platform, "build": f"{build}_0"},
                    "labels": [label],
                    "upload_time": f"2026-01-{day:02}",
                }
                for day, (version, platform, build, label) in enumerate(files, start=1)
            ]
        }
    ).encode()


def test_pins_are_looked_up_and_recorded(tmp_path):
    """At a server of this machine, whose channels have every pin but two: one is withdrawn, one for another Python."""
    pins, output = pins_of_channels(), tmp_path / "versions.csv"
    answers = {
        f"/package/conda-forge/{name}": answer_of_anaconda((version, "noarch", "pyhd8ed1ab", "main"))
        for name, version in pins.items()
    }
    answers["/package/conda-forge/numpy"] = answer_of_anaconda(
        (pins["numpy"], "linux-64", "py311h1", "main"),
        (pins["numpy"], "linux-64", "py312h1", "main"),
        ("99.0", "linux-64", "py311h1", "main"),
    )
    answers["/package/conda-forge/scipy"] = answer_of_anaconda((pins["scipy"], "noarch", "py", "broken"))
    answers["/package/conda-forge/tabulate"] = answer_of_anaconda(
        ("0.1", "linux-64", "py311h1", "main"),
        (pins["tabulate"], "linux-64", "py312h1", "main"),
        (pins["tabulate"], "osx-64", "py311h1", "main"),
    )
    with serve(answers) as server:
        command = [
            sys.executable,
            str(ROOT / "envs/check_pins.py"),
            "--api",
            server.address,
            "--output",
            str(output),
        ]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        address = server.address
    assert result.returncode == 1, result.stderr
    assert result.stdout.splitlines() == [
        f"scipy: nothing is the newest of {address}/package/conda-forge/scipy, {pins['scipy']} expected",
        f"tabulate: 0.1 is the newest of {address}/package/conda-forge/tabulate, {pins['tabulate']} expected",
    ]
    with open(output, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["file"] for row in rows if row["package"] == "numpy"] == [
        f"linux-64/made-up-{pins['numpy']}-py311h1_0.conda",
        "linux-64/made-up-99.0-py311h1_0.conda",
    ]
    assert {row["package"] for row in rows} == set(pins) - {"scipy"}
    with open(RECORD, encoding="utf-8", newline="") as stream:
        assert csv.DictReader(stream).fieldnames == list(rows[0])


def test_nothing_is_recorded_when_the_server_cannot_be_reached(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    output = tmp_path / "versions.csv"
    command = [sys.executable, str(ROOT / "envs/check_pins.py"), "--api", f"http://127.0.0.1:{port}"]
    result = subprocess.run([*command, "--output", str(output)], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert re.search(rf"^http://127.0.0.1:{port}: .*refused.* nothing was recorded$", result.stderr)
    assert not output.exists()


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
