"""Section of the report on one dataset: means, some scans, and every subject."""

import base64
import math
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from patch2loc.configuration.method_names import display_name
from patch2loc.errors import InputError
from patch2loc.metrics.names import METRICS
from patch2loc.report.viewer.folder import ViewerEntry, link_to

# Metrics of the tables of scans, in the order of their columns.
COLUMNS = (
    *("auprc", "best_dice", "best_threshold", "auroc", "auroc_healthy", "prevalence"),
    *("auprc_any", "best_dice_any", "prevalence_any", "lesion_ml", "lesion_ml_outside", "location_error"),
    *("mean_score_healthy", "mean_score_lesion", "seconds"),
)
METRIC_LABELS = {"method": "method", "subject": "subject"} | {
    column: METRICS[column].label_with_unit for column in COLUMNS
}
KEYS = ["method", "subject"]
MEANS = ("auprc", "best_dice", "auroc", "auroc_healthy", "mean_score_healthy", "location_error")
MOST_OPEN = 40  # rows of subjects that are shown unfolded


class RankedEntry(ViewerEntry):
    """An unlabeled scan with its rank, and the number of healthy test scans (of `of`) that it scores above."""

    rank: int
    above: int
    of: int


def dataset_section(
    dataset: Mapping[str, Any], metrics: pd.DataFrame, scored: Sequence[ViewerEntry], viewer: Path
) -> dict[str, Any]:
    """Values of the report's template for the section of a dataset.

    Unlabeled scans are ranked by the score of the scan as a whole, beside that of the healthy test scans of the same
    modality.

    Args:
        dataset: name, title, modality, role, simulated.
        metrics: one row per method, dataset, fold and subject; values are averaged over folds.
        scored: entries of the viewer's index.
        viewer: its folder.

    Returns:
        Keys of `dataset`, and n_scored, means and subjects (tables), open (true to show the subjects unfolded),
        gallery and ranked (entries with thumbnail and link).

    Raises:
        InputError: a thumbnail cannot be read.
    """
    rows = metrics[metrics["dataset"] == dataset["name"]].drop(columns=["dataset", "fold"])
    entries = [entry for entry in scored if entry["dataset"] == dataset["name"]]
    links = {
        entry["subject"]: f"{viewer.name}/{link_to(dataset['name'], entry['subject'])}" for entry in entries
    }
    table = rows.groupby(KEYS, sort=False).mean(numeric_only=True)
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
        "gallery": [_gallery_entry(entry, links, viewer) for entry in entries if entry["why"]],
        "ranked": [_gallery_entry(entry, links, viewer) for entry in ranked],
    }


def _ranked(entries: Sequence[ViewerEntry], scored: Sequence[ViewerEntry]) -> list[RankedEntry]:
    """Entries by falling score, beside the healthy test scans of the same modality."""
    falling = sorted(entries, key=lambda entry: (-_score(entry), entry["subject"]))
    ranked: list[RankedEntry] = []
    for rank, entry in enumerate(falling, start=1):
        healthy = [
            _score(other)
            for other in scored
            if (other["role"], other["modality"]) == ("healthy", entry["modality"])
        ]
        above = sum(_score(entry) > score for score in healthy)
        ranked.append({**entry, "rank": rank, "above": above, "of": len(healthy)})
    return ranked


def _score(entry: ViewerEntry) -> float:
    """Score of the scan as a whole; below all others for a scan without any."""
    return -math.inf if entry["score"] is None else entry["score"]


def _gallery_entry(entry: ViewerEntry, links: Mapping[str, str], viewer: Path) -> dict[str, object]:
    """An entry with its thumbnail and its address in the viewer."""
    picture = viewer / "thumbnails" / entry["dataset"] / f"{entry['subject']}.jpg"
    try:
        data = base64.b64encode(picture.read_bytes()).decode()
    except OSError as error:
        raise InputError(f"{picture}: unreadable thumbnail ({error}); run the rule viewer again") from error
    return {**entry, "data": data, "link": links[entry["subject"]]}


def _table(table: pd.DataFrame, links: Mapping[str, str]) -> dict[str, Any]:
    """Headers, and rows of cells (text, key to sort by, address or None); missing values are empty."""
    return {
        "headers": [METRIC_LABELS.get(name, name) for name in table.columns],
        "rows": [
            [
                (
                    *_cell(display_name(value) if name == "method" else value),
                    _viewer_link(links, row) if name == "subject" else None,
                )
                for name, value in row.items()
            ]
            for row in table.to_dict("records")
        ],
    }


def _viewer_link(links: Mapping[str, str], row: Mapping[Hashable, Any]) -> str | None:
    """Address of a row's subject and method in the viewer; None for a subject that only other folds scored."""
    link = links.get(row["subject"])
    return link and f"{link}&method={row['method']}"


def _cell(value: object) -> tuple[str, str]:
    """Text of a value, and the key that it is sorted by."""
    if not isinstance(value, (float, np.floating)):
        return str(value), str(value)
    number = float(value)
    if math.isnan(number):
        return "", ""
    return f"{number:.3f}" if abs(number) < 100 else f"{number:.0f}", repr(number)
