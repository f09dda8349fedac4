"""Conditions on the columns of a table of subjects: `where` of a dataset, such as {group: control, age: {from: 18}}."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from patch2loc.data.subject_tables import MISSING
from patch2loc.errors import InputError, first_of

Value = str | float  # YAML's integers are numbers, too
Range = Mapping[str, float]  # from, to: both belong to it, one may be left out
Conditions = Mapping[str, Value | Sequence[Value] | Range]

MOST_LISTED = 12  # values that a message counts


def matching_rows(table: pd.DataFrame, where: Conditions, name: str) -> pd.DataFrame:
    """Rows of a table of subjects that meet every condition.

    A number in a condition equals a cell that is written otherwise (1 and "1.0"). Text is compared as it is written.
    Empty cells match the text "n/a" only.

    Args:
        table: As text.
        where: {column: value, list of values, or {from: number, to: number}}.
        name: Of the table, for messages.

    Raises:
        InputError: There is no such column, a value is in no row, a range is put to what is not a number, or no row
            meets all conditions; the message lists what there is.
    """
    selected = pd.Series(True, index=table.index)
    for column, condition in where.items():
        if column not in table.columns:
            raise InputError(
                f"{name}: no column {column} found, which `where` names, one of {', '.join(table.columns)} expected; "
                "correct the name"
            )
        if isinstance(condition, Mapping):
            selected &= _in_range(table[column], condition, name)
        else:
            values = [condition] if isinstance(condition, str | int | float) else list(condition)
            selected &= _equal_to_any(table[column], values, name)
    if not selected.any():
        raise InputError(
            f"{name}: {len(table)} subjects found, none of whom meets all conditions of `where` "
            f"({', '.join(where)}); correct one of them"
        )
    return table[selected].reset_index(drop=True)


def _equal_to_any(cells: pd.Series, values: Sequence[Value], name: str) -> pd.Series:
    equal = pd.Series(False, index=cells.index)
    for value in values:
        matches = cells.map(lambda cell, value=value: _equal(cell, value))
        if not matches.any():
            raise InputError(
                f"{name}: no {value} found in the column {cells.name}, which `where` asks for; it has "
                f"{_counts(cells)}: correct the value"
            )
        equal |= matches
    return equal


def _equal(cell: str, value: Value) -> bool:
    """True for a cell that holds a value; numbers of a condition are compared as numbers."""
    if isinstance(value, str):
        return cell == ("" if value == MISSING else value)
    return _number(cell) == value


def _in_range(cells: pd.Series, limits: Range, name: str) -> pd.Series:
    """True where a number lies within limits; an empty cell lies in none."""
    numbers = [_number(cell) for cell in cells]
    unknown = [cell for cell, number in zip(cells, numbers, strict=True) if cell and number is None]
    if unknown:
        raise InputError(
            f"{name}: {unknown[0]!r} found in the column {cells.name}, numbers expected, of which `where` asks for a "
            "range; list its values instead, or correct the cell"
        )
    low, high = limits.get("from", -math.inf), limits.get("to", math.inf)
    inside = [number is not None and low <= number <= high for number in numbers]
    if not any(inside):
        known = [number for number in numbers if number is not None]
        there = f"{min(known):g} to {max(known):g}" if known else "no numbers"
        wanted = " ".join(f"{end} {limit:g}" for end, limit in limits.items())
        raise InputError(
            f"{name}: nothing {wanted} found in the column {cells.name}, for which `where` asks; it has {there}: "
            "correct the range"
        )
    return pd.Series(inside, index=cells.index)


def _number(cell: Any) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _counts(cells: pd.Series) -> str:
    """The values of a column, each with its number of rows, most frequent first."""
    counts = cells.replace("", MISSING).value_counts()
    return first_of((f"{value} ({count})" for value, count in counts.items()), MOST_LISTED)
