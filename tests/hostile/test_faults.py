"""Faults around a run: it says what to do, loses nothing, and ends with the same files once the fault is gone."""

import os
import re
import shutil
import subprocess
import time
from contextlib import contextmanager, suppress

import psutil
import pytest
import yaml
from killed_runs import RESULTS, mismatches
from small_disks import FILLER, full, mounted
from workflow_runs import TINY, log_of, run, start

from patch2loc.files import read_json

pytestmark = pytest.mark.workflow

REMOVED = ("metrics/patch2loc/phantom_wmh", "tables/table1.csv")  # so that two jobs are left to do
THEIRS = re.compile(
    r"metrics/patch2loc/phantom_wmh/|tables/table1\.|logs/(evaluate/patch2loc_phantom_wmh|table1)|snakemake\.log"
)
A_DAY = 86400  # seconds


@contextmanager
def read_only(folder):
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)


@pytest.fixture
def almost_finished(finished, tmp_path):
    """A folder of a run with a few jobs left to do."""
    folder = tmp_path / "run"
    shutil.copytree(finished, folder, symlinks=True)
    for gone in REMOVED:
        path = folder / RESULTS / gone
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (folder / RESULTS / "snakemake.log").unlink()  # the next run would have its room
    return folder


def lost(folder, finished):
    """What is not as it was, but for the files of the jobs that are left to do."""
    wrong = [line for line in mismatches(folder, finished) if not line.endswith(FILLER)]
    return [line for line in wrong if not (line.startswith("missing") and THEIRS.search(line))]


@pytest.mark.parametrize(
    ("fault", "part", "said"),
    [
        (full, "", r"results/tiny\S*: No space left on device; make room there"),
        pytest.param(
            full,
            "results/tiny/metrics",
            r"results/tiny/metrics/\S+: No space left on device; make room there",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            read_only,
            "results",
            r"results/tiny/\.run\.lock: Read-only file system; make the file system writable",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            read_only,
            "results/tiny/logs",
            r"results/tiny/logs/\S+: Read-only file system; make the file system writable",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            read_only,
            "results/tiny/metrics",
            r"results/tiny/metrics/\S+: Read-only file system; make the file system writable",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_place_that_cannot_be_written(almost_finished, finished, fault, part, said):
    with mounted(almost_finished / part):
        with fault(almost_finished / part):
            result = run(almost_finished, "table1")
            assert result.returncode
            assert re.search(said, result.stderr), result.stderr
            assert "Traceback" not in result.stderr
            assert lost(almost_finished, finished) == []
        result = run(almost_finished, "table1")
        assert result.returncode == 0, result.stderr
        assert mismatches(almost_finished, finished) == []


@pytest.mark.slow
def test_a_clock_that_is_set_back(almost_finished, finished):
    """Results older than what they are made from would be made again and again: the run ends, and says so."""
    early = almost_finished / RESULTS / "metrics"
    for path in early.rglob("*"):
        os.utime(path, (time.time() + A_DAY,) * 2)
    result = run(almost_finished, "table1")
    assert result.returncode
    assert re.search(
        r"results/tiny/metrics/\S+: dated \S+ \S+ found, later than this machine's clock", result.stderr
    )
    assert lost(almost_finished, finished) == []
    for path in early.rglob("*"):
        os.utime(path)
    result = run(almost_finished, "table1")
    assert result.returncode == 0, result.stderr
    assert mismatches(almost_finished, finished) == []
    assert run(almost_finished, "table1").stdout.startswith("nothing to do")


def test_a_job_that_is_killed(almost_finished, finished):
    process = start(almost_finished, "table1")
    job = None
    while not job:
        assert process.poll() is None, (almost_finished / "said").read_text()
        found = (
            worker for worker in psutil.Process(process.pid).children(recursive=True) if script_of(worker)
        )
        job = next(found, None)
        time.sleep(0.02)
    job.kill()
    assert process.wait() != 0
    assert "Killed: evaluate.py was ended by SIGKILL" in (almost_finished / "said").read_text()
    assert lost(almost_finished, finished) == []
    assert run(almost_finished, "table1").returncode == 0
    assert mismatches(almost_finished, finished) == []


def script_of(process):
    """Whether a process does a job of Snakemake."""
    with suppress(psutil.Error):
        return any("/.snakemake/scripts/" in word for word in process.cmdline())


@pytest.mark.slow
def test_a_scan_that_vanishes_before_its_job(finished, tmp_path):
    """It may come back as it was, so it is not kept as left out."""
    scans = tmp_path / "scans"
    scans.mkdir()
    rows = ["subject,modality,scan,brain,lesion"]
    for subject, cohort in {"a": "wmh", "b": "healthy"}.items():
        for kind in ("T1", "T1_brain"):
            source = finished / RESULTS / f"raw/phantom_{cohort}/phantom_{cohort}_000/{kind}.nii.gz"
            shutil.copy2(source, scans / f"{subject}_{kind}.nii.gz")
        rows.append(f"{subject},T1,{scans}/{subject}_T1.nii.gz,{scans}/{subject}_T1_brain.nii.gz,")
    (scans / "table.csv").write_text("\n".join(rows) + "\n")
    config = yaml.safe_load(TINY.read_text())
    config["datasets"]["own"] = {
        "title": "own",
        "modality": "T1",
        "role": "unlabeled",
        "skull_strip": "given",
        "source": {"kind": "table", "table": str(scans / "table.csv")},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    cohort = tmp_path / RESULTS / "cohorts/own/all.json"
    command = ["--cores", "1", str(cohort.relative_to(tmp_path))]
    process = start(tmp_path, *command, config=path)
    while not (first := re.search(r"dataset=own, subject=(\w)", log_of(tmp_path))):
        assert process.poll() is None, (tmp_path / "said").read_text()
        time.sleep(0.02)
    gone = scans / f"{'ab'.replace(first[1], '')}_T1.nii.gz"
    gone.rename(tmp_path / "away")
    assert process.wait() != 0
    said = (tmp_path / "said").read_text()
    assert re.search(rf"InputError: {gone}: no such file, though it was there", said)
    assert not cohort.exists()
    (tmp_path / "away").rename(gone)
    assert run(tmp_path, *command, config=path).returncode == 0
    assert list(read_json(cohort)["scans"]) == ["a", "b"]
