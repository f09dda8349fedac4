"""Waterfall: what each element of the released code's recipe changes of Tables 1 and 2."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from patch2loc.data.labels import Datasets, about_row, dataset_heading
from patch2loc.metrics.names import METRICS, PAPER_METRICS
from patch2loc.metrics.resampling import mean_over_folds
from patch2loc.metrics.summary import subjects_by_folds
from patch2loc.tables.comparison import mean_difference, paired_differences
from patch2loc.tables.layout import (
    Cell,
    Layout,
    Row,
    interval,
    number,
    parts_by,
    percent,
    row_records,
    signed_percent,
)
from patch2loc.tables.table2 import QUANTITY_LABELS

COLUMNS = [
    "step",
    "name",
    "key",
    "value",
    "needs",
    "dataset",
    "modality",
    "measure",
    "mean",
    "change",
    "ci_low",
    "ci_high",
    "n_subjects",
    "n_folds",
    "trainings",
    "seconds",
    "simulated",
]
SPEARMAN = "spearman_"  # and a quantity of Table 2
NOTE = (
    "Each row has one element of the released code's recipe less than the row above, and keeps what was changed "
    "before: another order would share the changes out otherwise. Change: mean over the scans that both rows have, in "
    "percentage points, with its 95 % BCa bootstrap interval over scans and trainings, paired. Where a row is trained "
    "anew, one training differs from another by chance, too: the interval covers it only with several trainings (folds "
    "or seeds). Spearman: of the lesion share of patches with the score's parts, over all patches until the step "
    "`correlation`, without interval of its change."
)


class StepResult(NamedTuple):
    """What a step gave.

    Attributes:
        name: Of the element that is as in the configuration from here on.
        key: Its key; "" for the first step.
        value: Its value from here on, as text.
        needs: First stage that was computed anew; "" for the first step.
        trainings: Number of networks trained.
        seconds: Wall time of the step; of its last run, where that went on with one that was stopped.
        metrics: {dataset: table of every training}, as `evaluate.subjects.Evaluation.metrics`.
        correlations: As `table2.table2`.
    """

    name: str
    key: str
    value: str
    needs: str
    trainings: int
    seconds: float
    metrics: Mapping[str, Sequence[pd.DataFrame]]
    correlations: pd.DataFrame


def waterfall_table(steps: Sequence[StepResult], datasets: Datasets, seed: int = 0) -> pd.DataFrame:
    """Every number of Tables 1 and 2 after each step, and its change by the step, in long form.

    Args:
        steps: From the released code's recipe on.
        datasets: As tables describe them.
        seed: Of the bootstrap.

    Returns:
        Table of fractions with the columns COLUMNS. change, ci_low, ci_high: against the step before, NaN in the first;
        correlations have no interval. seconds, trainings: of the step, in each of its rows.
    """
    rows: list[dict[str, Any]] = []
    for place, step in enumerate(steps):
        before = steps[place - 1] if place else None
        about = {
            name: getattr(step, name) for name in ("name", "key", "value", "needs", "trainings", "seconds")
        }
        for dataset in datasets:
            measured = [*_metric_rows(step, before, dataset, seed), *_correlation_rows(step, before, dataset)]
            rows += [{"step": place, **about, **about_row(dataset, datasets), **row} for row in measured]
    return pd.DataFrame(rows, columns=COLUMNS)


def _metric_rows(
    step: StepResult, before: StepResult | None, dataset: str, seed: int
) -> list[dict[str, Any]]:
    """The metrics of Table 1 of a dataset after a step."""
    rows = []
    for metric in PAPER_METRICS:
        here = step.metrics[dataset]
        values = subjects_by_folds(here, metric)
        if not len(values):
            continue
        row = {
            "measure": metric,
            "mean": mean_over_folds(values.to_numpy()),
            "n_subjects": len(values),
            "n_folds": len(here),
        }
        if before is not None:
            earlier = subjects_by_folds(before.metrics[dataset], metric)
            difference = mean_difference(paired_differences(values, earlier), seed)
            row |= {
                "change": difference["difference"],
                "ci_low": difference["ci_low"],
                "ci_high": difference["ci_high"],
            }
        rows.append(row)
    return rows


def _correlation_rows(step: StepResult, before: StepResult | None, dataset: str) -> list[dict[str, Any]]:
    """The correlations of Table 2 of a dataset after a step."""
    earlier = {} if before is None else _headline(before.correlations, dataset)
    return [
        {
            "measure": f"{SPEARMAN}{quantity}",
            "mean": row["spearman"],
            "change": row["spearman"] - earlier[quantity]["spearman"] if quantity in earlier else np.nan,
            "n_subjects": row["n_subjects"],
            "n_folds": row["n_folds"],
        }
        for quantity, row in _headline(step.correlations, dataset).items()
    ]


def _headline(correlations: pd.DataFrame, dataset: str) -> dict[str, dict[str, Any]]:
    """Rows of a dataset in Table 2 by quantity: of partial patches, or of all where these alone are there."""
    of_dataset = correlations[correlations["dataset"] == dataset]
    partial = of_dataset[of_dataset["patches"] == "partial"]
    return {row["quantity"]: row for row in row_records(partial if len(partial) else of_dataset)}


def waterfall_layout(table: pd.DataFrame, datasets: Datasets, title: str) -> Layout:
    """Layout of a `waterfall_table`: steps under each dataset. title: what was run."""
    rows: list[Row] = []
    for dataset, part in parts_by(table, "dataset"):
        rows.append((dataset_heading(dataset, datasets, part["n_subjects"].max()), []))
        for _, of_step in part.groupby("step", sort=False):
            rows.append((f"  {step_label(of_step.iloc[0])}", _cells(of_step)))
    return Layout(
        number="Waterfall",
        title=title,
        stub="Step",
        groups=[
            *((METRICS[metric].column_heading, 3) for metric in PAPER_METRICS),
            ("Spearman", len(QUANTITY_LABELS)),
            ("Work", 2),
        ],
        columns=[
            *["mean [%]", "change", "95 % interval"] * len(PAPER_METRICS),
            *QUANTITY_LABELS.values(),
            "trainings",
            "seconds",
        ],
        rows=rows,
        note=NOTE,
    )


def step_label(row: Mapping[str, Any] | pd.Series) -> str:
    """Name of a step in tables and figures, with the value that an element has from there on."""
    return f"{row['name']}: {row['value']}" if row["key"] else str(row["name"])


def _cells(of_step: pd.DataFrame) -> list[Cell]:
    by_measure = {row["measure"]: row for row in row_records(of_step)}
    absent = dict.fromkeys(("mean", "change", "ci_low", "ci_high"), np.nan)
    texts = []
    for metric in PAPER_METRICS:
        row = by_measure.get(metric, absent)
        texts += [percent(row["mean"]), signed_percent(row["change"]), interval(row)]
    texts += [percent(by_measure.get(f"{SPEARMAN}{name}", absent)["mean"]) for name in QUANTITY_LABELS]
    first = of_step.iloc[0]
    return [Cell(text) for text in [*texts, str(int(first["trainings"])), number(float(first["seconds"]), 0)]]
