"""Simulated cohorts of any size, one subject at a time, on all cores, resumable."""

import signal
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tqdm import tqdm

from patch2loc.acquire.phantom import Settings, record, subject_files, write_subject
from patch2loc.files import read_json


def subject_folder(folder: Path, cohort: str, index: int) -> Path:
    """Folder that `write_cohort` writes a subject to."""
    return Path(folder) / f"phantom_{cohort}_{index:03d}"


def write_cohort(
    folder: Path,
    cohort: str,
    indices: Iterable[int],
    *,
    seed: int,
    settings: Settings,
    workers: int = 1,
) -> list[Path]:
    """Simulate subjects of a cohort.

    Subjects that are already whole, with the same seed and settings, are left as they are, so an interrupted call can
    be repeated.

    Args:
        folder: Folder to write to.
        cohort: One of COHORTS.
        indices: Numbers of the subjects.
        seed: Seed of the cohort.
        settings: As for `simulate_subject`.
        workers: Processes, each of which holds one subject at a time (about 1 GB at 1 mm).

    Returns:
        The subjects' folders, `folder`/phantom_{cohort}_{index:03d}.
    """
    indices = list(indices)
    missing = [
        index
        for index in indices
        if not is_whole(subject_folder(folder, cohort, index), cohort, index, seed=seed, settings=settings)
    ]
    progress = tqdm(total=len(indices), initial=len(indices) - len(missing), desc=f"simulated {cohort}")
    with progress, ProcessPoolExecutor(workers, initializer=_leave_signals_to_parent) as pool:
        jobs = [
            pool.submit(
                write_subject,
                subject_folder(folder, cohort, index),
                cohort,
                index,
                seed=seed,
                settings=settings,
            )
            for index in missing
        ]
        try:
            for job in as_completed(jobs):
                job.result()
                progress.update()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [subject_folder(folder, cohort, index) for index in indices]


def _leave_signals_to_parent() -> None:
    """Let a worker finish its subject when a terminal stops all processes; the parent gives it no further one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def is_whole(folder: Path, cohort: str, index: int, *, seed: int, settings: Settings) -> bool:
    """True if a folder holds all files of this very subject."""
    if not all((folder / name).is_file() for name in subject_files()):
        return False
    return bool(read_json(folder / "simulated.json") == record(cohort, index, seed, settings))
