"""`snakemake --use-conda`, by a stand-in for conda: every rule in an environment that has all it imports."""

import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml
from dependencies import ENVIRONMENTS, OF_SNAKEMAKE, SCRIPTS, code_of, scripts_of_rules
from paper_replica import few_steps, write
from repository_paths import ROOT
from stand_in_conda import create, install, records

from patch2loc.configuration.method_names import configured

pytestmark = pytest.mark.workflow
SMALL = ROOT / "tests/slurm/small.yaml"
MADE = ".snakemake/conda"  # where Snakemake makes environments
TARGETS = {"all", "native_space"}  # rules that only gather
# What every script begins with, before the package of this repository: Snakemake's classes, from its own environment.
OF_THE_PREAMBLE = re.compile(r"snakemake(_interface_\w+)?")
IMPORT_ALL = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    importlib.import_module(name)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.fixture(scope="module")
def conda(tmp_path_factory):
    """Folder with the stand-in's commands and an environment of Snakemake."""
    folder = tmp_path_factory.mktemp("conda")
    install(folder)
    create(OF_SNAKEMAKE, folder / "snakemake")
    return folder


def snakemake(conda, folder, *arguments, root=ROOT, config=SMALL):
    """Run Snakemake from an environment of its own: nothing of the tests' environment is in its path."""
    command = [str(conda / "snakemake/bin/python"), "-m", "snakemake", "--snakefile", str(root / "Snakefile")]
    command += ["--configfile", str(config), "--workflow-profile", str(root / "profiles/default")]
    command += ["--use-conda", "--cores", "2", *arguments]
    environment = {name: os.environ[name] for name in ("HOME", "OMP_NUM_THREADS") if name in os.environ}
    environment["PATH"] = os.pathsep.join(
        [str(conda / "bin"), str(conda / "snakemake/bin"), "/usr/bin", "/bin"]
    )
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)


def environments_of_rules(folder):
    """{name in envs/: prefix} of the environments that Snakemake has made in a folder."""
    copies = {path.read_bytes(): path.with_suffix("") for path in (folder / MADE).glob("*.yaml")}
    return {
        name: copies[path.read_bytes()] for name, path in ENVIRONMENTS.items() if path.read_bytes() in copies
    }


def check_jobs(folder, result):
    """Every job of a run was done by the Python of its rule's environment, with packages of that alone."""
    assert result.returncode == 0, (result.stdout + result.stderr)[-6000:]
    statistics = re.search(
        r"^Job stats:\n.*\n-.*\n((?:.+\n)+?)total", result.stdout + result.stderr, re.MULTILINE
    )[1]
    jobs = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", statistics, re.MULTILINE)}
    done, environment_of = Counter(), {script.name: name for _, name, script in scripts_of_rules()}
    for name, prefix in environments_of_rules(folder).items():
        for job in records(prefix):
            done[job["rule"]] += 1
            assert environment_of[job["script"]] == name, job
            assert job["executable"] == str(prefix / "bin/python"), job
            assert [
                package for package in job["elsewhere"] if not OF_THE_PREAMBLE.fullmatch(package)
            ] == [], job
    assert done == {rule: count for rule, count in jobs.items() if rule not in TARGETS}
    return done


@pytest.mark.thorough
def test_a_run_makes_the_environments_that_it_needs_and_works_in_them(conda, tmp_path):
    subject = "results/small/raw/phantom_healthy/phantom_healthy_000/T1.nii.gz"
    result = snakemake(conda, tmp_path, "subject_lists", subject)
    assert check_jobs(tmp_path, result) == {"subject_lists": 1, "simulate_phantom": 1}
    assert set(environments_of_rules(tmp_path)) == {"imaging", "statistics"}
    assert "strict channel priorities" not in result.stderr


@pytest.mark.thorough
def test_a_package_that_an_environment_does_not_name_is_not_found_elsewhere(conda, tmp_path):
    """pandas is in the environment of Snakemake, whose path Snakemake gives to every script."""
    for name in ("rules", "envs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("Snakefile", "workflow", "config", "profiles", "splits", "CITATION.cff"):
        (tmp_path / name).symlink_to(ROOT / name)
    environment = tmp_path / "envs/statistics.yaml"
    lines = environment.read_text().splitlines(keepends=True)
    for package in ("pandas", "nilearn"):  # nilearn brings pandas
        (line,) = [line for line in lines if package in line]
        lines.remove(line)
    environment.write_text("".join(lines))
    result = snakemake(conda, tmp_path, "subject_lists", root=tmp_path)
    assert result.returncode != 0
    said = result.stdout + result.stderr
    assert "ModuleNotFoundError: No module named 'pandas'" in said
    prefix = re.search(r"^The environment of this rule is (.+)", said, re.MULTILINE)[1]
    assert Path(prefix).parent == tmp_path / MADE
    assert Path(f"{prefix}.yaml").read_text() == "".join(lines)


def test_a_version_that_is_not_to_be_had_is_named(tmp_path):
    path = tmp_path / "odd.yaml"
    path.write_text("dependencies:\n  - python=3.10\n  - numpy=0.1\n  - pandas\n  - no-such-package=1\n")
    with pytest.raises(SystemExit, match=r"python=3.10 .*, numpy=0.1 .*, no-such-package=1 \(here: None\)$"):
        create(path, tmp_path / "prefix")


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_module_of_its_rules_can_be_imported_in_an_environment(name, tmp_path):
    create(ENVIRONMENTS[name], tmp_path / name)
    paths = [path.relative_to(SCRIPTS).with_suffix("") for path in code_of(name)]
    modules = [
        ".".join(path.parts).removesuffix(".__init__")
        for path in paths
        if len(path.parts) > 1  # others are scripts, which run when they are imported
    ]
    python = tmp_path / name / "bin/python"
    result = subprocess.run(
        [python, "-W", "ignore", "-c", IMPORT_ALL, SCRIPTS, *modules],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    imported = set(result.stdout.split())
    assert len(modules) > 20
    assert {"torch", "SimpleITK"} & imported == {"imaging": {"SimpleITK"}, "statistics": set()}.get(
        name, {"torch", "SimpleITK"}
    )


@pytest.mark.slow
def test_a_whole_run_with_every_method(conda, tmp_path):
    config = yaml.safe_load(SMALL.read_text(encoding="utf-8"))
    methods = configured("all")
    config["methods"] = "all"
    config["method_settings"] = few_steps(methods)
    config["combinations"] = {"both": {"of": ["patch2loc", "dae"], "by": "rank_average"}}
    config["budget"] = "smoke"
    config["training"] |= {"patches": 4096, "validations": 2}
    lesion = config["datasets"]["phantom_stroke"]
    config["datasets"]["patients"] = {**lesion, "title": "patients", "role": "unlabeled"}
    path = write(config, tmp_path / "every_method.yaml")
    jobs = check_jobs(tmp_path, snakemake(conda, tmp_path, *sorted(TARGETS), config=path))
    assert set(environments_of_rules(tmp_path)) == set(ENVIRONMENTS)
    assert {"train", "score", "combine", "calibrate", "carry_back", "patient", "crate"} <= set(jobs)
    table = pd.read_csv(tmp_path / "results/small/tables/table1.csv")
    assert set(methods) <= set(table["method"])
    again = snakemake(conda, tmp_path, *sorted(TARGETS), config=path)
    assert "Nothing to be done" in again.stdout + again.stderr
