"""How datasets are labeled in tables and figures."""

from collections.abc import Mapping
from typing import Any

Datasets = Mapping[str, Mapping[str, Any]]


def dataset_label(name: str, simulated: bool, modality: str | None = None) -> str:
    """Name of a dataset for headings: with its modality and, when so, "(simulated)"."""
    label = f"{name}, {modality}" if modality else name
    return f"{label} (simulated)" if simulated else label


def label_of(about: Mapping[str, Any]) -> str:
    """`dataset_label` of a dataset's description."""
    return dataset_label(about["title"], bool(about["simulated"]), about["modality"])


def about_row(dataset: str, datasets: Datasets) -> dict[str, Any]:
    """What every long table says of a dataset: dataset, modality, simulated (0 or 1)."""
    about = datasets[dataset]
    return {"dataset": dataset, "modality": about["modality"], "simulated": int(about["simulated"])}


def dataset_heading(dataset: str, datasets: Datasets, scans: float) -> str:
    """Heading over the rows of a dataset: its label and the number of its scans."""
    about = datasets[dataset]
    label = label_of(about)
    return f"{label}: {scans:.0f} scan{'s' if scans != 1 else ''}"
