"""Runs of the whole workflow on a few simulated subjects."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TINY = ROOT / "tests/tiny.yaml"


def run(folder, *arguments, root=ROOT):
    command = [sys.executable, str(root / "workflow/run.py"), str(TINY), "--cores", "2", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def snakemake(folder, *arguments, root=ROOT, config=TINY):
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(root / "Snakefile")]
    command += ["--configfile", str(config), "--workflow-profile", str(root / "profiles/default")]
    command += ["--cores", "2", *arguments]
    # Another version of the package in the way, as an installed one would be.
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts")}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
