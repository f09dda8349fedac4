"""Labels of datasets in tables and figures."""

from collections.abc import Mapping
from typing import Any

from patch2loc.data.vocabulary import DatasetInfo

Datasets = Mapping[str, DatasetInfo]


def dataset_label(title: str, simulated: bool, modality: str | None = None) -> str:
    """Title of a dataset for headings, with its modality and, for simulated data, "(simulated)"."""
    label = f"{title}, {modality}" if modality else title
    return f"{label} (simulated)" if simulated else label


def label_of(info: DatasetInfo) -> str:
    """`dataset_label` of a dataset's description."""
    return dataset_label(info["title"], bool(info["simulated"]), info["modality"])


def about_row(dataset: str, datasets: Datasets) -> dict[str, Any]:
    """Columns that every long table has for the dataset of a row: dataset, modality, simulated (0 or 1)."""
    info = datasets[dataset]
    return {"dataset": dataset, "modality": info["modality"], "simulated": int(info["simulated"])}


def dataset_heading(dataset: str, datasets: Datasets, scans: float) -> str:
    """Heading over the rows of a dataset: its label and the number of its scans."""
    return f"{label_of(datasets[dataset])}: {scans:.0f} scan{'s' if scans != 1 else ''}"
