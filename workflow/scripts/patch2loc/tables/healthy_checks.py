"""Healthy checks: predicted variances, sides, and errors by the distance from the brain's edge, without any lesion."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from patch2loc.configuration.method_names import display_name
from patch2loc.data.labels import Datasets, about_row, dataset_heading
from patch2loc.metrics import summary
from patch2loc.metrics.location_checks import (
    CLEAR_OF_MIDLINE,
    COORDINATES,
    EDGE_DISTANCES,
    KEYS,
    scan_checks,
)
from patch2loc.tables.inputs import FoldTables
from patch2loc.tables.layout import NO_VALUE, Cell, Layout, Row, number, parts_by, row_records

COLUMNS = ["method", "dataset", "modality", "simulated", *KEYS, "expected", *summary.COLUMNS, "n_patches"]
SHOWN_LEVELS = {"both": (0.5, 0.68, 0.9, 0.95, 0.99), "x": (0.68, 0.95), "y": (0.68, 0.95)}  # of LEVELS

Bounds = tuple[float, float]


def healthy_checks_table(
    patches: FoldTables,
    datasets: Datasets,
    shape: Sequence[int],
    *,
    midline: float,
    seed: int = 0,
) -> pd.DataFrame:
    """Checks of every method on the test scans of every healthy dataset.

    Args:
        patches: tables of patches of methods that predict locations.
        datasets: their descriptions.
        shape: voxels of the grid along x, y and z.
        midline: location of the midsagittal plane along x, percent of the grid.
        seed: of the bootstrap.

    Returns:
        Table with the columns COLUMNS, one row for each method, dataset and check, which
        `metrics.location_checks.scan_checks` defines. mean is the mean over folds of the means over scans; expected is
        averaged likewise. n_patches: patches of all scans behind the row, mean over folds.
    """
    rows: list[dict[str, Any]] = []
    for (method, dataset), folds in patches.items():
        checks = pd.concat(
            [scan_checks(fold, shape, midline).assign(fold=number) for number, fold in enumerate(folds)]
        )
        for key, part in checks.groupby(KEYS, sort=False, dropna=False):
            by_fold = [part[part["fold"] == fold] for fold in range(len(folds))]
            rows.append(
                {
                    "method": method,
                    **about_row(dataset, datasets),
                    **dict(zip(KEYS, key, strict=True)),
                    "expected": pd.Series([fold["expected"].mean() for fold in by_fold]).mean(),
                    **summary.summary_of(by_fold, "value", seed),
                    "n_patches": round(part["n_patches"].sum() / len(folds)),
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def healthy_checks_layout(table: pd.DataFrame, datasets: Datasets, midline: float) -> Layout:
    """Layout of a `healthy_checks_table`: the checks of each dataset under it, methods side by side."""
    methods = list(table["method"].unique())
    rows: list[Row] = []
    for dataset, part in parts_by(table, "dataset"):
        squares = part[(part["check"] == "squared_z") & (part["quantity"] == "x")].iloc[0]
        scans, count = int(squares["n_subjects"]), int(squares["n_patches"])
        rows.append((f"{dataset_heading(dataset, datasets, scans)}, {count:,} patches", []))
        rows += _rows(part, methods)
    return Layout(
        number="Healthy checks",
        title="Predicted locations and variances in healthy test scans",
        stub="Check",
        groups=[
            ("If calibrated", 1),
            ("Mean over scans and folds (95 % bootstrap interval over both)", len(methods)),
        ],
        columns=["", *map(display_name, methods)],
        rows=rows,
        note=(
            "Non-overlapping patches with at least 20 % brain. Region: the central part of the predicted normal "
            "distribution that holds the given probability. z: error over predicted standard deviation (sd). Other "
            f"side: of the patches at least {CLEAR_OF_MIDLINE:g} % of the grid away from the midsagittal plane (at "
            f"{midline:.1f} %), those that are placed on its other side. Location errors and sd are in percent of the "
            "grid. Edge: of the brain within the slice; the distance is that of the patch's center."
        ),
    )


class _CheckRow(NamedTuple):
    """A row of the layout: a check and how its numbers are written."""

    label: str
    check: str
    quantity: str
    bounds: Bounds | None = None
    column: str = "mean"  # or "expected"
    ideal: float | None = None  # the value of a calibrated prediction
    percent: bool = False  # of a fraction
    digits: int = 1


def _check_rows() -> Iterator[_CheckRow]:
    """Rows under each dataset."""
    for quantity, levels in SHOWN_LEVELS.items():
        along = "" if quantity == "both" else f", along {quantity}"
        for level in levels:
            label = f"in the region of {100 * level:.0f} % [%]{along}"
            yield _CheckRow(label, "coverage", quantity, (0.0, level), ideal=level, percent=True)
    for quantity in COORDINATES:
        yield _CheckRow(f"mean squared z, {quantity}", "squared_z", quantity, ideal=1.0, digits=2)
    yield _CheckRow("rank correlation of error and predicted variance", "rank_correlation", "both", digits=2)
    clear = (CLEAR_OF_MIDLINE, np.inf)
    yield _CheckRow("placed on the other side [%]", "opposite_side", "share", clear, percent=True, digits=2)
    yield _CheckRow(
        "the same, by the predicted distributions [%]",
        "opposite_side",
        "share",
        clear,
        column="expected",
        percent=True,
        digits=2,
    )
    for quantity, side in (("opposite", "other"), ("same", "same")):
        label = f"predicted sd along x, if on the {side} side"
        yield _CheckRow(label, "opposite_side_sd", quantity, clear)
    for quantity, name in (("location_error", "location error"), ("score", "score")):
        for low, high in pairwise(EDGE_DISTANCES):
            yield _CheckRow(
                f"{name}, {edge_distance_label(low, high)}", "edge_distance", quantity, (low, high)
            )


def edge_distance_label(low: float, high: float) -> str:
    """A bin of distances from the edge of the brain, mm, in words."""
    if low == -np.inf:
        return "center outside the brain"
    if high == np.inf:
        return f"{low:g} mm from the edge or more"
    return f"{low:g} to {high:g} mm from the edge"


def _rows(part: pd.DataFrame, methods: Sequence[str]) -> Iterator[Row]:
    """Rows of one dataset, of which `part` is that of the table; checks that no method has are left out."""
    records: dict[tuple[str, str, Bounds | None], dict[str, dict[str, Any]]] = {}
    for record in row_records(part):
        bounds = None if np.isnan(record["low"]) else (record["low"], record["high"])
        records.setdefault((record["check"], record["quantity"], bounds), {})[record["method"]] = record
    for row in _check_rows():
        by_method = records.get((row.check, row.quantity, row.bounds))
        if by_method:
            cells = [_cell(by_method.get(method), row) for method in methods]
            scale = 100 if row.percent else 1
            ideal = NO_VALUE if row.ideal is None else f"{scale * row.ideal:g}"
            yield f"  {row.label}", [Cell(ideal), *cells]


def _cell(record: Mapping[str, Any] | None, row: _CheckRow) -> Cell:
    """Mean and interval of a check, or what is expected of it."""
    if record is None:
        return Cell(NO_VALUE)
    scale = 100 if row.percent else 1
    text = number(scale * record[row.column], row.digits)
    if row.column == "mean" and not np.isnan(record["ci_low"]):
        low, high = (number(scale * record[end], row.digits) for end in ("ci_low", "ci_high"))
        text += f" ({low} to {high})"
    return Cell(text)
