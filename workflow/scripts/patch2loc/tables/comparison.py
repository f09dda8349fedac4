"""Paired comparison of methods with each other, over subjects."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from patch2loc.configuration.method_names import display_name, is_of_table1
from patch2loc.data.labels import Datasets, about_row, dataset_heading
from patch2loc.metrics.names import METRICS, PAPER_METRICS
from patch2loc.metrics.resampling import bootstrap_interval, mean_over_folds, permutation_p
from patch2loc.metrics.summary import subjects_by_folds
from patch2loc.tables.inputs import FoldTables
from patch2loc.tables.layout import (
    NO_VALUE,
    Cell,
    Emphasis,
    Layout,
    Row,
    interval,
    number,
    parts_by,
    row_records,
    signed_percent,
)
from patch2loc.tables.made import Made, made_over_subjects

SIGNIFICANCE_LEVEL = 0.05
# The family that was fixed before any result: this method against each other row of the paper's Table 1.
PRIMARY_METHOD = "patch2loc"
PRIMARY, EXPLORATORY = "primary", "exploratory"
FAMILY_HEADINGS = {
    PRIMARY: "primary comparisons, p corrected by Holm",
    EXPLORATORY: "exploratory comparisons, p uncorrected",
}
COMPARISON_COLUMNS = [
    "dataset",
    "modality",
    "metric",
    "method",
    "other",
    "family",
    "difference",
    "ci_low",
    "ci_high",
    "p",
    "p_holm",
    "n_subjects",
    "n_folds",
    "simulated",
]
COMPARISON_NOTE = (
    "Mean over scans and folds of the first method less the second, in percentage points; 95 % BCa bootstrap interval "
    "over scans and folds, of scans alone where there is one fold. p: two-sided paired permutation test of this mean, "
    "which exchanges the two methods scan by scan and takes the trained models as they are, which the interval does "
    "not: with a small p and an interval that contains 0, other trainings might not differ; no p of n scans is below "
    "2/2^n up to 13 scans, and none is below 0.0001. Primary comparisons, fixed beforehand: Patch2Loc with each other "
    "row of the paper's Table 1, both under the common protocol, on both measures; p corrected by Holm over those of "
    f"a dataset, bold where it is below {SIGNIFICANCE_LEVEL:g}. All others are exploratory: their p is not corrected, "
    "and they support no claim."
)


class MeanDifference(TypedDict):
    """Mean of paired differences over subjects and folds, and its 95 % bootstrap interval."""

    difference: float
    ci_low: float
    ci_high: float
    n_subjects: int


def comparison_table(metrics: FoldTables, datasets: Datasets, seed: int = 0) -> pd.DataFrame:
    """Every pair of methods on every dataset, in long form.

    Args:
        metrics: of each method and dataset, as `evaluate.subjects.Evaluation.metrics`.
        datasets: as tables describe them.
        seed: of the bootstrap and of the permutations.

    Returns:
        Table of fractions with the columns COMPARISON_COLUMNS. family: PRIMARY or EXPLORATORY. difference: of method
        less other, mean over folds of the means over the subjects that have the metric with both. p: two-sided paired
        permutation test of it, NaN for fewer than two subjects. p_holm: corrected over the primary rows of a dataset;
        NaN in the others. A metric that no subject has, has no row.
    """
    rows = []
    for dataset in dict.fromkeys(dataset for _, dataset in metrics):
        methods = [method for method, name in metrics if name == dataset]
        for metric in PAPER_METRICS:
            values = {method: subjects_by_folds(metrics[method, dataset], metric) for method in methods}
            for method, other in combinations(methods, 2):
                differences = paired_differences(values[method], values[other])
                if len(differences):
                    rows.append(
                        {
                            **about_row(dataset, datasets),
                            "metric": metric,
                            "method": method,
                            "other": other,
                            "family": family(method, other),
                            **mean_difference(differences, seed),
                            "p": permutation_p(differences, seed),
                            "n_folds": len(metrics[method, dataset]),
                        }
                    )
    table = pd.DataFrame(rows, columns=COMPARISON_COLUMNS)
    for index in table[table["family"] == PRIMARY].groupby("dataset").groups.values():
        table.loc[index, "p_holm"] = holm(table.loc[index, "p"].to_numpy(float))
    return table


def family(method: str, other: str) -> str:
    """Family of a comparison: PRIMARY or EXPLORATORY.

    Rows with the post-processing of the published numbers are exploratory: only under one protocol is a difference
    one of the methods, and not of the filter and the mask.
    """
    pair = {method, other}
    return PRIMARY if PRIMARY_METHOD in pair and all(map(is_of_table1, pair)) else EXPLORATORY


def paired_differences(first: pd.DataFrame, second: pd.DataFrame) -> np.ndarray:
    """First less second of every subject that both have, (subjects, folds), NaN where one lacks a fold.

    Args:
        first: of `summary.subjects_by_folds`, as second. The same fold of both is trained on the same subjects.
        second: of the same folds.
    """
    return (first - second).dropna(how="all").to_numpy()


def mean_difference(differences: np.ndarray, seed: int = 0) -> MeanDifference:
    """Mean of (subjects, folds) differences, with its interval. seed: of the bootstrap."""
    low, high = bootstrap_interval(differences, seed)
    return {
        "difference": mean_over_folds(differences),
        "ci_low": low,
        "ci_high": high,
        "n_subjects": len(differences),
    }


def holm(p: np.ndarray) -> np.ndarray:
    """Correct p values for their number by Holm's step-down procedure; NaN are not counted, and stay."""
    corrected = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1)
    return corrected


def comparison_layout(table: pd.DataFrame, datasets: Datasets, protocol: str) -> Layout:
    """Layout of a `comparison_table`: pairs under each dataset and family. protocol: how it was computed."""
    rows: list[Row] = []
    for dataset, part in parts_by(table, "dataset"):
        heading = dataset_heading(dataset, datasets, part["n_subjects"].max())
        for name in (PRIMARY, EXPLORATORY):
            of_family = part[part["family"] == name]
            if len(of_family):
                rows.append((f"{heading}; {FAMILY_HEADINGS[name]}", []))
                rows += _pair_rows(of_family)
    return Layout(
        number="Comparison",
        title="Methods with each other, on the same scans",
        stub="Methods",
        groups=[(METRICS[metric].column_heading, 3) for metric in PAPER_METRICS],
        columns=["difference", "95 % interval", "p"] * len(PAPER_METRICS),
        rows=rows,
        note=f"{protocol} {COMPARISON_NOTE}",
    )


def _pair_rows(table: pd.DataFrame) -> list[Row]:
    """Rows of the pairs of methods of one dataset."""
    rows: list[Row] = []
    for methods, pair in table.groupby(["method", "other"], sort=False):
        method, other = map(str, methods)
        by_metric = {row["metric"]: row for row in row_records(pair)}
        cells = [cell for metric in PAPER_METRICS for cell in _cells(by_metric.get(metric))]
        rows.append((f"  {display_name(method)} − {display_name(other)}", cells))
    return rows


def _cells(record: Mapping[str, Any] | None) -> list[Cell]:
    """Difference, interval and p of a metric; bold where the p of a primary comparison is significant."""
    if record is None:
        return [Cell(NO_VALUE)] * 3
    p = record["p_holm"] if record["family"] == PRIMARY else record["p"]
    significant = record["family"] == PRIMARY and p < SIGNIFICANCE_LEVEL
    texts = [signed_percent(record["difference"]), interval(record), "<0.001" if p < 0.001 else number(p, 3)]
    return [Cell(text, Emphasis.BEST if significant else Emphasis.NONE) for text in texts]


def make(inputs: Any, params: Any) -> Made:
    """Make the result; `plan.outputs` lists its inputs and parameters."""
    return made_over_subjects(inputs, params, comparison_table, comparison_layout)
