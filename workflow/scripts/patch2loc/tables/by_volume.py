"""Results by the volume of a scan's lesions."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from patch2loc.configuration.method_names import shown
from patch2loc.data.labels import Datasets, about_row, dataset_heading
from patch2loc.metrics import summary
from patch2loc.tables.layout import METRIC_NAMES, Cell, Layout, percent

# Name of a class and its volumes, ml of lesion in atlas space: from the first to below the second.
CLASSES = {"below_1_ml": (0.0, 1.0), "1_to_10_ml": (1.0, 10.0), "from_10_ml": (10.0, np.inf)}
CLASS_NAMES = {"below_1_ml": "<1 ml", "1_to_10_ml": "1–10 ml", "from_10_ml": "≥10 ml"}
MEASURES = ("best_dice", "auprc")
COLUMNS = [
    "method",
    "dataset",
    "modality",
    "lesion_volume",
    "metric",
    *summary.COLUMNS,
    "simulated",
]
NOTE = (
    "Scans by the volume of all their lesion, in atlas space, that off the grid included. Means over scans and folds; "
    "intervals are in by_volume.csv. A dash: no scan."
)


def volume_table(
    metrics: Mapping[tuple[str, str], Sequence[pd.DataFrame]], datasets: Datasets, seed: int = 0
) -> pd.DataFrame:
    """Every method, dataset, class of volume and measure in long form, fractions (columns: COLUMNS).

    metrics: {(method, dataset): one table of metrics, as of `evaluate.evaluate_scans`, per fold}. Classes that no
    subject is in give no row.
    """
    rows = []
    for (method, dataset), folds in metrics.items():
        for name, (low, high) in CLASSES.items():
            chosen = [fold[fold["lesion_ml"].between(low, high, inclusive="left")] for fold in folds]
            named = {"method": method, "lesion_volume": name} | about_row(dataset, datasets)
            rows += [named | row for row in summary.measure_rows(chosen, MEASURES, seed)]
    return pd.DataFrame(rows, columns=COLUMNS)


def volume_layout(table: pd.DataFrame, datasets: Datasets, protocol: str) -> Layout:
    """The table to be read: methods under each dataset, classes across. protocol: how the numbers were computed."""
    columns = [(name, metric) for name in CLASSES for metric in MEASURES]
    rows = []
    for dataset, part in table.groupby("dataset", sort=False):
        scans = part.groupby(["lesion_volume", "metric"])["n_subjects"].first().reindex(columns, fill_value=0)
        rows.append((dataset_heading(dataset, datasets, scans.xs(MEASURES[0], level="metric").sum()), []))
        rows.append(("  Scans", [Cell(f"{count:.0f}") for count in scans]))
        for method, of_method in part.groupby("method", sort=False):
            means = of_method.set_index(["lesion_volume", "metric"])["mean"].reindex(columns)
            rows.append((f"  {shown(method)}", [Cell(percent(mean)) for mean in means]))
    return Layout(
        number="By volume",
        title="Results by the volume of lesion",
        stub="Method",
        groups=[(CLASS_NAMES[name], len(MEASURES)) for name in CLASSES],
        columns=[f"{METRIC_NAMES[metric]} [%]" for _, metric in columns],
        rows=rows,
        note=f"{protocol} {NOTE}",
    )
