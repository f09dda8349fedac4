"""The workflow through profiles/slurm on a real SLURM of one node, with faults on the way: `make slurm-test`."""

import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent / "slurm"))

from end_with_test import kill, steps

ROOT = Path(__file__).parents[1]
TEMPLATES = Path(__file__).parent / "slurm"
# Another configuration: make slurm-test CONFIG=config/demo.yaml
CONFIG = ROOT / os.environ.get("SLURM_TEST_CONFIG", "tests/tiny.yaml")
# Daemons are in sbin, which users often do not have in their PATH.
SEARCH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin", "/usr/local/sbin"])
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
TARGETS = ["table1", "table2", "cases", "every_scan_used", "subject_lists"]
# No accounting here, so that sacct knows nothing; look often; and a few jobs at a time, on a small machine.
FOR_THE_TEST = ["--slurm-status-command=squeue", "--slurm-init-seconds-before-status-checks=1", "--jobs=4"]
# A GPU in the other dialect, as the profile says.
FOR_THE_TEST += ["--set-resources", "analyse_patches:gpu=0", "analyse_patches:gres=gpu:1"]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Cluster:
    """munged, slurmctld and slurmd on the loopback device, with configuration, ports and folders of their own."""

    def __init__(self, folder):
        self.folder = folder
        self.daemons = {}
        self.host = socket.gethostname().split(".")[0]
        self.environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("SLURM_", "SBATCH_"))
            },
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": f"{folder}{os.pathsep}{SEARCH}",
            "OMP_NUM_THREADS": "1",
            "MPLBACKEND": "Agg",
        }
        for name in ("state", "spool"):
            (folder / name).mkdir()
        (folder / "munge.key").write_bytes(os.urandom(1024))
        (folder / "munge.key").chmod(0o600)
        shutil.copy(TEMPLATES / "gres.conf", folder)
        configuration = (
            (TEMPLATES / "slurm.conf")
            .read_text()
            .format(
                folder=folder,
                host=self.host,
                user=getpass.getuser(),
                controller_port=free_port(),
                node_port=free_port(),
            )
        )
        (folder / "slurm.conf").write_text(configuration)
        # The plugin takes SLURM_CONF from the environment of srun.
        (folder / "srun").write_text(
            f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n'
        )
        (folder / "srun").chmod(0o755)

    def start(self, daemon):
        """Start a daemon of the cluster."""
        folder = self.folder
        commands = {
            # --force: the folder is ours, although munged would have it lie elsewhere.
            "munged": [
                *("munged", "--foreground", "--force", f"--socket={folder}/munge.socket"),
                *(f"--key-file={folder}/munge.key", f"--pid-file={folder}/munged.pid"),
                *(f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed"),
            ],
            "slurmctld": ["slurmctld", "-D"],
            "slurmd": ["slurmd", "-D"],
        }
        with open(folder / f"{daemon}.out", "a") as output:
            self.daemons[daemon] = subprocess.Popen(
                commands[daemon], env=self.environment, stdout=output, stderr=output, start_new_session=True
            )

    def kill(self, daemon):
        """Kill a daemon and leave everything else as it is."""
        self.daemons[daemon].kill()
        self.daemons[daemon].wait()

    def lose_node(self):
        """Kill the node's daemon and all that runs there, as when it loses its power."""
        self.kill("slurmd")
        for step in steps(self.folder).values():
            kill(step)

    def at_work(self, job):
        """Whether a step of a job is running: not only allocated, nor still starting."""
        return any(re.match(rf"slurmstepd: \[{job['JobId']}\.\d+\]", title) for title in steps(self.folder))

    def said(self, *command):
        """What a command of SLURM prints."""
        result = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        return result.stdout

    def node_state(self):
        return self.said("sinfo", "--noheader", "--format=%T").strip()

    def jobs(self):
        """Every job so far: what `scontrol show job` says of it, in the order of submission."""
        lines = self.said("scontrol", "show", "job", "--details", "--oneliner").splitlines()
        jobs = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in lines if line.startswith("JobId=")]
        return sorted(jobs, key=lambda job: int(job["JobId"]))

    def job(self, number):
        return next(job for job in self.jobs() if job["JobId"] == number)


def wait_until(condition, what, process=None):
    """Wait for a condition and return what it returned; fail when a process ends before, or patience does."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := condition():
            return found
        if process is not None and process.poll() is not None:
            break
        time.sleep(0.3)
    pytest.fail(f"never seen: {what}")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A running cluster, which ends with the test, whatever ends the test."""
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    guard = subprocess.Popen(
        [sys.executable, str(TEMPLATES / "end_with_test.py"), str(cluster.folder)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        cluster.start("munged")
        wait_until(
            (cluster.folder / "munge.socket").exists, "the socket of munged", cluster.daemons["munged"]
        )
        cluster.start("slurmctld")
        cluster.start("slurmd")
        wait_until(lambda: cluster.node_state() == "idle", "an idle node", cluster.daemons["slurmctld"])
        yield cluster
    finally:
        guard.stdin.close()
        assert guard.wait(timeout=60) == 0, "processes of the cluster are left"


def snakemake(*arguments):
    """Command of a run of the configuration; jobs of the network ask for a GPU, where there is one or not."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    return [*command, "--configfile", str(CONFIG), "--config", "device=auto", *arguments]


def tables(folder):
    """{file: content} of a run's tables, without what says when they were made."""
    results = folder / yaml.safe_load(CONFIG.read_text())["results"]
    return {
        path.name: path.read_bytes()
        for path in (results / "tables").glob("*")
        if not path.name.endswith(".json")
    }


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """Folder of a run without SLURM."""
    folder = tmp_path_factory.mktemp("local")
    command = snakemake("--workflow-profile", str(ROOT / "profiles/default"), "--cores", "1", *TARGETS)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-6000:]
    return folder


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
    command = snakemake("--workflow-profile", str(ROOT / "profiles/slurm"), *FOR_THE_TEST, "--", *TARGETS)
    with open(folder / "output", "w") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=cluster.environment, stdout=output, stderr=output, start_new_session=True
        )

    def running(wanted):
        """A job that is wanted, once it runs."""
        return wait_until(
            lambda: next(filter(lambda job: wanted(job) and cluster.at_work(job), cluster.jobs()), None),
            f"a job to lose; {folder / 'output'} says more",
            process,
        )

    try:
        # The daemon of the node dies.  What runs there goes on, and is seen again when it is back.
        faults["daemon"] = running(lambda job: of_group(job, "preprocess"))
        cluster.kill("slurmd")
        time.sleep(2)
        faults["while the daemon was dead"] = cluster.job(faults["daemon"]["JobId"])
        cluster.start("slurmd")
        # A person or the scheduler ends a training.  Snakemake submits it again.
        faults["cancelled"] = running(lambda job: of_rule(job, "train") and "patch2loc" in job["Comment"])
        cluster.said("scancel", faults["cancelled"]["JobId"])
        # The node is lost with all that runs there.  SLURM queues its jobs again.
        faults["lost"] = running(lambda job: of_rule(job, "score") and "patch2loc" in job["Comment"])
        cluster.lose_node()
        wait_until(lambda: cluster.node_state().startswith("down"), "a node that is down")
        cluster.start("slurmd")
        process.wait(timeout=PATIENCE)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=60)
    faults["status"] = process.returncode
    return folder, (folder / "output").read_text(), cluster.jobs(), faults


def test_the_run_ends_right_and_its_tables_are_those_of_a_local_run(finished, local):
    folder, output, _, faults = finished
    assert faults["status"] == 0, output[-6000:]
    assert tables(folder).keys() >= {"table1.csv", "table2.csv", "cases.csv", "quality.csv"}
    assert tables(folder) == tables(local)


def test_every_job_ran_on_the_cluster_with_what_its_rule_asks_for(finished):
    _, output, jobs, _ = finished
    steps = Counter(re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", output))
    assert steps["train"] == len({job["Comment"] for job in jobs if of_rule(job, "train")})
    assert all(job["BatchHost"] for job in jobs)  # the node, not the machine that submitted
    memory_of_training = f"{yaml.safe_load(CONFIG.read_text())['training']['memory_mb']}M"
    for rule, *asked in [
        ("landmarks", "1", "1500M", "01:00:00"),
        ("train", "1", memory_of_training, "12:00:00"),
        ("score", "1", "4000M", "12:00:00"),
        ("table1", "1", "1500M", "00:30:00"),
    ]:
        first = next(job for job in jobs if of_rule(job, rule))
        assert [first["NumCPUs"], first["MinMemoryNode"], first["TimeLimit"]] == asked, rule


def test_jobs_of_networks_get_a_gpu_in_either_dialect_and_others_none(finished):
    _, _, jobs, _ = finished
    asked = {job["Comment"]: (job.get("TresPerJob"), job.get("TresPerNode")) for job in jobs}
    for comment, (by_job, by_node) in asked.items():
        network = "patch2loc" in comment
        in_the_other_dialect = comment.startswith("rule_analyse_patches")
        assert by_node == ("gres:gpu:1" if in_the_other_dialect else None), comment
        if re.match("rule_(train|score)_", comment):
            assert by_job == ("gres:gpu:1" if network else None), comment


def test_short_jobs_share_a_cluster_job_and_take_turns(finished):
    _, output, jobs, _ = finished
    groups = [job for job in jobs if of_group(job, "preprocess")]
    scans = len(re.findall(r"Finished jobid: \d+ \(Rule: preprocess\)", output))
    assert len(groups) < scans / 4
    assert {(job["NumCPUs"], job["MinMemoryNode"]) for job in groups} == {("1", "2000M")}
    assert not any(of_rule(job, "simulate_phantom") for job in jobs)


def test_a_job_survives_the_daemon_of_its_node(finished):
    _, _, jobs, faults = finished
    assert faults["while the daemon was dead"]["JobState"] == "RUNNING"
    after = next(job for job in jobs if job["JobId"] == faults["daemon"]["JobId"])
    assert (after["JobState"], after["Restarts"]) == ("COMPLETED", "0")


def test_a_cancelled_job_is_submitted_again_and_asks_for_more(finished):
    _, _, jobs, faults = finished
    first, second = (job for job in jobs if job["Comment"] == faults["cancelled"]["Comment"])
    assert first["JobId"] == faults["cancelled"]["JobId"]
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
    command = snakemake("--workflow-profile", str(ROOT / "profiles/slurm"), "--dry-run", "--", *TARGETS)
    result = subprocess.run(
        command, cwd=folder, env=cluster.environment, capture_output=True, text=True, check=False
    )
    assert "Nothing to be done" in result.stdout + result.stderr
