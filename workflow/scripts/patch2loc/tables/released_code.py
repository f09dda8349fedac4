"""Differences that the choices of the released code make: bisected best Dice, background at 0."""

from typing import Any, NamedTuple

import pandas as pd

from patch2loc.configuration.method_names import display_name
from patch2loc.data.labels import Datasets, about_row, dataset_heading
from patch2loc.metrics.names import METRICS
from patch2loc.metrics.resampling import mean_over_folds
from patch2loc.metrics.summary import subjects_by_folds
from patch2loc.tables.comparison import mean_difference, paired_differences
from patch2loc.tables.inputs import FoldTables
from patch2loc.tables.layout import (
    Cell,
    Layout,
    Row,
    interval,
    parts_by,
    percent,
    row_records,
    signed_percent,
)
from patch2loc.tables.made import Made, made_over_subjects


class Choice(NamedTuple):
    """A choice of the released code.

    Attributes:
        metric: column of the metric by this project's protocol.
        label: of the choice.
    """

    metric: str
    label: str


# By the column of the metric with the choice, see `metrics.released_code`.
CHOICES = {
    "best_dice_bisection": Choice("best_dice", "ten steps of bisection"),
    "best_dice_background_zero": Choice("best_dice", "background at 0"),
    "auprc_background_zero": Choice("auprc", "background at 0"),
}
RELEASED_CODE_COLUMNS = [
    "method",
    "dataset",
    "modality",
    "metric",
    "variant",
    "mean",
    "mean_protocol",
    "difference",
    "ci_low",
    "ci_high",
    "n_subjects",
    "n_folds",
    "simulated",
]
RELEASED_CODE_NOTE = (
    "What the released code's choices change, one at a time. Ten steps of bisection: best Dice searched between 0 and "
    "the highest score. Background at 0: all of the grid outside the brain is ranked, too, with score 0. Difference: "
    "variant less protocol, in percentage points, mean over scans and folds, with its 95 % bootstrap interval (BCa) "
    "over both."
)


def released_code_table(metrics: FoldTables, datasets: Datasets, seed: int = 0) -> pd.DataFrame:
    """The released code's choices beside the protocol, in long form.

    Args:
        metrics: of each method and dataset, as `evaluate.subjects.Evaluation.released_code`.
        datasets: as tables describe them.
        seed: of the bootstrap.

    Returns:
        Table of fractions with the columns RELEASED_CODE_COLUMNS. variant: a key of CHOICES. mean, mean_protocol:
        over subjects and folds. difference: of variant less protocol.
    """
    rows = []
    for (method, dataset), folds in metrics.items():
        for column, choice in CHOICES.items():
            variant, protocol = subjects_by_folds(folds, column), subjects_by_folds(folds, choice.metric)
            if len(variant):
                rows.append(
                    {
                        **about_row(dataset, datasets),
                        "method": method,
                        "metric": choice.metric,
                        "variant": column,
                        "mean": mean_over_folds(variant.to_numpy()),
                        "mean_protocol": mean_over_folds(protocol.to_numpy()),
                        **mean_difference(paired_differences(variant, protocol), seed),
                        "n_folds": len(folds),
                    }
                )
    return pd.DataFrame(rows, columns=RELEASED_CODE_COLUMNS)


def released_code_layout(table: pd.DataFrame, datasets: Datasets, protocol: str) -> Layout:
    """Layout of a `released_code_table`: methods and choices under each dataset. protocol: how it was computed."""
    rows: list[Row] = []
    for dataset, part in parts_by(table, "dataset"):
        rows.append((dataset_heading(dataset, datasets, part["n_subjects"].max()), []))
        for row in row_records(part):
            texts = [percent(row["mean_protocol"], 2), percent(row["mean"], 2)]
            texts += [signed_percent(row["difference"], 2), interval(row, 2)]
            metric, choice = METRICS[row["metric"]].column_heading, CHOICES[row["variant"]].label
            rows.append(
                (f"  {display_name(row['method'])}, {metric}, {choice}", [Cell(text) for text in texts])
            )
    return Layout(
        number="Released code",
        title="What the released code's choices change",
        stub="Method, measure, variant",
        groups=[("Mean [%]", 2), ("Difference", 2)],
        columns=["protocol", "variant", "mean", "95 % interval"],
        rows=rows,
        note=f"{protocol} {RELEASED_CODE_NOTE}",
    )


def make(inputs: Any, params: Any) -> Made:
    """Make the result; `plan.outputs` lists its inputs and parameters."""
    return made_over_subjects(inputs, params, released_code_table, released_code_layout)
