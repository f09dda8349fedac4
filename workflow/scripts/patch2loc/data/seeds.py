"""Trainings of one fold with several seeds: their names in paths, and their seeds.

The trainings of fold 0 are called 0, 0seed1, 0seed2, ...; all have the subjects of fold 0.
"""

from collections.abc import Sequence

from patch2loc.data.results import Fold

MARK = "seed"
STEP = 1000  # between the seeds of a fold: no fold's first training, at seed + fold, has one of them


def further_trainings(folds: Sequence[int], seeds: int) -> list[str]:
    """Names of the trainings of the first fold after its first one. seeds: number of all of them."""
    return [f"{folds[0]}{MARK}{repeat}" for repeat in range(1, seeds)]


def fold_of(training: Fold) -> int:
    """Fold whose subjects a training has."""
    return int(str(training).partition(MARK)[0])


def seed_of(training: Fold, seed: int) -> int:
    """Seed of a training; folds have different ones, so that they differ by more than their scans. seed: of the run."""
    repeat = str(training).partition(MARK)[2]
    return seed + fold_of(training) + STEP * int(repeat or 0)
