"""What workflow/run.py does with the jobs of a run that was killed, without running Snakemake."""

import importlib.util
import json
import subprocess
import sys

import psutil
import pytest
from workflow_runs import ROOT

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
def job():
    """A process in a group of its own, as Snakemake and its jobs are."""
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
    (results / ".partial-1-table1.csv").write_text("half")
    (results / "table2.csv").write_text("whole")
    return results


def test_the_next_run_ends_the_jobs_of_a_killed_one_and_removes_what_they_had_begun(runner, job, killed_run):
    runner._clean_up(killed_run)
    assert not psutil.pid_exists(job.pid)
    assert [path.name for path in killed_run.iterdir()] == ["table2.csv"]
    runner._clean_up(killed_run)  # nothing is left to do


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
    assert (killed_run / ".partial-1-table1.csv").exists()
    holder.kill()
    holder.wait()
    monkeypatch.setattr(runner, "_run", lambda arguments, results: 0)
    assert runner.main() == 0  # the lock has ended with its process
    assert not psutil.pid_exists(job.pid)
