"""Metrics of the folds and the paper's printed numbers, as tables read them."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from patch2loc.errors import InputError
from patch2loc.files import read_csv

Key = TypeVar("Key", bound=Hashable)


def read_folds(
    paths: Sequence[str],
    keys: Iterable[Key],
    folds: int,
    read: Callable[[str], pd.DataFrame] = read_csv,
) -> dict[Key, list[pd.DataFrame]]:
    """The tables of every key, such as (method, dataset), one per fold.

    paths: in the order of keys, folds running fastest, as rules list them.
    """
    return {
        key: [read(path) for path in paths[place * folds : (place + 1) * folds]]
        for place, key in enumerate(keys)
    }


def subjects_in(tables: Mapping[Any, Sequence[pd.DataFrame]]) -> list[str]:
    """Every subject of `read_folds`, once, in sorted order."""
    return sorted({subject for folds in tables.values() for fold in folds for subject in fold["subject"]})


def read_published(path: str | Path) -> pd.DataFrame:
    """Read the numbers that the paper printed (config/published/table1.csv or table2.csv), in percent.

    Raises InputError when the file is missing or lacks a column.
    """
    try:
        published = pd.read_csv(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; the published numbers were expected there") from error
    needed = {"dataset", "mean_percent" if "metric" in published else "spearman_percent"}
    if not needed <= set(published):
        raise InputError(
            f"{path}: columns {list(published)} found, {sorted(needed)} expected; restore the file"
        )
    return published
