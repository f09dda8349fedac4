"""Rows of a comparison: medians and spreads of values that were measured in turns, and of their ratios turn by turn."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

Row = dict[str, object]
Turns = Sequence[dict[str, float]]  # one value of each way a turn
PRODUCT = "matrix product"
COLUMNS = (
    "case",
    "task",
    "way",
    "precision",
    "value",
    "low",
    "high",
    "unit",
    "against",
    "against_precision",
    "against_value",
    "against_low",
    "against_high",
    "ratio",
    "ratio_low",
    "ratio_high",
    "share_of_peak",
    "peak_memory_mb",
    "note",
    "turns",
    "machine",
    "threads",
    "torch",
    "date",
)


def spread(values: Iterable[float]) -> tuple[float, float, float]:
    """Median, first and third quartile."""
    middle, low, high = np.percentile(np.fromiter(values, float), [50, 25, 75])
    return float(middle), float(low), float(high)


def compared(
    task: str,
    way: tuple[str, str],
    against: tuple[str, str] | None,
    turns: Turns,
    unit: str,
    *,
    more_is_faster: bool = False,
    share_of_peak: float | None = None,
    peak_memory_mb: float | None = None,
    note: str = "",
) -> Row:
    """A row about one way, and how many times faster it is than another in the same turns.

    Args:
        task: What was measured.
        way: Name and precision of a way; its values have the key "name, precision" in every turn.
        against: The way that it is compared with; None for none.
        turns: Values, in the unit.
        unit: Of the values.
        more_is_faster: The values are rates, not times.
        share_of_peak: Of the machine's matrix product.
        peak_memory_mb: Largest memory, MB.
        note: What a reader has to know besides.
    """
    values = [turn[key(*way)] for turn in turns]
    value, low, high = spread(values)
    row: Row = {
        "task": task,
        "way": way[0],
        "precision": way[1],
        "value": value,
        "low": low,
        "high": high,
        "unit": unit,
        "share_of_peak": share_of_peak,
        "peak_memory_mb": peak_memory_mb,
        "note": note,
        "turns": len(turns),
    }
    if against:
        others = [turn[key(*against)] for turn in turns]
        pairs = zip(values, others, strict=True)
        ratios = [ours / other if more_is_faster else other / ours for ours, other in pairs]
        names = ("value", "low", "high")
        row |= {"against": against[0], "against_precision": against[1]}
        row |= {f"against_{name}": part for name, part in zip(names, spread(others), strict=True)}
        row |= dict(zip(("ratio", "ratio_low", "ratio_high"), spread(ratios), strict=True))
    return row


def key(way: str, precision: str) -> str:
    """Key of a way's values in a turn."""
    return f"{way}, {precision}"


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write the rows; four digits are more than a timing has."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, restval="")
        table.writeheader()
        for row in rows:
            table.writerow({name: f"{x:.4g}" if isinstance(x, float) else x for name, x in row.items()})


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows as they were written."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def markdown(rows: Iterable[dict[str, str]]) -> str:
    """Table of the comparisons: question, ours, the other, ratio with its spread, share of the machine."""
    header = ("question", "ours", "the other", "times faster", "share of the product")
    lines = [
        (
            f"{row['task']} ({row['note']})" if row["note"] else row["task"],
            f"{name(row, 'way', 'precision')}: {measured(row)} {row['unit']}",
            f"{name(row, 'against', 'against_precision')}: {measured(row, 'against_')}"
            if row["against"]
            else "",
            measured({**row, "value": row["ratio"], "low": row["ratio_low"], "high": row["ratio_high"]}),
            f"{100 * float(row['share_of_peak']):.0f} %" if row["share_of_peak"] else "",
        )
        for row in rows
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, ("---",) * len(header), *lines))


def name(row: dict[str, str], way: str, precision: str) -> str:
    """A way, with its precision where it is not the usual one."""
    return row[way] if row[precision] in ("", "float32") else f"{row[way]}, {row[precision]}"


def measured(row: dict[str, str], of: str = "") -> str:
    """Median and quartiles of a value; nothing where there is none."""
    value, low, high = (row[f"{of}{part}"] for part in ("value", "low", "high"))
    if not value:
        return ""
    return f"{number(value)} ({number(low)} to {number(high)})" if low != high else number(value)


def number(value: str) -> str:
    """Three digits; no exponent but of very small numbers."""
    x = float(value)
    if 0 < abs(x) < 1e-3:
        return f"{x:.1e}"
    digits = max(0, 2 - int(np.floor(np.log10(abs(x))))) if x else 0
    return f"{x:,.{digits}f}" if abs(x) < 1000 else f"{float(f'{x:.3g}'):,.0f}"
