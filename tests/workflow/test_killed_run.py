"""What workflow/run.py does with the jobs of a run that was killed, without running Snakemake."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
from workflow_runs import ROOT, at_work_in, end_all, wait_for_the_end, with_a_parent

from patch2loc.watching.killed_run import clean_up, is_at_work

HOLD = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print(flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def runner(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("runner", ROOT / "workflow/run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    return module


@pytest.fixture
def job(runner):
    """A process in a group and in the folder of a run, as Snakemake and its jobs are."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def killed_run(runner, tmp_path, job):
    """The results folder that a killed run left behind: its job is at work, a file is half written."""
    results = tmp_path / "results"
    results.mkdir()
    (results / ".run.json").write_text(json.dumps({"group": job.pid}))
    (results / f".partial-{job.pid}-0123abcd-table1.csv").write_text("half")
    (results / "table2.csv").write_text("whole")
    return results


def test_the_next_run_ends_the_jobs_of_a_killed_one_and_removes_what_they_had_begun(job, killed_run):
    clean_up(killed_run)
    assert not psutil.pid_exists(job.pid)
    assert [path.name for path in killed_run.iterdir()] == ["table2.csv"]
    clean_up(killed_run)  # nothing is left to do


def test_temporary_files_of_a_process_at_work_stay(job, tmp_path):
    """Those of a number that another process has been given since are removed."""
    path = tmp_path / f".partial-{job.pid}-0123abcd-heatmap.nii.gz"
    path.touch()
    assert is_at_work(job.pid, path)
    os.utime(path, (0, 0))  # older than the process
    assert not is_at_work(job.pid, path)
    path.touch()
    job.kill()
    while psutil.Process(job.pid).status() != psutil.STATUS_ZOMBIE:
        pass
    assert not is_at_work(job.pid, path)
    assert not is_at_work(2**33, path)


@pytest.mark.parametrize("content", ["", '{"group": 12', "[1, 2]", '{"group": null}', "{}", "\x00"])
def test_a_damaged_record_of_a_killed_run_is_named_and_nothing_removed(
    content, runner, killed_run, monkeypatch
):
    (killed_run / ".run.json").write_text(content)
    (killed_run.parent / "own.yaml").write_text("results: results\n")
    monkeypatch.setattr(sys, "argv", ["run.py", "own.yaml"])
    before = sorted(killed_run.iterdir())
    with pytest.raises(SystemExit) as end:
        runner.main()
    assert re.match(
        r"results/\.run\.json: damaged, the process group of a killed run expected", end.value.code
    )
    assert sorted(set(killed_run.iterdir()) - {killed_run / ".run.lock"}) == before


SNAKEMAKE = """
import os, time
from pathlib import Path
Path("results", f".partial-{os.getpid()}-0123abcd-model").write_text("half")
Path("results/table2.csv").write_text("whole")
print("rule train:", flush=True)
time.sleep(60)
"""
RUN = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("runner", {str(ROOT / "workflow/run.py")!r})
runner = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runner)
runner.SNAKEMAKE = [sys.executable, "-c", {SNAKEMAKE!r}]
sys.argv = ["run.py", "own.yaml"]
sys.exit(runner.main())
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_leaves_its_results_and_nothing_half(number, status, tmp_path):
    (tmp_path / "own.yaml").write_text("results: results\n")
    log = tmp_path / "results/snakemake.log"
    process = subprocess.Popen(
        [sys.executable, "-c", RUN], cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not (log.exists() and "rule train" in log.read_text()):
        assert process.poll() is None, process.communicate()[1]
    process.send_signal(number)
    said = process.communicate()[1]
    assert process.returncode == status
    assert f"results: stopped by {number.name}; finished results are kept; run the same command again" in said
    assert "Traceback" not in said
    left = {path.name for path in (tmp_path / "results").iterdir()}
    assert left == {".run.lock", "snakemake.log", "table2.csv"}
    assert at_work_in(tmp_path) == []


def begun_by_a_shell(folder, hangup):
    """A run at work, and the shell that is its parent; hangup: what both do at SIGHUP."""
    (folder / "own.yaml").write_text("results: results\n")
    log = folder / "results/snakemake.log"
    shell = with_a_parent([sys.executable, "-c", RUN], folder, hangup)
    while not (log.exists() and "rule train" in log.read_text()):
        assert shell.poll() is None, (folder / "said").read_text()
    return shell


def test_a_run_ends_with_the_shell_that_started_it_and_says_so(tmp_path):
    shell = begun_by_a_shell(tmp_path, signal.SIG_DFL)
    shell.kill()
    shell.wait()
    wait_for_the_end(tmp_path)
    assert (
        "results: ended, as the shell or make that started this run is gone"
        in (tmp_path / "said").read_text()
    )


def test_a_run_under_nohup_outlives_the_shell_that_started_it(tmp_path):
    shell = begun_by_a_shell(tmp_path, signal.SIG_IGN)
    shell.kill()
    shell.wait()
    time.sleep(3)  # six looks of a run that ends with its parent
    try:
        assert len(at_work_in(tmp_path)) == 2  # run.py and what it runs
        assert "results:" not in (tmp_path / "said").read_text()
    finally:
        end_all(tmp_path)


def test_a_run_that_finds_another_at_work_touches_nothing_of_it(
    runner, job, killed_run, tmp_path, monkeypatch
):
    (tmp_path / "own.yaml").write_text("results: results\n")
    monkeypatch.setattr(sys, "argv", ["run.py", "own.yaml"])
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            HOLD,
            str(killed_run / ".run.lock"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    holder.stdout.readline()
    with pytest.raises(SystemExit) as end:
        runner.main()
    assert end.value.code == "results: another run is at work there; wait for it, or stop it, and run again"
    assert job.poll() is None
    assert (killed_run / f".partial-{job.pid}-0123abcd-table1.csv").exists()
    holder.kill()
    holder.wait()
    monkeypatch.setattr(runner, "_run", lambda arguments, results: 0)
    assert runner.main() == 0  # the lock has ended with its process
    assert not psutil.pid_exists(job.pid)
