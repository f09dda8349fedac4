"""Results by the volume of a scan's lesions."""

from typing import Any

import numpy as np
import pandas as pd

from patch2loc.configuration.method_names import display_name
from patch2loc.data.labels import Datasets, about_row, dataset_heading
from patch2loc.metrics import summary
from patch2loc.metrics.names import PAPER_METRICS
from patch2loc.tables.inputs import FoldTables
from patch2loc.tables.layout import Cell, Layout, Row, parts_by, percent, percent_heading
from patch2loc.tables.made import Made, made_over_subjects

# Name of a class and its volumes, ml of lesion in atlas space: from the first to below the second.
CLASSES = {"below_1_ml": (0.0, 1.0), "1_to_10_ml": (1.0, 10.0), "from_10_ml": (10.0, np.inf)}
CLASS_NAMES = {"below_1_ml": "<1 ml", "1_to_10_ml": "1–10 ml", "from_10_ml": "≥10 ml"}
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


def volume_table(metrics: FoldTables, datasets: Datasets, seed: int = 0) -> pd.DataFrame:
    """Summary of every method, dataset, class of volume and metric, in long form.

    Args:
        metrics: of each method and dataset, as `evaluate.subjects.Evaluation.metrics`.
        datasets: as tables describe them.
        seed: of the bootstrap.

    Returns:
        Table of fractions with the columns COLUMNS. A class without any subject has no row.
    """
    rows = []
    for (method, dataset), folds in metrics.items():
        for name, (low, high) in CLASSES.items():
            class_folds = [fold[fold["lesion_ml"].between(low, high, inclusive="left")] for fold in folds]
            keys = {"method": method, "lesion_volume": name, **about_row(dataset, datasets)}
            rows += [{**keys, **row} for row in summary.metric_summaries(class_folds, PAPER_METRICS, seed)]
    return pd.DataFrame(rows, columns=COLUMNS)


def volume_layout(table: pd.DataFrame, datasets: Datasets, protocol: str) -> Layout:
    """Layout of a `volume_table`: methods under each dataset, classes across. protocol: how it was computed."""
    columns = [(name, metric) for name in CLASSES for metric in PAPER_METRICS]
    rows: list[Row] = []
    for dataset, part in parts_by(table, "dataset"):
        scans = part.groupby(["lesion_volume", "metric"])["n_subjects"].first().reindex(columns, fill_value=0)
        total = scans.xs(PAPER_METRICS[0], level="metric").sum()
        rows.append((dataset_heading(dataset, datasets, total), []))
        rows.append(("  Scans", [Cell(f"{count:.0f}") for count in scans]))
        for method, summaries in parts_by(part, "method"):
            means = summaries.set_index(["lesion_volume", "metric"])["mean"].reindex(columns)
            rows.append((f"  {display_name(method)}", [Cell(percent(mean)) for mean in means]))
    return Layout(
        number="By volume",
        title="Results by the volume of lesion",
        stub="Method",
        groups=[(CLASS_NAMES[name], len(PAPER_METRICS)) for name in CLASSES],
        columns=[percent_heading(metric) for _, metric in columns],
        rows=rows,
        note=f"{protocol} {NOTE}",
    )


def make(inputs: Any, params: Any) -> Made:
    """Make the result; `plan.outputs` lists its inputs and parameters."""
    return made_over_subjects(inputs, params, volume_table, volume_layout)
