"""Simulated cohorts of any size, one subject at a time, on all cores, resumable."""

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from tqdm import tqdm

from patch2loc.acquire.phantom import record, subject_files, write_subject
from patch2loc.files import read_json


def subject_folder(folder: Path, cohort: str, index: int) -> Path:
    """Where `write_cohort` puts a subject."""
    return Path(folder) / f"phantom_{cohort}_{index:03d}"


def write_cohort(
    folder: Path,
    cohort: str,
    indices: Iterable[int],
    seed: int,
    settings: dict[str, Any],
    workers: int = 1,
) -> list[Path]:
    """Simulate the subjects `indices` of a cohort into `folder`/phantom_{cohort}_{index:03d}; returns their folders.

    Each of the `workers` processes holds one subject at a time (about 1 GB at 1 mm); nothing else is kept.
    Subjects that are already whole, by these very settings, are left as they are, so an interrupted call can
    be repeated.
    """
    indices = list(indices)
    missing = [
        index
        for index in indices
        if not is_whole(subject_folder(folder, cohort, index), cohort, index, seed, settings)
    ]
    progress = tqdm(total=len(indices), initial=len(indices) - len(missing), desc=f"simulated {cohort}")
    with progress, ProcessPoolExecutor(workers) as pool:
        jobs = [
            pool.submit(write_subject, subject_folder(folder, cohort, index), cohort, index, seed, settings)
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


def is_whole(folder: Path, cohort: str, index: int, seed: int, settings: dict[str, Any]) -> bool:
    """Whether `folder` holds all files of this very subject."""
    if not all((folder / name).is_file() for name in subject_files()):
        return False
    return read_json(folder / "simulated.json") == record(cohort, index, seed, settings)
