"""Metrics of every lesion scan by itself."""

from typing import Any

import pandas as pd

from patch2loc.configuration.method_names import is_control
from patch2loc.data.labels import Datasets
from patch2loc.tables.inputs import FoldTables
from patch2loc.tables.made import Made, by_method_and_dataset, settings_of

CASES_COLUMNS = [
    "method",
    "dataset",
    "subject",
    "modality",
    "control",
    "simulated",
    "auprc",
    "prevalence",
    "auroc",
    "best_dice",
    "auprc_any",
    "best_dice_any",
    "prevalence_any",
    "location_error",
    "lesion_ml",
    "lesion_ml_outside",
]


def cases(metrics: FoldTables, datasets: Datasets) -> pd.DataFrame:
    """One row per method, dataset and subject, means over folds (columns: CASES_COLUMNS).

    Args:
        metrics: of each method and dataset, as `evaluate.subjects.Evaluation.metrics`.
        datasets: as tables describe them.
    """
    tables = []
    for (method, dataset), folds in metrics.items():
        means = pd.concat(folds).groupby("subject", sort=False).mean(numeric_only=True).reset_index()
        info = datasets[dataset]
        tables.append(
            means.assign(
                method=method,
                dataset=dataset,
                modality=info["modality"],
                control=int(is_control(method)),
                simulated=int(info["simulated"]),
            )
        )
    return pd.concat(tables, ignore_index=True)[CASES_COLUMNS]


def make(inputs: Any, params: Any) -> Made:
    """Make the result; `plan.outputs` lists its inputs and parameters."""
    table = cases(by_method_and_dataset(inputs.metrics, params), params.datasets)
    return Made(
        table,
        subjects=list(table["subject"]),
        settings=settings_of(params, "folds"),
        files=inputs.metrics,
    )
