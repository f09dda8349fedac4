"""What a run of the workflow does: what it plans, refuses and does again, alone in its folder, and after a kill."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
import yaml
from workflow_runs import ROOT, TINY, run, snakemake

pytestmark = pytest.mark.workflow


def test_a_second_run_does_nothing(finished):
    result = run(finished)
    assert result.returncode == 0
    assert result.stdout.startswith("nothing to do")


def jobs(folder, root):
    """Rules that a dry run would run, with their counts."""
    result = snakemake(folder, "--dry-run", root=root)
    assert result.returncode == 0, result.stderr[-3000:]
    said = result.stdout + result.stderr
    rules = re.findall(r"^\s*(?:local)?rule (\w+):", said, re.MULTILINE)  # indented in a group
    assert rules or "Nothing to be done" in said
    return Counter(rule for rule in rules if rule != "all")


@pytest.fixture
def copy_of_the_workflow(tmp_path):
    for part in ("Snakefile", "rules", "workflow", "config", "envs", "profiles", "tests"):
        source = ROOT / part
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, tmp_path / part)
    return tmp_path


@pytest.mark.parametrize(
    ("module", "expected", "untouched"),
    [
        ("metrics.py", {"evaluate", "table1", "report_page"}, {"preprocess", "train", "score"}),
        (
            "methods/thresh.py",
            {"score", "evaluate", "table1"},
            {"preprocess", "landmarks", "analyse_patches"},
        ),
        ("figures/kde.py", {"fig3", "fig6"}, {"preprocess", "train", "score", "evaluate"}),
        ("preprocess/bias.py", {"preprocess", "landmarks", "train", "score"}, {"simulate_phantom"}),
    ],
)
def test_an_edited_module_reruns_what_depends_on_it(
    finished, copy_of_the_workflow, module, expected, untouched
):
    # These read files of the repository, which the copy has elsewhere.
    assert jobs(finished, copy_of_the_workflow).keys() <= {"table1", "table2", "viewer", "report_page"}
    with open(copy_of_the_workflow / "workflow/scripts/patch2loc" / module, "a") as stream:
        stream.write("\n# edited\n")
    planned = jobs(finished, copy_of_the_workflow)
    assert expected <= planned.keys()
    assert not untouched & planned.keys()
    if module == "methods/thresh.py":
        assert planned["train"] == 2  # thresh on T1 and T2; the other methods' models stay


def test_missing_data_stop_the_paper_at_once(tmp_path):
    for part in ("config", "splits"):
        shutil.copytree(ROOT / part, tmp_path / part)
    start = time.monotonic()
    result = snakemake(tmp_path, "--dry-run", config=ROOT / "config/config.yaml")
    said = result.stdout + result.stderr
    assert result.returncode != 0
    assert time.monotonic() - start < 30
    for name in ("ixi_t1", "ixi_t2", "brats21", "mslub", "atlas", "wmh", "sri24"):
        assert re.search(rf"^\s+{name}: \d+ files missing, the first is data/", said, re.MULTILINE), name
    assert said.count("Data are missing") == 1
    assert "make demo" in said


def test_targets_read_like_a_table_of_contents(tmp_path):
    result = snakemake(tmp_path, "--list-target-rules")
    rules = dict(re.findall(r"^(\w+) \((.+)\)$", result.stdout, re.MULTILINE))
    assert {
        "all",
        "table1",
        "table2",
        *(f"fig{n}" for n in range(2, 8)),
        "models",
        "heatmaps",
    } <= rules.keys()


def test_unknown_keys_are_refused(tmp_path):
    config = yaml.safe_load(TINY.read_text())
    config["learnig_rate"] = 1
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    result = snakemake(tmp_path, "--dry-run", config=tmp_path / "config.yaml")
    assert result.returncode != 0
    assert "learnig_rate" in result.stdout + result.stderr


def start(folder):
    """A run with a parent, as make is one; both in a process group of their own."""
    command = [sys.executable, str(ROOT / "workflow/run.py"), str(TINY), "--cores", "2"]
    return subprocess.Popen(
        ["sh", "-c", f"{shlex.join(command)}; true"],
        cwd=folder,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for_rule(process, folder, rule):
    """Wait until a run has begun a rule."""
    log = folder / "results/tiny/snakemake.log"
    while process.poll() is None:
        if log.exists() and re.search(rf"^\s*(?:local)?rule {rule}:", log.read_text(), re.MULTILINE):
            return
        time.sleep(0.05)
    pytest.fail(f"{rule} was never seen")


def at_work_in(folder):
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == folder:
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_one_run_at_a_time_and_none_left_behind(tmp_path):
    process = start(tmp_path)
    wait_for_rule(process, tmp_path, "simulate_phantom")
    second = run(tmp_path)
    assert second.returncode != 0
    assert "another run is at work" in second.stderr
    process.kill()  # the parent alone
    process.wait()
    deadline = time.monotonic() + 20
    while at_work_in(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not at_work_in(tmp_path)


def tables(folder):
    return {
        path.name: path.read_bytes()
        for path in (folder / "results/tiny/tables").glob("*")
        if not path.name.endswith(".json")
    }


STAGES = [
    "simulate_phantom",
    "preprocess",
    "landmarks",
    "train",
    "score",
    "evaluate",
    "table1",
    "report_page",
]


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["group", "parent"])
def test_kills_in_every_stage_change_no_table(finished, tmp_path, victim):
    for stage in STAGES:
        (tmp_path / "results/tiny/snakemake.log").unlink(missing_ok=True)
        process = start(tmp_path)
        wait_for_rule(process, tmp_path, stage)
        time.sleep(1.5 if stage in ("train", "score") else 0.5)
        if victim == "group":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        time.sleep(1)
    result = run(tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    assert tables(tmp_path) == tables(finished)


@pytest.mark.slow
def test_the_same_configuration_gives_the_same_tables(finished, tmp_path):
    assert run(tmp_path).returncode == 0
    assert tables(tmp_path) == tables(finished)
