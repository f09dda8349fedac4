"""Paired comparison of methods with each other, over subjects."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any, TypedDict

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

from patch2loc.configuration.method_names import display_name
from patch2loc.data.labels import Datasets, about_row, dataset_heading
from patch2loc.metrics.names import METRICS, PAPER_METRICS
from patch2loc.metrics.summary import bootstrap_interval, subject_means
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

SIGNIFICANCE_LEVEL = 0.05
COMPARISON_COLUMNS = [
    "dataset",
    "modality",
    "metric",
    "method",
    "other",
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
    "Mean over scans of the first method less the second, in percentage points, each scan averaged over folds; 95 % "
    "bootstrap interval over scans. p: Wilcoxon signed-rank test, two-sided, corrected by Holm over all comparisons "
    f"of a dataset (pairs of methods and both measures). Bold: p < {SIGNIFICANCE_LEVEL:g}."
)


class MeanDifference(TypedDict):
    """Mean of paired differences over subjects, and its 95 % bootstrap interval."""

    difference: float
    ci_low: float
    ci_high: float
    n_subjects: int


def comparison_table(metrics: FoldTables, datasets: Datasets, seed: int = 0) -> pd.DataFrame:
    """Every pair of methods on every dataset, in long form.

    Args:
        metrics: of each method and dataset, as `evaluate.subjects.Evaluation.metrics`.
        datasets: as tables describe them.
        seed: of the bootstrap.

    Returns:
        Table of fractions with the columns COMPARISON_COLUMNS. difference: of method less other, over the subjects
        that have the metric with both, each averaged over folds. p: two-sided Wilcoxon signed-rank test, NaN for
        fewer than two subjects. p_holm: corrected over all rows of a dataset. A metric that no subject has, has no
        row.
    """
    rows = []
    for dataset in dict.fromkeys(dataset for _, dataset in metrics):
        methods = [method for method, name in metrics if name == dataset]
        for metric in PAPER_METRICS:
            for method, other in combinations(methods, 2):
                folds = metrics[method, dataset], metrics[other, dataset]
                differences = paired_differences(*(subject_means(tables, metric) for tables in folds))
                if len(differences):
                    rows.append(
                        {
                            **about_row(dataset, datasets),
                            "metric": metric,
                            "method": method,
                            "other": other,
                            **mean_difference(differences, seed),
                            "p": signed_rank(differences),
                            "n_folds": len(folds[0]),
                        }
                    )
    table = pd.DataFrame(rows, columns=COMPARISON_COLUMNS)
    for index in table.groupby("dataset").groups.values():
        table.loc[index, "p_holm"] = holm(table.loc[index, "p"].to_numpy(float))
    return table


def paired_differences(first: pd.Series, second: pd.Series) -> np.ndarray:
    """First less second of every subject that both have, (subjects,)."""
    return (first - second).dropna().to_numpy()


def mean_difference(differences: np.ndarray, seed: int = 0) -> MeanDifference:
    """Mean of (subjects,) differences, with its interval. seed: of the bootstrap."""
    low, high = bootstrap_interval(differences, seed)
    return {"difference": differences.mean(), "ci_low": low, "ci_high": high, "n_subjects": len(differences)}


def signed_rank(differences: np.ndarray) -> float:
    """p of the two-sided Wilcoxon signed-rank test; 1 when all differences are 0, NaN for fewer than two subjects."""
    if len(differences) < 2:
        return float("nan")
    return float(wilcoxon(differences).pvalue) if np.any(differences != 0) else 1.0


def holm(p: np.ndarray) -> np.ndarray:
    """Correct p values for their number by Holm's step-down procedure; NaN are not counted, and stay."""
    corrected = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1)
    return corrected


def comparison_layout(table: pd.DataFrame, datasets: Datasets, protocol: str) -> Layout:
    """Layout of a `comparison_table`: pairs under each dataset. protocol: how the numbers were computed."""
    rows: list[Row] = []
    for dataset, part in parts_by(table, "dataset"):
        rows.append((dataset_heading(dataset, datasets, part["n_subjects"].max()), []))
        for methods, pair in part.groupby(["method", "other"], sort=False):
            method, other = map(str, methods)
            by_metric = {row["metric"]: row for row in row_records(pair)}
            cells = [cell for metric in PAPER_METRICS for cell in _cells(by_metric.get(metric))]
            rows.append((f"  {display_name(method)} − {display_name(other)}", cells))
    return Layout(
        number="Comparison",
        title="Methods with each other, on the same scans",
        stub="Methods",
        groups=[(METRICS[metric].column_heading, 3) for metric in PAPER_METRICS],
        columns=["difference", "95 % interval", "p (Holm)"] * len(PAPER_METRICS),
        rows=rows,
        note=f"{protocol} {COMPARISON_NOTE}",
    )


def _cells(record: Mapping[str, Any] | None) -> list[Cell]:
    """Difference, interval and p of a metric; bold where p is significant."""
    if record is None:
        return [Cell(NO_VALUE)] * 3
    p = record["p_holm"]
    texts = [signed_percent(record["difference"]), interval(record), "<0.001" if p < 0.001 else number(p, 3)]
    return [Cell(text, Emphasis.BEST if p < SIGNIFICANCE_LEVEL else Emphasis.NONE) for text in texts]
