"""Table of what is found at thresholds that need no lesions, over subjects and folds."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from patch2loc import summary
from patch2loc.detection import SIZES
from patch2loc.method_names import shown
from patch2loc.table_formats import Cell, Layout, number, percent
from patch2loc.tables import Datasets, about_row, dataset_heading

MEASURES = (
    "dice",
    "sensitivity",
    "precision",
    "surface_distance_95_mm",
    "lesion_recall",
    *(f"lesion_recall_{size}" for size in SIZES),
    "false_positives",
    *(f"false_positives_{size}" for size in SIZES),
    "false_positive_ml",
)
COLUMNS = [
    "method",
    "dataset",
    "modality",
    "quantile",
    "threshold",
    "metric",
    *summary.COLUMNS,
    "simulated",
]
NOTE = (
    "A voxel is called lesion when its score is above the threshold: the 95, 98 or 99 % quantile of the scores of "
    "the healthy validation scans, which no lesion has a part in. Means over scans, then folds. Distance: 95 % "
    "surface (Hausdorff) distance, scans in which something is found. Lesions found: share of a scan's 26-connected "
    "lesions that at least one voxel meets, by volume. False positives: 26-connected parts that meet no lesion, "
    "per scan, by volume; and the volume of all voxels that are not lesion. Intervals and numbers of scans are in "
    "thresholds.csv."
)


def threshold_table(
    at_thresholds: Mapping[tuple[str, str], Sequence[pd.DataFrame]], datasets: Datasets, seed: int = 0
) -> pd.DataFrame:
    """Every measure of every method, dataset and quantile in long form (columns: COLUMNS).

    at_thresholds: {(method, dataset): one table per fold, as `evaluate.Evaluation.at_thresholds`}, in the order to
    be shown. threshold: mean over folds. lesion_recall: lesions_found over lesions, per scan. Measures that no scan
    has, as Dice of healthy scans, give no row.
    """
    rows = []
    for (method, dataset), folds in at_thresholds.items():
        for quantile in sorted(folds[0]["quantile"].unique()):
            chosen = [_with_recall(fold[fold["quantile"] == quantile]) for fold in folds]
            threshold = np.mean([fold["threshold"].iloc[0] for fold in chosen])
            named = {"method": method, "quantile": quantile, "threshold": threshold}
            named |= about_row(dataset, datasets)
            rows += [
                named | {"metric": measure} | found
                for measure in MEASURES
                if (found := summary.summary_of(chosen, measure, seed))["n_subjects"]
            ]
    return pd.DataFrame(rows, columns=COLUMNS)


def threshold_layout(table: pd.DataFrame, datasets: Datasets, protocol: str) -> Layout:
    """The table to be read: methods and quantiles under each dataset. protocol: how the scores were computed."""
    values = table.set_index(["dataset", "method", "quantile", "metric"])["mean"].to_dict()
    rows = []
    for dataset, part in table.groupby("dataset", sort=False):
        rows.append((dataset_heading(dataset, datasets, part["n_subjects"].max()), []))
        for method, quantile in part[["method", "quantile"]].drop_duplicates().itertuples(index=False):
            cells = [
                Cell(_text(values.get((dataset, method, quantile, measure), np.nan), measure))
                for measure in MEASURES
            ]
            rows.append((f"  {shown(method)}, {100 * quantile:g} %", cells))
    sizes = ["all", *_size_labels()]
    return Layout(
        number="Thresholds",
        title="What is found at thresholds from healthy scans",
        stub="Method, quantile",
        groups=[
            ("Voxels", 3),
            ("Surface", 1),
            ("Lesions found [%]", len(sizes)),
            ("False positives per scan", len(sizes) + 1),
        ],
        columns=[
            "Dice [%]",
            "Sensitivity [%]",
            "Precision [%]",
            "distance [mm]",
            *sizes,
            *sizes,
            "volume [ml]",
        ],
        rows=rows,
        note=f"{protocol} {NOTE}",
    )


def _with_recall(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the share of lesions found, of all and of each size, NaN where there are none."""
    shares = {}
    for ending in ("", *(f"_{size}" for size in SIZES)):
        lesions = table[f"lesions{ending}"]
        shares[f"lesion_recall{ending}"] = table[f"lesions_found{ending}"] / lesions.where(lesions > 0)
    return table.assign(**shares)


def _size_labels() -> list[str]:
    """The sizes as volumes: below the first bound, between bounds, from the last one on."""
    *bounds, _ = SIZES.values()
    between = [f"{low:g}–{high:g} ml" for low, high in pairwise(bounds)]
    return [f"<{bounds[0]:g} ml", *between, f"≥{bounds[-1]:g} ml"]


def _text(value: float, measure: str) -> str:
    """A mean: fractions in percent, volumes, distances and counts as they are."""
    as_is = measure.endswith(("_ml", "_mm")) or measure.startswith("false_positives")
    return number(value, 1) if as_is else percent(value)
