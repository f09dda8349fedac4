"""The result of the job that makes a table or figure, and readers that many of these jobs share."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from patch2loc.data.labels import Datasets, label_of
from patch2loc.tables.inputs import read_folds, subjects_in
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
        paths: Paths, folds running fastest, as `plan.output.every` returns them.
        params: Parameters of the job, with methods, datasets and folds.
        read: Function that reads a file; reads CSV if None.
    """
    keys = product(params.methods, params.datasets)
    count = len(params.folds)
    return read_folds(paths, keys, count, read) if read else read_folds(paths, keys, count)


def settings_of(params: Any, *names: str) -> dict[str, Any]:
    """Parameters of a job as settings of its table."""
    return {name: getattr(params, name) for name in names}


def rows_by_dataset(paths: Sequence[str], params: Any) -> list[tuple[str, dict[str, list[pd.DataFrame]]]]:
    """Metrics of each dataset: its label, and {method: tables, one per fold}; arguments as by_method_and_dataset."""
    by_fold = by_method_and_dataset(paths, params)
    return [
        (label_of(info), {method: by_fold[method, name] for method in params.methods})
        for name, info in params.datasets.items()
    ]


def made_over_subjects(
    inputs: Any,
    params: Any,
    table_of: Callable[..., pd.DataFrame],
    layout_of: Callable[[pd.DataFrame, Datasets, str], Layout],
    *,
    figure_of: Callable[[pd.DataFrame, Datasets], Figure] | None = None,
    kinds: Sequence[str] = ("metrics",),
) -> Made:
    """Make a table from files of every method, dataset and fold.

    Args:
        inputs: Input files of the job.
        params: Parameters of the job, with methods, datasets, folds, seed and protocol.
        table_of: Makes the long table from the tables of each kind, the datasets and the seed.
        layout_of: Lays out the long table.
        figure_of: Draws the long table; None for a table without a figure.
        kinds: Names of the inputs, subjects in the first.
    """
    by_fold = [by_method_and_dataset(getattr(inputs, kind), params) for kind in kinds]
    table = table_of(*by_fold, params.datasets, params.seed)
    return Made(
        table,
        layout_of(table, params.datasets, params.protocol),
        figure_of(table, params.datasets) if figure_of else None,
        subjects=subjects_in(by_fold[0]),
        settings=settings_of(params, "seed", "folds", "protocol"),
        files=[path for kind in kinds for path in getattr(inputs, kind)],
    )
