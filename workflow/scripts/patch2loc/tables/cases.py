"""Every lesion scan by itself."""

from collections.abc import Mapping, Sequence

import pandas as pd

from patch2loc.configuration.method_names import is_control
from patch2loc.data.labels import Datasets

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
    "location_error",
    "lesion_ml",
    "lesion_ml_outside",
]


def cases(metrics: Mapping[tuple[str, str], Sequence[pd.DataFrame]], datasets: Datasets) -> pd.DataFrame:
    """Every lesion scan by itself, one row per method, dataset and subject, means over folds (columns: CASES_COLUMNS).

    metrics: {(method, dataset): one table of metrics, as of `evaluate.evaluate_scans`, per fold}.
    """
    rows = []
    for (method, dataset), folds in metrics.items():
        means = pd.concat(folds).groupby("subject", sort=False).mean(numeric_only=True).reset_index()
        about = datasets[dataset]
        simulated = int(about["simulated"])
        rows.append(
            means.assign(
                method=method,
                dataset=dataset,
                modality=about["modality"],
                control=int(is_control(method)),
                simulated=simulated,
            )
        )
    return pd.concat(rows, ignore_index=True)[CASES_COLUMNS]
