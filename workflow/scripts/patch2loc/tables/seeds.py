"""Spread over seeds of one fold beside the spread over folds, which differ in training subjects and in seed."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from patch2loc.configuration.method_names import display_name
from patch2loc.data.labels import Datasets, about_row, dataset_heading
from patch2loc.data.results import Fold
from patch2loc.data.seeds import fold_of
from patch2loc.metrics.names import METRICS, PAPER_METRICS
from patch2loc.metrics.summary import subjects_by_folds
from patch2loc.tables.inputs import FoldTables
from patch2loc.tables.layout import Cell, Layout, Row, parts_by, percent, row_records
from patch2loc.tables.made import Made, made_over_subjects

COLUMNS = [
    "method",
    "dataset",
    "modality",
    "metric",
    "fold",
    "mean_over_seeds",
    "sd_over_seeds",
    "n_seeds",
    "mean_over_folds",
    "sd_over_folds",
    "n_folds",
    "n_subjects",
    "simulated",
]
NOTE = (
    "Means over scans. Seeds: trainings of one fold on the same subjects, that differ in seed alone. Folds: the first "
    "training of each, which differ in subjects and in seed. sd: standard deviation of the means, n - 1; a dash where "
    "there is one training."
)


def seed_table(
    metrics: FoldTables, datasets: Datasets, seed: int = 0, trainings: Sequence[Fold] = ()
) -> pd.DataFrame:
    """Means and standard deviations over the seeds of one fold and over folds, in long form.

    Args:
        metrics: of each method and dataset, a table for each training, as `evaluate.subjects.Evaluation.metrics`.
        datasets: as tables describe them.
        seed: not used: nothing is drawn.
        trainings: their names, first those of the folds, then the further ones of the first fold (`data.seeds`).

    Returns:
        Table of fractions with the columns COLUMNS. A metric that no subject has, has no row.
    """
    fold_places = [place for place, name in enumerate(trainings) if isinstance(name, int)]
    seed_places = [place for place, name in enumerate(trainings) if fold_of(name) == trainings[0]]
    rows = []
    for (method, dataset), tables in metrics.items():
        for metric in PAPER_METRICS:
            values = subjects_by_folds(tables, metric)
            if values.empty:
                continue
            means = values.mean(axis=0)
            over_seeds, over_folds = means.iloc[seed_places], means.iloc[fold_places]
            rows.append(
                {
                    **about_row(dataset, datasets),
                    "method": method,
                    "metric": metric,
                    "fold": trainings[0],
                    "mean_over_seeds": over_seeds.mean(),
                    "sd_over_seeds": over_seeds.std(ddof=1),
                    "n_seeds": len(over_seeds),
                    "mean_over_folds": over_folds.mean(),
                    "sd_over_folds": over_folds.std(ddof=1),
                    "n_folds": len(over_folds),
                    "n_subjects": len(values),
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def seed_layout(table: pd.DataFrame, datasets: Datasets, protocol: str) -> Layout:
    """Layout of a `seed_table`: methods under each dataset. protocol: how the numbers were computed."""
    names = ("mean_over_seeds", "sd_over_seeds", "mean_over_folds", "sd_over_folds")
    rows: list[Row] = []
    for dataset, part in parts_by(table, "dataset"):
        rows.append((dataset_heading(dataset, datasets, part["n_subjects"].max()), []))
        for method, of_method in parts_by(part, "method"):
            by_metric = {row["metric"]: row for row in row_records(of_method)}
            fractions = [
                by_metric.get(metric, {}).get(name, np.nan) for metric in PAPER_METRICS for name in names
            ]
            rows.append((f"  {display_name(method)}", [Cell(percent(fraction, 2)) for fraction in fractions]))
    return Layout(
        number="Seeds",
        title="Spread over seeds of one fold, and over folds",
        stub="Method",
        groups=[(METRICS[metric].column_heading, len(names)) for metric in PAPER_METRICS],
        columns=["mean, seeds [%]", "sd, seeds", "mean, folds [%]", "sd, folds"] * len(PAPER_METRICS),
        rows=rows,
        note=f"{protocol} {NOTE}",
    )


def make(inputs: Any, params: Any) -> Made:
    """Make the result; `plan.outputs` lists its inputs and parameters."""
    return made_over_subjects(inputs, params, partial(seed_table, trainings=params.folds), seed_layout)
