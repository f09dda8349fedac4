"""Dry runs of Snakemake in processes that have it loaded: imports are a third of what its command takes to plan."""

import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import time_per_folder

# Each plan is a fork of a server that has imported these and nothing of this package: it begins as a command does.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        "snakemake.cli",
        "snakemake.workflow",
        "snakemake_executor_plugin_slurm",
        "pandas",
        "nbformat",
        "requests",
    ]
)


def dry_run(folder, *arguments, environment=None):
    """`snakemake --dry-run` with arguments, in a folder: its exit status and what it said."""
    with tempfile.TemporaryDirectory() as name:
        output = Path(name)
        process = SERVER.Process(
            target=_plan, args=(str(folder), arguments, dict(environment or os.environ), output)
        )
        process.start()
        process.join()
        out, error, seconds = (
            (output / part).read_text(encoding="utf-8") for part in ("out", "error", "seconds")
        )
    time_per_folder.of_forks += float(seconds)
    return subprocess.CompletedProcess(arguments, process.exitcode, out, error)


def _plan(folder, arguments, environment, output):
    for number, part in enumerate(("out", "error"), start=1):
        with open(output / part, "wb") as file:
            os.dup2(file.fileno(), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["snakemake", "--dry-run", *map(str, arguments)]
    # As PYTHONPATH and the folder of a command would be.
    sys.path[:0] = ["", *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    from snakemake.cli import main

    try:
        main()
    finally:
        used = resource.getrusage(resource.RUSAGE_SELF)
        (output / "seconds").write_text(str(used.ru_utime + used.ru_stime))
