"""The jobs of a run that was killed: they are ended, and what they had begun to write is removed."""

import os
from pathlib import Path

import psutil

from patch2loc.errors import InputError
from patch2loc.files import RUN_GROUP, read_json, remove_partial

CLOCK_TICK = 1.0  # seconds by which the start of a process and the time of a file may be off


def clean_up(results: Path) -> None:
    """End the jobs of a killed run and remove what they had begun to write.

    Args:
        results: Folder of the run, locked by the caller. Its RUN_GROUP names the process group of the jobs.

    Raises:
        InputError: That file is damaged.
    """
    group_path = results / RUN_GROUP
    if group_path.exists():
        try:
            group: int = read_json(group_path, {"group": int})["group"]
        except InputError as error:
            raise InputError(
                f"{group_path}: damaged, the process group of a killed run expected; see that none of its "
                "jobs is at work (ps -ef | grep snakemake), remove the file, and run again"
            ) from error
        end_group(group)
        remove_partial(results, is_at_work)
        group_path.unlink()


def end_group(group: int) -> None:
    """Kill the processes of a process group that work in this folder."""
    killed = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and Path(process.cwd()) == Path.cwd():
                process.kill()
                killed.append(process)
        except (psutil.Error, ProcessLookupError):
            continue
    psutil.wait_procs(killed, timeout=10)


def is_at_work(number: int, path: Path) -> bool:
    """True for a process that is as old as a temporary file, and so may be writing it."""
    try:
        process = psutil.Process(number)
        written = path.stat().st_mtime
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= written + CLOCK_TICK
    except (psutil.Error, OSError, OverflowError):
        return False
