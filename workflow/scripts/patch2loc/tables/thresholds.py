"""Detection at thresholds that do not depend on tested scans, over subjects and folds."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from patch2loc.configuration.method_names import display_name
from patch2loc.data.labels import Datasets, about_row, dataset_heading
from patch2loc.metrics import summary
from patch2loc.metrics.detection import HEALTHY, LESION_WISE, SIZES
from patch2loc.tables.inputs import FoldTables
from patch2loc.tables.layout import Cell, Layout, Row, number, parts_by, percent
from patch2loc.tables.made import Made, made_over_subjects

DETECTION_METRICS = (
    "dice",
    "sensitivity",
    "precision",
    "surface_distance_95_mm",
    "lesion_recall",
    *(f"lesion_recall_{size}" for size in SIZES),
    *LESION_WISE,
    "false_positives",
    *(f"false_positives_{size}" for size in SIZES),
    "false_positive_ml",
)
COLUMNS = [
    "method",
    "dataset",
    "modality",
    "kind",
    "quantile",
    "threshold",
    "metric",
    *summary.COLUMNS,
    "n_with_value",
    "simulated",
]
# Metrics of what is found: a method that finds nothing in hard scans is spared these scans.
OF_FOUND = ("precision", "surface_distance_95_mm", "lesion_precision")
KEYS = ["method", "kind", "quantile"]  # of a row of the layout
NOTE = (
    "A voxel is called lesion when its score is above the threshold: the 95, 98 or 99 % quantile of the scores of "
    "the healthy validation scans, which no lesion has a part in; or, where a dataset's list has validation subjects, "
    "the threshold of best mean Dice on these. Means over scans, then folds. Distance: 95 % surface (Hausdorff) "
    "distance. It and both precisions are over the scans in which something is found; their number, mean over folds, "
    "is in brackets, and a method that finds nothing in hard scans looks better by it. Lesions found: share of a "
    "scan's 26-connected lesions that at least one voxel meets, by volume. Lesion-wise: precision is the share of the "
    "detection's 26-connected parts that meet a lesion, F1 its harmonic mean with the share of lesions found; the "
    "strict F1 counts pairs of a lesion and a part whose intersection is more than half of their union. False "
    "positives: parts that meet no lesion, per scan, by volume; and the volume of all voxels that are not lesion. "
    "Healthy validation scans also chose the weights of the networks; of a calibrated score, each of them is "
    "calibrated by half as many scans as a tested one, so that its quantiles are slightly wide. Intervals and numbers "
    "of scans are in thresholds.csv."
)


def threshold_table(at_thresholds: FoldTables, datasets: Datasets, seed: int = 0) -> pd.DataFrame:
    """Summary of every metric of every method, dataset and threshold, in long form.

    Args:
        at_thresholds: of each method and dataset, as `evaluate.subjects.Evaluation.at_thresholds`, in the order of the
            table.
        datasets: as tables describe them.
        seed: of the bootstrap.

    Returns:
        Table with the columns COLUMNS. kind: as of `detection.Threshold`. threshold: mean over folds; so is the
        quantile of one that validation scans with lesions chose, which differs between folds. lesion_recall:
        lesions_found over lesions, per scan. n_with_value: number of scans with a value, mean over folds. A metric
        that no scan has, such as Dice of healthy scans, has no row.
    """
    rows = []
    for (method, dataset), folds in at_thresholds.items():
        for threshold_folds in _by_threshold(folds):
            keys = {
                "method": method,
                "kind": threshold_folds[0]["kind"].iloc[0],
                **about_row(dataset, datasets),
            }
            for column in ("quantile", "threshold"):
                keys[column] = np.mean([fold[column].iloc[0] for fold in threshold_folds])
            rows += [
                {
                    **keys,
                    **row,
                    "n_with_value": np.mean([fold[row["metric"]].count() for fold in threshold_folds]),
                }
                for row in summary.metric_summaries(threshold_folds, DETECTION_METRICS, seed)
            ]
    return pd.DataFrame(rows, columns=COLUMNS)


def threshold_layout(table: pd.DataFrame, datasets: Datasets, protocol: str) -> Layout:
    """Layout of a `threshold_table`: methods and thresholds under each dataset. protocol: how it was computed."""
    by_cell = table.set_index(["dataset", *KEYS, "metric"])
    means, counts = by_cell["mean"].to_dict(), by_cell["n_with_value"].to_dict()
    rows: list[Row] = []
    for dataset, part in parts_by(table, "dataset"):
        rows.append((dataset_heading(dataset, datasets, part["n_subjects"].max()), []))
        for method, kind, quantile in part[KEYS].drop_duplicates().itertuples(index=False):
            cells = []
            for metric in DETECTION_METRICS:
                key = (dataset, method, kind, quantile, metric)
                text = _text(means.get(key, np.nan), metric)
                if metric in OF_FOUND and key in counts:
                    text += f" ({number(counts[key], 1).removesuffix('.0')})"
                cells.append(Cell(text))
            label = f"{100 * quantile:g} %" if kind == HEALTHY else kind
            rows.append((f"  {display_name(method)}, {label}", cells))
    sizes = ["all", *_size_labels()]
    return Layout(
        number="Thresholds",
        title="What is found at thresholds from validation scans",
        stub="Method, threshold",
        groups=[
            ("Voxels", 3),
            ("Surface", 1),
            ("Lesions found [%]", len(sizes)),
            ("Lesion-wise [%]", len(LESION_WISE)),
            ("False positives per scan", len(sizes) + 1),
        ],
        columns=[
            "Dice [%]",
            "Sensitivity [%]",
            "Precision [%] (scans)",
            "distance [mm] (scans)",
            *sizes,
            "Precision (scans)",
            "F1",
            "strict F1",
            *sizes,
            "volume [ml]",
        ],
        rows=rows,
        note=f"{protocol} {NOTE}",
    )


def _by_threshold(folds: Sequence[pd.DataFrame]) -> list[list[pd.DataFrame]]:
    """Rows of each threshold in every fold, with recalls: the quantiles first, the one that lesions chose last."""
    healthy = [fold[fold["kind"] == HEALTHY] for fold in folds]
    quantiles = sorted(healthy[0]["quantile"].unique())
    by_threshold = [[fold[fold["quantile"] == quantile] for fold in healthy] for quantile in quantiles]
    by_lesions = [fold[fold["kind"] != HEALTHY] for fold in folds]
    if all(map(len, by_lesions)):
        by_threshold.append(by_lesions)
    return [[_with_recall(fold) for fold in threshold_folds] for threshold_folds in by_threshold]


def _with_recall(table: pd.DataFrame) -> pd.DataFrame:
    """Add the share of lesions found, of all and of each size, NaN where there are none."""
    shares = {}
    for ending in ("", *(f"_{size}" for size in SIZES)):
        lesions = table[f"lesions{ending}"]
        shares[f"lesion_recall{ending}"] = table[f"lesions_found{ending}"] / lesions.where(lesions > 0)
    return table.assign(**shares)


def _size_labels() -> list[str]:
    """Sizes as volumes: below the first bound, between bounds, from the last one on."""
    *bounds, _ = SIZES.values()
    between = [f"{low:g}–{high:g} ml" for low, high in pairwise(bounds)]
    return [f"<{bounds[0]:g} ml", *between, f"≥{bounds[-1]:g} ml"]


def _text(value: float, metric: str) -> str:
    """A mean: fractions in percent; volumes, distances and counts as they are."""
    as_is = metric.endswith(("_ml", "_mm")) or metric.startswith("false_positives")
    return number(value, 1) if as_is else percent(value)


def make(inputs: Any, params: Any) -> Made:
    """Make the result; `plan.outputs` lists its inputs and parameters."""
    return made_over_subjects(inputs, params, threshold_table, threshold_layout)
