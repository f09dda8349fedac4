"""Layout of a table: headings, rows and cells, and numbers as text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd

from patch2loc.data.labels import Datasets, dataset_label

METRIC_NAMES = {"best_dice": "Dice", "auprc": "AUPRC"}


class Emphasis(Enum):
    """How a cell stands out: best value bold, second best underlined, secondary rows small."""

    NONE = "none"
    BEST = "best"
    SECOND = "second"


@dataclass(frozen=True)
class Cell:
    """Text of one cell and its emphasis."""

    text: str
    emphasis: Emphasis = Emphasis.NONE


Row = tuple[str, list[Cell]]  # its label and what follows; a heading without cells


@dataclass(frozen=True)
class Layout:
    """A table as it is read: groups span columns, the first column names the rows.

    number: "Table 1". groups: (label, number of columns) after the first column; columns: their labels.
    rows: (row label, cells), the labels of subordinate rows start with a space. footer: rows set off by
    a rule. note: what the numbers mean. A row without cells is a heading over those that follow.
    """

    number: str
    title: str
    stub: str
    groups: list[tuple[str, int]]
    columns: list[str]
    rows: list[Row]
    footer: list[Row] = field(default_factory=list)
    note: str = ""


def number(value: float, digits: int) -> str:
    """A number; a dash for NaN."""
    if np.isnan(value):
        return "–"
    text = f"{value:.{digits}f}"
    return (text if float(text) else text.lstrip("-")).replace("-", "−")


def percent(fraction: float, digits: int = 1) -> str:
    """A fraction in percent; a dash for NaN."""
    return number(100 * fraction, digits)


def signed_percent(fraction: float, digits: int = 1) -> str:
    """A difference of fractions in percentage points, with its sign; a dash for NaN."""
    text = percent(fraction, digits)
    return f"+{text}" if fraction > 0 and float(text) else text


def spread(mean: float, sd: float, digits: int = 1) -> str:
    """Fractions in percent, mean ± standard deviation where there is one."""
    if np.isnan(mean) or np.isnan(sd):
        return percent(mean, digits)
    return f"{percent(mean, digits)} ± {percent(sd, digits)}"


def interval(record: Mapping[str, Any], digits: int = 1) -> str:
    """The fractions ci_low and ci_high in percent; a dash without an interval."""
    if np.isnan(record["ci_low"]):
        return "–"
    joint = " to " if record["ci_low"] < 0 else "–"
    return f"{percent(record['ci_low'], digits)}{joint}{percent(record['ci_high'], digits)}"


def dataset_groups(table: pd.DataFrame, datasets: Datasets, span: int) -> list[tuple[str, int]]:
    """Headings over the columns of a layout: each dataset of a long table over `span` columns."""
    first = table.drop_duplicates("dataset")
    return [
        (dataset_label(datasets[r["dataset"]]["title"], bool(r["simulated"]), r["modality"]), span)
        for r in first.to_dict("records")
    ]
