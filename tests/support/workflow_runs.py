"""Runs of the whole workflow on a few simulated subjects."""

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

import forks
import psutil
from repository_paths import ROOT

TINY = ROOT / "tests/tiny.yaml"
PATIENCE = 20  # seconds that a run has to end in when its parent is gone


def run(folder, *arguments, root=ROOT, config=TINY):
    """The project's own command; it and the jobs that it starts are forks."""
    return forks.run(_command(root, config, arguments), folder)


def run_alone(folder, config=TINY):
    """The same command; it and each of its jobs are processes that import everything anew, as those of users."""
    return subprocess.run(_command(ROOT, config, ()), cwd=folder, capture_output=True, text=True)


def _command(root, config, arguments):
    return [sys.executable, str(root / "workflow/run.py"), str(config), "--cores", "2", *arguments]


def start(folder, *arguments, config=TINY):
    """Begin a run that has a parent, as `with_a_parent`."""
    _log(folder).unlink(missing_ok=True)
    return with_a_parent(_command(ROOT, config, arguments), folder)


def with_a_parent(command, folder, hangup=signal.SIG_DFL):
    """Start a command with a parent, as make is one, both in a group of their own. `folder`/said has its errors.

    hangup: what both do at SIGHUP, by default as from a terminal, also where the tests run under nohup.
    """
    with open(folder / "said", "w") as errors:
        return subprocess.Popen(
            ["sh", "-c", f"{shlex.join(command)}; exit $?"],
            cwd=folder,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, hangup),
        )


def log_of(folder):
    """What Snakemake has said until now in the last run."""
    return _log(folder).read_text() if _log(folder).exists() else ""


def _log(folder):
    return folder / "results/tiny/snakemake.log"


def at_work_in(folder):
    """Processes that work in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == folder:
                found.append(process)
        except psutil.Error:
            continue
    return found


def end_all(folder):
    """Kill all processes that work in a folder."""
    while processes := at_work_in(folder):
        for process in processes:
            try:
                process.kill()
            except psutil.Error:
                continue
        time.sleep(0.05)


def wait_for_the_end(folder):
    """Wait until nothing works in a folder any more."""
    deadline = time.monotonic() + PATIENCE
    while at_work_in(folder):
        assert time.monotonic() < deadline, at_work_in(folder)
        time.sleep(0.1)


def snakemake(folder, *arguments, root=ROOT, config=TINY):
    """Snakemake's own command; it and the jobs that it starts are forks."""
    command = [sys.executable, "-m", "snakemake", *_of_snakemake(root, config, arguments)]
    return forks.run(command, folder, _environment())


def plan(folder, *arguments, root=ROOT, config=TINY):
    """What the same command says with --dry-run."""
    return snakemake(folder, "--dry-run", *arguments, root=root, config=config)


def _of_snakemake(root, config, arguments):
    return [
        *("--snakefile", str(root / "Snakefile"), "--configfile", str(config)),
        *("--workflow-profile", str(root / "profiles/default"), "--cores", "2", *arguments),
    ]


def _environment():
    """Another version of the package in the way, as an installed one would be."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts")}


def jobs(folder, root, *arguments):
    """Rules that a dry run would run, with their counts."""
    result = plan(folder, *arguments, root=root)
    assert result.returncode == 0, result.stderr[-3000:]
    said = result.stdout + result.stderr
    rules = re.findall(r"^\s*(?:local)?rule (\w+):", said, re.MULTILINE)  # indented in a group
    assert rules or "Nothing to be done" in said
    return Counter(rule for rule in rules if rule != "all")


def copied_workflow(folder):
    """A copy of the workflow, for tests that change it; returns the folder."""
    for part in ("Snakefile", "CITATION.cff", "rules", "workflow", "config", "envs", "profiles", "tests"):
        source = ROOT / part
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / part)
    return folder
