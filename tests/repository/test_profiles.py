"""What profiles/slurm hands to sbatch; runs without SLURM.  With it: test_slurm.py."""

import os
import re
import subprocess
import sys
import time

import forks
import pytest
import yaml
from repository_paths import ROOT

PROFILE = ROOT / "profiles/slurm/config.yaml"
COMMAND = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
COMMAND += ["--configfile", str(ROOT / "tests/tiny.yaml"), "--config", "device=auto"]
pytestmark = pytest.mark.workflow


@pytest.fixture
def commands(tmp_path):
    """Folder of commands that take the place of SLURM's: sbatch notes what it is asked, nothing runs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("squeue", "sinfo", "scancel", "scontrol", "sacct", "sacctmgr", "sshare"):
        (folder / name).write_text("#!/bin/sh\n")
    (folder / "sbatch").write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {tmp_path}/asked\necho $$\n')
    for command in folder.iterdir():
        command.chmod(0o755)
    return folder


def test_what_sbatch_is_asked_for(commands, tmp_path):
    environment = {**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.Popen(
        [*COMMAND, "--workflow-profile", str(PROFILE.parent)],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    asked, deadline = [], time.monotonic() + 60
    while len(asked) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
        asked = (tmp_path / "asked").read_text().splitlines() if (tmp_path / "asked").exists() else []
    process.kill()
    process.wait()
    groups = [line for line in asked if "--comment rule_preprocess" in line]
    # Nine simulated subjects, of six of which there are two scans: in cluster jobs of eight and one.
    assert len(groups) == 2
    minutes = 0
    for line in groups:
        # Jobs of a group run one after another: one core, the memory of one, the time of all.
        assert " --cpus-per-task=1 " in line
        assert " --mem 2000 " in line
        assert " --requeue " in line
        assert "--gpus" not in line
        minutes += int(re.search(r" -t (\d+) ", line)[1])
    assert minutes == 15 * 20 + 9 * 10


def planned(folder, profile):
    """{rule and wildcards: resources} of a dry run."""
    command = [*COMMAND, "--workflow-profile", str(profile), "--dry-run"]
    result = forks.run(command, folder)
    assert result.returncode == 0, result.stderr[-3000:]
    jobs = re.findall(
        r"^ *rule (\w+):\n(?:.+\n)*? +wildcards: (.+)\n(?:.+\n)*? +resources: (.+)\n",
        result.stdout,
        re.MULTILINE,
    )
    return {
        (rule, wildcards.split(",")[0]): dict(re.findall(r"(\w+)=([^,]*)", resources))
        for rule, wildcards, resources in jobs
    }


def test_examples_in_the_comments_of_the_profile_do_what_they_say(tmp_path):
    text = PROFILE.read_text()
    before, example = text.split("# set-resources:\n")
    example, after = example.split("\n\n", 1)
    text = f"{before}set-resources:\n{re.sub('^# ', '', example, flags=re.MULTILINE)}\n\n{after}"
    text = re.sub(r"^(  )# (slurm_\w+:)", r"\1\2", text, flags=re.MULTILINE)
    text = re.sub(r"^# (slurm-status-command:)", r"\1", text, flags=re.MULTILINE)
    profile = tmp_path / "profile"
    profile.mkdir()
    (profile / "config.yaml").write_text(text)
    assert {"set-resources", "slurm-status-command"} <= yaml.safe_load(text).keys()
    jobs = planned(tmp_path, profile)
    for method, network in (("patch2loc", True), ("thresh", False)):
        train, score = jobs["train", f"method={method}"], jobs["score", f"method={method}"]
        assert train["slurm_partition"] == ("gpu" if network else "cpu")
        assert train["gpu_model"] == ("a100" if network else "")
        assert train["gpu"] == str(int(network))
        assert score["gpu"] == "0"
        assert score["gres"] == ("gpu:1" if network else "")
        assert score["slurm_partition"] == "my_partition"
        assert score["slurm_account"] == "my_account"
