"""The workflow through profiles/slurm on a real SLURM of one node, with faults on the way: `make slurm-test`."""

import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from repository_paths import ROOT

from patch2loc.plan.train import ONE_SCAN_MB

sys.path.insert(0, str(Path(__file__).parents[1] / "slurm"))

from one_node import HERE, SEARCH, Cluster

# Another configuration, and less than everything: make slurm-test CONFIG=config/demo.yaml TARGETS="table1 table2 cases"
CONFIG = ROOT / os.environ.get("SLURM_TEST_CONFIG", "tests/tiny.yaml")
TARGETS = os.environ.get("SLURM_TEST_TARGETS", "").split()
# Results of a run without SLURM, of the same code and configuration: LOCAL=results/demo.  Without, one is made.
LOCAL = os.environ.get("SLURM_TEST_LOCAL")
MISSING = [
    name for name in ("munged", "slurmctld", "slurmd", "sbatch") if not shutil.which(name, path=SEARCH)
]
pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(
        bool(MISSING),
        reason=f"SLURM is not installed ({', '.join(MISSING)} not found): apt-get install slurm-wlm munge",
    ),
]
PATIENCE = 1800  # seconds that a job may take to appear
# Subjects that a cluster job preprocesses: fewer than the profile says, so that two cores have work.
SUBJECTS = 3
# No accounting here, so that sacct knows nothing; and a few jobs at a time.
FOR_THE_TEST = ["--slurm-status-command=squeue", "--jobs=4", f"--group-components=preprocess={SUBJECTS}"]
# A GPU in the other dialect, as the profile says.
FOR_THE_TEST += ["--set-resources", "score_validation:gpu=0", "score_validation:gres=gpu:1"]


def wait_until(condition, what, process, patience=PATIENCE):
    """Wait for a condition and return what it returned; fail when a process ends before, or patience does."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if found := condition():
            return found
        if process.poll() is not None:
            break
        time.sleep(0.3)
    pytest.fail(f"never seen: {what}")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A running cluster, which ends with the test, whatever ends the test."""
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    guard = subprocess.Popen(
        [sys.executable, str(HERE / "end_with_test.py"), str(cluster.folder)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        logs = f"{cluster.folder}/*.log and *.out say more"
        munged = cluster.start("munged")
        wait_until((cluster.folder / "munge.socket").exists, f"munged's socket; {logs}", munged, 120)
        controller = cluster.start("slurmctld")
        cluster.start("slurmd")
        wait_until(lambda: cluster.node_state() == "idle", f"an idle node; {logs}", controller, 120)
        yield cluster
    finally:
        guard.stdin.close()
        assert guard.wait(timeout=60) == 0, "processes of the cluster are left"


def snakemake(profile, *arguments):
    """Command of a run of the configuration; jobs of the network ask for a GPU, where there is one or not."""
    command = [sys.executable, str(HERE / "look_often.py"), "--snakefile", str(ROOT / "Snakefile")]
    command += ["--workflow-profile", str(ROOT / "profiles" / profile), "--configfile", str(CONFIG)]
    return [*command, "--config", "device=auto", *arguments]


def results_in(folder):
    return folder / yaml.safe_load(CONFIG.read_text())["results"]


def deliverables(results):
    """{file: content} of a run's tables and figures, without what says when they were made or how fast."""
    paths = [*results.glob("tables/*"), *results.glob("figures/fig*.png")]
    return {path.name: path.read_bytes() for path in paths if path.suffix != ".json"}


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """Results of a run without SLURM."""
    if LOCAL:
        return ROOT / LOCAL
    folder = tmp_path_factory.mktemp("local")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    command = snakemake("default", "--cores", "2", *TARGETS)
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-6000:]
    return results_in(folder)


def of_rule(job, rule):
    return re.match(rf"rule_{rule}(_wildcards_|$)", job["Comment"])


def of_group(job, group):
    """Whether a job runs jobs of a group: its comment has the names of the group and of its rules."""
    return job["Comment"].startswith(f"rule_{group}_{group}")


@pytest.fixture(scope="module")
def finished(cluster, tmp_path_factory):
    """Folder, output, jobs and faults of a run through SLURM, in which a daemon, a job and a node are lost."""
    folder = tmp_path_factory.mktemp("run")
    faults = {}
    command = snakemake("slurm", *FOR_THE_TEST, "--", *TARGETS)
    with open(folder / "output", "w") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=cluster.environment, stdout=output, stderr=output, start_new_session=True
        )

    def at_work(wanted, all_of_them=False):
        """A job that is wanted, once it is at work, or once all jobs are that run now."""

        def found():
            with_a_step = cluster.with_a_step()
            running = [job for job in cluster.jobs() if job["JobState"] == "RUNNING"]
            working = [job for job in running if job["JobId"] in with_a_step]
            if working == running or not all_of_them:
                return next(filter(wanted, working), None)

        return wait_until(found, f"a job to lose; {folder / 'output'} says more", process)

    try:
        # The daemon of the node dies.  What runs there goes on, and is seen again when it is back.  Only what is still
        # starting would fail.
        faults["daemon"] = at_work(lambda job: of_group(job, "preprocess"), all_of_them=True)
        cluster.kill("slurmd")
        time.sleep(2)
        faults["while the daemon was dead"] = cluster.job(faults["daemon"]["JobId"])
        cluster.start("slurmd")
        # A person or the scheduler ends a training.  Snakemake submits it again.
        faults["canceled"] = at_work(lambda job: of_rule(job, "train") and "patch2loc" in job["Comment"])
        cluster.said("scancel", faults["canceled"]["JobId"])
        # The node is lost with all that runs there.  SLURM queues its jobs again.
        faults["lost"] = at_work(lambda job: of_rule(job, "score") and "patch2loc" in job["Comment"])
        cluster.lose_node()
        wait_until(lambda: cluster.node_state().startswith("down"), "a node that is down", process)
        cluster.start("slurmd")
        process.wait(timeout=2 * PATIENCE)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=60)
    faults["status"] = process.returncode
    return folder, (folder / "output").read_text(), cluster.jobs(), faults


def test_the_run_ends_right(finished):
    _, output, _, faults = finished
    assert faults["status"] == 0, output[-6000:]


def test_tables_and_figures_are_those_of_a_run_without_slurm(finished, local):
    folder, *_ = finished
    here, there = deliverables(results_in(folder)), deliverables(local)
    assert here.keys() >= {"table1.csv", "table2.csv", "cases.csv"}
    assert [name for name in here if here[name] != there.get(name)] == []


def test_every_job_ran_on_the_cluster_with_what_its_rule_asks_for(finished):
    _, output, jobs, _ = finished
    steps = Counter(re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", output))
    assert steps["train"] == len({job["Comment"] for job in jobs if of_rule(job, "train")})
    assert all(job["BatchHost"] for job in jobs)  # the node, not the machine that submitted
    memory_of_training = f"{yaml.safe_load(CONFIG.read_text())['training']['memory_mb']}M"
    for rule, method, *asked in [
        ("landmarks", "", "1", "1500M", "01:00:00"),
        ("train", "patch2loc", "1", memory_of_training, "12:00:00"),
        ("train", "thresh", "1", f"{ONE_SCAN_MB}M", "12:00:00"),
        ("score", "patch2loc", "1", "4000M", "12:00:00"),
        ("table1", "", "1", "1500M", "00:30:00"),
    ]:
        first = next(job for job in jobs if of_rule(job, rule) and method in job["Comment"])
        assert [first["NumCPUs"], first["MinMemoryNode"], first["TimeLimit"]] == asked, (rule, method)


def test_jobs_of_networks_get_a_gpu_in_either_dialect_and_others_none(finished):
    _, _, jobs, _ = finished
    asked = {job["Comment"]: (job.get("TresPerJob"), job.get("TresPerNode")) for job in jobs}
    for comment, (by_job, by_node) in asked.items():
        network = "patch2loc" in comment
        in_the_other_dialect = comment.startswith("rule_score_validation_")
        assert by_node == ("gres:gpu:1" if in_the_other_dialect else None), comment
        if re.match("rule_(train|score)_", comment) and not in_the_other_dialect:
            assert by_job == ("gres:gpu:1" if network else None), comment


def test_short_jobs_share_a_cluster_job_and_take_turns(finished):
    _, output, jobs, _ = finished
    groups = [job for job in jobs if of_group(job, "preprocess")]
    subjects = len(re.findall(r"Finished jobid: \d+ \(Rule: simulate_phantom\)", output))
    assert len(groups) == math.ceil(subjects / SUBJECTS)
    assert {(job["NumCPUs"], job["MinMemoryNode"]) for job in groups} == {("1", "2000M")}
    assert not any(of_rule(job, "simulate_phantom") for job in jobs)


def test_a_job_survives_the_daemon_of_its_node(finished):
    _, _, jobs, faults = finished
    assert faults["while the daemon was dead"]["JobState"] == "RUNNING"
    after = next(job for job in jobs if job["JobId"] == faults["daemon"]["JobId"])
    assert (after["JobState"], after["Restarts"]) == ("COMPLETED", "0")


def test_a_canceled_job_is_submitted_again_and_asks_for_more(finished):
    _, _, jobs, faults = finished
    first, second = (job for job in jobs if job["Comment"] == faults["canceled"]["Comment"])
    assert first["JobId"] == faults["canceled"]["JobId"]
    assert (first["JobState"], second["JobState"]) == ("CANCELLED", "COMPLETED")
    assert (first["TimeLimit"], second["TimeLimit"]) == ("12:00:00", "1-00:00:00")


def test_a_job_of_a_lost_node_is_queued_again(finished):
    _, _, jobs, faults = finished
    (job,) = (job for job in jobs if job["Comment"] == faults["lost"]["Comment"])
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1")


def test_nothing_is_left_to_do(finished, cluster):
    folder, *_ = finished
    for path in folder.rglob("*.nii.gz"):
        path.touch()  # as copying them would
    command = snakemake("slurm", "--dry-run", *TARGETS)
    result = subprocess.run(
        command, cwd=folder, env=cluster.environment, capture_output=True, text=True, check=False
    )
    assert "Nothing to be done" in result.stdout + result.stderr
