"""The result of the job that makes a table or figure, and readers that many of these jobs share."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from patch2loc.data.labels import Datasets
from patch2loc.tables.inputs import FoldTables, read_folds, subjects_in
from patch2loc.tables.layout import Layout


class Made(NamedTuple):
    """A table, a figure, or both, with the provenance of the table.

    Attributes:
        table: Long table, written as CSV.
        layout: Table for people; None to write the long table as Markdown.
        figure: Figure.
        subjects: Subjects behind the numbers.
        settings: Settings that the numbers depend on.
        files: Input files that the numbers come from.
        sources: Files of the repository that were read, by their path in it.
    """

    table: pd.DataFrame | None = None
    layout: Layout | None = None
    figure: Figure | None = None
    subjects: Sequence[str] = ()
    settings: Mapping[str, Any] = {}
    files: Sequence[str] = ()
    sources: Mapping[str, str] = {}


def by_method_and_dataset(
    paths: Sequence[str], params: Any, read: Callable[[str], pd.DataFrame] | None = None
) -> dict[tuple[str, str], list[pd.DataFrame]]:
    """Files of each method and dataset, one per fold: {(method, dataset): tables}.

    Args:
        paths: Paths, folds running fastest, as `configuration.output.every` returns them.
        params: Parameters of the job, with methods, datasets and folds.
        read: Function that reads a file; reads CSV if None.
    """
    keys = product(params.methods, params.datasets)
    count = len(params.folds)
    return read_folds(paths, keys, count, read) if read else read_folds(paths, keys, count)


def settings_of(params: Any, *names: str) -> dict[str, Any]:
    """Parameters of a job as settings of its table."""
    return {name: getattr(params, name) for name in names}


def made_over_subjects(
    inputs: Any,
    params: Any,
    table_of: Callable[[FoldTables, Datasets, int], pd.DataFrame],
    layout_of: Callable[[pd.DataFrame, Datasets, str], Layout],
) -> Made:
    """A table of one file of metrics for each method, dataset and fold."""
    by_fold = by_method_and_dataset(inputs.metrics, params)
    table = table_of(by_fold, params.datasets, params.seed)
    return Made(
        table,
        layout_of(table, params.datasets, params.protocol),
        subjects=subjects_in(by_fold),
        settings=settings_of(params, "seed", "folds", "protocol"),
        files=inputs.metrics,
    )
