"""Metrics of the folds and the paper's printed numbers, as tables read them."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import pandas as pd

from patch2loc.errors import InputError
from patch2loc.files import read_csv
from patch2loc.metrics.detection import HEALTHY

QUANTILE = 0.99  # of the scores of healthy validation voxels: the threshold of what `with_detections` adds

Key = TypeVar("Key", bound=Hashable)
Content = TypeVar("Content")
FoldTables = Mapping[tuple[str, str], Sequence[pd.DataFrame]]  # {(method, dataset): one table per fold}


@overload
def read_folds(paths: Sequence[str], keys: Iterable[Key], folds: int) -> dict[Key, list[pd.DataFrame]]: ...


@overload
def read_folds(
    paths: Sequence[str], keys: Iterable[Key], folds: int, read: Callable[[str], Content]
) -> dict[Key, list[Content]]: ...


def read_folds(
    paths: Sequence[str], keys: Iterable[Key], folds: int, read: Callable[[str], Any] = read_csv
) -> dict[Key, list[Any]]:
    """Read the files of every key, one per fold.

    Args:
        paths: of the files, in the order of keys, folds running fastest, as rules list them.
        keys: such as (method, dataset).
        folds: number of folds.
        read: a file.
    """
    return {
        key: [read(path) for path in paths[index * folds : (index + 1) * folds]]
        for index, key in enumerate(keys)
    }


def with_detections(
    metrics: Sequence[pd.DataFrame], at_thresholds: Sequence[pd.DataFrame], names: Sequence[str]
) -> list[pd.DataFrame]:
    """Metrics of scans, and besides what is detected at the score that 1 % of healthy validation voxels exceed.

    Args:
        metrics: as `evaluate.subjects.Evaluation.metrics`, one table per fold.
        at_thresholds: the same, as `evaluate.subjects.Evaluation.at_thresholds`.
        names: columns of at_thresholds that are added.
    """
    joined = []
    for fold, detected in zip(metrics, at_thresholds, strict=True):
        at_quantile = detected[(detected["kind"] == HEALTHY) & np.isclose(detected["quantile"], QUANTILE)]
        of_scans = at_quantile[["subject", *names]]
        joined.append(fold.merge(of_scans, on="subject", how="left", validate="one_to_one"))
    return joined


def subjects_in(tables: Mapping[Any, Sequence[pd.DataFrame]]) -> list[str]:
    """Subjects of the tables of `read_folds`, each once, in sorted order."""
    return sorted({subject for folds in tables.values() for fold in folds for subject in fold["subject"]})


def read_printed(path: str | Path) -> pd.DataFrame:
    """Read the numbers that the paper printed (config/published/table1.csv or table2.csv), in percent.

    Raises:
        InputError: when the file is missing or lacks a column.
    """
    try:
        printed = pd.read_csv(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; the published numbers were expected there") from error
    columns = {"dataset", "mean_percent" if "metric" in printed else "spearman_percent"}
    if not columns <= set(printed):
        raise InputError(
            f"{path}: columns {list(printed)} found, {sorted(columns)} expected; restore the file"
        )
    return printed
