"""Paired comparisons over subjects: of methods with each other, of the protocol's variants with the protocol."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

from patch2loc.configuration.method_names import shown
from patch2loc.data.labels import Datasets, about_row, dataset_heading
from patch2loc.metrics.summary import bootstrap_interval, subject_means
from patch2loc.tables.layout import (
    METRIC_NAMES,
    Cell,
    Emphasis,
    Layout,
    interval,
    number,
    signed_percent,
)

COMPARED = ("best_dice", "auprc")
LEVEL = 0.05
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
    f"of a dataset (pairs of methods and both measures). Bold: p < {LEVEL:g}."
)

ByFold = Mapping[tuple[str, str], Sequence[pd.DataFrame]]


def comparison_table(metrics: ByFold, datasets: Datasets, seed: int = 0) -> pd.DataFrame:
    """Every pair of methods on every dataset, in long form, fractions (columns: COMPARISON_COLUMNS).

    metrics: {(method, dataset): one table of metrics, as of `evaluate.evaluate_scans`, per fold}.
    difference: of method less other, over the subjects that have the measure with both, each averaged over folds.
    p: two-sided Wilcoxon signed-rank test, NaN for fewer than two subjects. p_holm: corrected over all rows of a
    dataset. Measures that no subject has give no row.
    """
    rows = []
    for dataset in dict.fromkeys(dataset for _, dataset in metrics):
        methods = [method for method, name in metrics if name == dataset]
        for metric in COMPARED:
            for method, other in combinations(methods, 2):
                folds = metrics[method, dataset], metrics[other, dataset]
                difference = paired_differences(*(subject_means(tables, metric) for tables in folds))
                if len(difference):
                    row = {"metric": metric, "method": method, "other": other, "n_folds": len(folds[0])}
                    row |= mean_difference(difference, seed) | {"p": signed_rank(difference)}
                    rows.append(row | about_row(dataset, datasets))
    table = pd.DataFrame(rows, columns=COMPARISON_COLUMNS)
    for place in table.groupby("dataset").groups.values():
        table.loc[place, "p_holm"] = holm(table.loc[place, "p"].to_numpy(float))
    return table


def paired_differences(first: pd.Series, second: pd.Series) -> np.ndarray:
    """First less second of every subject that both have, (subjects,)."""
    return (first - second).dropna().to_numpy()


def mean_difference(differences: np.ndarray, seed: int = 0) -> dict[str, float]:
    """difference, its 95 % bootstrap interval over subjects (ci_low, ci_high), and n_subjects."""
    low, high = bootstrap_interval(differences, seed)
    return {"difference": differences.mean(), "ci_low": low, "ci_high": high, "n_subjects": len(differences)}


def signed_rank(differences: np.ndarray) -> float:
    """p of the two-sided Wilcoxon signed-rank test; 1 when no difference is left, NaN for fewer than two subjects."""
    if len(differences) < 2:
        return float("nan")
    return float(wilcoxon(differences).pvalue) if np.any(differences != 0) else 1.0


def holm(p: np.ndarray) -> np.ndarray:
    """p values corrected for their number by Holm's step-down procedure; NaN are left out and stay."""
    corrected = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1)
    return corrected


def comparison_layout(table: pd.DataFrame, datasets: Datasets, protocol: str) -> Layout:
    """The comparison to be read: pairs under each dataset. protocol: how the numbers were computed."""
    rows = []
    for dataset, part in table.groupby("dataset", sort=False):
        rows.append((dataset_heading(dataset, datasets, part["n_subjects"].max()), []))
        for (method, other), pair in part.groupby(["method", "other"], sort=False):
            by_metric = pair.set_index("metric").to_dict("index")
            cells = [
                cell
                for metric in COMPARED
                for cell in (_comparison_cells(by_metric[metric]) if metric in by_metric else [Cell("–")] * 3)
            ]
            rows.append((f"  {shown(method)} − {shown(other)}", cells))
    return Layout(
        number="Comparison",
        title="Methods with each other, on the same scans",
        stub="Methods",
        groups=[(METRIC_NAMES[metric], 3) for metric in COMPARED],
        columns=["difference", "95 % interval", "p (Holm)"] * len(COMPARED),
        rows=rows,
        note=f"{protocol} {COMPARISON_NOTE}",
    )


def _comparison_cells(record: Mapping[str, float]) -> list[Cell]:
    p = record["p_holm"]
    texts = [signed_percent(record["difference"]), interval(record), "<0.001" if p < 0.001 else number(p, 3)]
    return [Cell(text, Emphasis.BEST if p < LEVEL else Emphasis.NONE) for text in texts]
