"""Layout of a table: headings, rows and cells, and numbers as text."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, cast

import numpy as np
import pandas as pd

from patch2loc.data.labels import Datasets, dataset_label
from patch2loc.metrics.names import METRICS

NO_VALUE = "–"


class Emphasis(Enum):
    """Emphasis of a cell: the best value is bold, the second best underlined."""

    NONE = "none"
    BEST = "best"
    SECOND = "second"


@dataclass(frozen=True)
class Cell:
    """Text of one cell, and its emphasis."""

    text: str
    emphasis: Emphasis = Emphasis.NONE


Row = tuple[str, list[Cell]]  # label and cells; a row without cells is a heading over those that follow


@dataclass(frozen=True)
class Layout:
    """A table as it is read: groups span columns, the first column names the rows.

    Attributes:
        number: such as "Table 1".
        title: of the table.
        stub: heading of the first column.
        groups: (label, number of columns) of the headings over the columns after the first.
        columns: labels of the columns after the first.
        rows: (label, cells); labels of subordinate rows start with a space.
        footer: rows set off by a rule.
        note: what the numbers mean.
    """

    number: str
    title: str
    stub: str
    groups: list[tuple[str, int]]
    columns: list[str]
    rows: list[Row]
    footer: list[Row] = field(default_factory=list)
    note: str = ""


def percent_heading(metric: str) -> str:
    """Heading over a column of a metric in percent. metric: its column in result tables."""
    return f"{METRICS[metric].column_heading} [%]"


def number(value: float, digits: int) -> str:
    """A number; a dash for NaN."""
    if np.isnan(value):
        return NO_VALUE
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
    """Mean ± standard deviation of fractions, in percent; the mean alone when sd is NaN."""
    if np.isnan(mean) or np.isnan(sd):
        return percent(mean, digits)
    return f"{percent(mean, digits)} ± {percent(sd, digits)}"


def interval(record: Mapping[str, Any], digits: int = 1) -> str:
    """Interval of the fractions ci_low and ci_high, in percent; a dash without an interval."""
    if np.isnan(record["ci_low"]):
        return NO_VALUE
    joint = " to " if record["ci_low"] < 0 else "–"
    return f"{percent(record['ci_low'], digits)}{joint}{percent(record['ci_high'], digits)}"


def dataset_groups(table: pd.DataFrame, datasets: Datasets, span: int) -> list[tuple[str, int]]:
    """Headings over the columns of a layout: each dataset of a long table over `span` columns."""
    return [
        (
            dataset_label(datasets[row["dataset"]]["title"], bool(row["simulated"]), row["modality"]),
            span,
        )
        for row in row_records(table.drop_duplicates("dataset"))
    ]


def row_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table, {column: value}."""
    return cast(list[dict[str, Any]], table.to_dict("records"))


def parts_by(table: pd.DataFrame, column: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each text in a column and the rows that have it, in the order of the table."""
    for text, part in table.groupby(column, sort=False):
        yield cast(str, text), part
