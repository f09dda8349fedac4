"""The report's section of one dataset: its means, a look at some scans, and every subject."""

import base64
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from patch2loc.configuration.method_names import shown
from patch2loc.errors import InputError
from patch2loc.report.viewer.folder import link_to

METRIC_LABELS = {
    "method": "method",
    "subject": "subject",
    "auprc": "AUPRC",
    "best_dice": "best Dice",
    "best_threshold": "its threshold",
    "auroc": "AUROC",
    "auroc_healthy": "AUROC against healthy scans",
    "prevalence": "lesion prevalence",
    "lesion_ml": "lesion [ml]",
    "lesion_ml_outside": "of it outside brain or grid [ml]",
    "location_error": "location error [% of grid]",
    "mean_score_healthy": "mean score, healthy tissue",
    "mean_score_lesion": "mean score, lesion",
    "seconds": "time [s]",
}
KEYS = ["method", "subject"]
MEANS = ("auprc", "best_dice", "auroc", "auroc_healthy", "mean_score_healthy", "location_error")
MOST_OPEN = 40  # rows of subjects that are shown unfolded


def dataset_section(
    dataset: dict[str, Any], metrics: pd.DataFrame, scored: Sequence[dict[str, Any]], viewer: Path
) -> dict[str, Any]:
    """What the report shows of a dataset, for its template.

    dataset: name, title, modality, role, simulated.  metrics: one row per method, dataset, fold and subject; values
    are averaged over folds.  scored: entries of the viewer's index.  viewer: its folder.
    Unlabeled scans are ranked by the score of the scan as a whole, beside that of the healthy test scans of the
    same modality.
    """
    own = metrics[metrics["dataset"] == dataset["name"]].drop(columns=["dataset", "fold"])
    entries = [entry for entry in scored if entry["dataset"] == dataset["name"]]
    links = {
        entry["subject"]: f"{viewer.name}/{link_to(dataset['name'], entry['subject'])}" for entry in entries
    }
    table = own.groupby(KEYS, sort=False).mean(numeric_only=True)
    table = table.loc[:, table.notna().any()].reset_index()
    averaged = [name for name in MEANS if name in table.columns]
    means = table.groupby("method", sort=False)[averaged].mean().reset_index()
    means.insert(1, "subjects", table.groupby("method", sort=False).size().to_numpy())
    ranked = _ranked(entries, scored) if dataset["role"] == "unlabeled" else []
    return {
        **dataset,
        "n_scored": len(entries),
        "means": _table(means, {}),
        "subjects": _table(table, links),
        "open": len(table) <= MOST_OPEN,
        "gallery": [_pictured(entry, links, viewer) for entry in entries if entry["why"]],
        "ranked": [_pictured(entry, links, viewer) for entry in ranked],
    }


def _ranked(entries: Sequence[dict[str, Any]], scored: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries by falling score, each with its rank and how many healthy test scans of its modality it is above."""
    falling = sorted(entries, key=lambda entry: (-_score(entry), entry["subject"]))
    ranked = []
    for rank, entry in enumerate(falling, start=1):
        healthy = [
            _score(other)
            for other in scored
            if (other["role"], other["modality"]) == ("healthy", entry["modality"])
        ]
        above = sum(_score(entry) > score for score in healthy)
        ranked.append({**entry, "rank": rank, "above": above, "of": len(healthy)})
    return ranked


def _score(entry: dict[str, Any]) -> float:
    """Score of the scan as a whole; below all others for a scan without any."""
    return -math.inf if entry["score"] is None else entry["score"]


def _pictured(entry: dict[str, Any], links: dict[str, str], viewer: Path) -> dict[str, Any]:
    """An entry with its thumbnail and its address in the viewer."""
    picture = viewer / "thumbnails" / entry["dataset"] / f"{entry['subject']}.jpg"
    try:
        data = base64.b64encode(picture.read_bytes()).decode()
    except OSError as error:
        raise InputError(f"{picture}: unreadable thumbnail ({error}); run the rule viewer again") from error
    return entry | {"data": data, "link": links[entry["subject"]]}


def _table(table: pd.DataFrame, links: dict[str, str]) -> dict[str, Any]:
    """Headers, and rows of cells (text, key to sort by, address or None); missing values are empty."""
    return {
        "headers": [METRIC_LABELS.get(name, name) for name in table.columns],
        "rows": [
            [
                (
                    *_cell(shown(value) if name == "method" else value),
                    _viewed(links, row) if name == "subject" else None,
                )
                for name, value in row.items()
            ]
            for row in table.to_dict("records")
        ],
    }


def _viewed(links: dict[str, str], row: dict[str, Any]) -> str | None:
    """Address of a row's subject and method in the viewer; None for a subject that only other folds scored."""
    link = links.get(row["subject"])
    return link and f"{link}&method={row['method']}"


def _cell(value: Any) -> tuple[str, str]:
    """A value as it is shown, and what it is sorted by."""
    if not isinstance(value, (float, np.floating)):
        return str(value), str(value)
    if np.isnan(value):
        return "", ""
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}", repr(float(value))
