"""Precision against recall, and Dice against what a threshold costs on healthy scans, method by method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from patch2loc.data.labels import label_of
from patch2loc.figures.method_styles import (
    MethodStyle,
    line_handle,
    method_legend,
    method_styles,
    note_no_lesion,
    rows_of_two,
)
from patch2loc.figures.style import RC
from patch2loc.files import read_csv
from patch2loc.tables.made import Made

RANDOM: dict[str, Any] = {"color": "0.3", "linestyle": ":", "linewidth": 1.0}


@dataclass(frozen=True)
class DatasetCurves:
    """Curves of all methods on one dataset: a row of the figure.

    Attributes:
        title: dataset, with "(simulated)" if it is.
        curves: {method: table}, with columns curve ("precision_recall" or "dice_threshold"), x (recall, or share of
            healthy validation voxels above the threshold), mean, lower and upper (quartiles) over subjects, and
            subjects (their number).
        prevalence: mean fraction of lesion in the scans, which a random score reaches.
    """

    title: str
    curves: Mapping[str, pd.DataFrame]
    prevalence: float


@mpl.rc_context(RC)
def curves_figure(rows: Sequence[DatasetCurves], methods: Sequence[str]) -> Figure:
    """One row per dataset: precision against recall, and Dice against the share of healthy voxels above a threshold.

    Lines are means over subjects, bands their quartiles. Left out are points that are not finite, and thresholds that
    no healthy voxel reaches, which have no place on a logarithmic axis.

    Args:
        rows: datasets, from the top.
        methods: every evaluated method, in the order of colors.
    """
    styles = method_styles(methods)
    figure, panels = rows_of_two([f"{row.title}, {_scans(row)}" for row in rows])
    shares = [
        share
        for row in rows
        for table in row.curves.values()
        for share in _points(table, "dice_threshold").query("x > 0")["x"]
    ]
    for row, (precision, dice) in zip(rows, panels, strict=True):
        for method, table in row.curves.items():
            _draw(precision, _points(table, "precision_recall"), styles[method])
            _draw(dice, _points(table, "dice_threshold").query("x > 0"), styles[method])
        for panel in (precision, dice):
            if not panel.lines:
                note_no_lesion(panel)
            panel.set_ylim(0, min(1.02, panel.dataLim.ymax * 1.08) if panel.lines else 1)
        precision.set(xlim=(0, 1), ylabel="precision")
        dice.set(xscale="log", ylabel="Dice")
        if shares:
            dice.set_xlim(min(shares), max(shares))
        precision.axhline(row.prevalence, zorder=1, **RANDOM)
        dice.xaxis.set_major_locator(LogLocator())
        dice.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
        dice.xaxis.set_minor_formatter(NullFormatter())
    precision.set_xlabel("recall: share of the lesion voxels found")
    dice.set_xlabel("healthy voxels above the threshold, validation scans")
    random = Line2D([], [], label="random score (lesion prevalence)", **RANDOM)
    method_legend(figure, [*map(line_handle, styles.values()), random])
    return figure


def _points(table: pd.DataFrame, curve: str) -> pd.DataFrame:
    """Points of one curve that have a value, by growing x."""
    return table[table["curve"] == curve].dropna(subset=["x", "mean"]).sort_values("x", kind="stable")


def _scans(row: DatasetCurves) -> str:
    """Number of scans behind the curves."""
    most = max((int(table["subjects"].max()) for table in row.curves.values() if len(table)), default=0)
    return f"{most} scan{'s' if most != 1 else ''}"


def _draw(panel: Axes, points: pd.DataFrame, style: MethodStyle) -> None:
    if points.empty:
        return
    panel.fill_between(
        points["x"],
        points["lower"],
        points["upper"],
        color=style.color,
        alpha=0.13,
        linewidth=0,
        zorder=style.order - 1,
    )
    panel.plot(
        points["x"],
        points["mean"],
        color=style.color,
        linestyle=style.line,
        linewidth=style.width,
        zorder=style.order,
    )


def make(inputs: Any, params: Any) -> Made:
    """Make the result; `plan.outputs` lists its inputs and parameters."""
    keys = product(params.methods, params.datasets)
    tables = {key: read_csv(path) for key, path in zip(keys, inputs.curves, strict=True)}
    rows = []
    for (name, info), path in zip(params.datasets.items(), inputs.metrics, strict=True):
        metrics = read_csv(path)
        curves = {method: tables[method, name] for method in params.methods}
        prevalence = metrics.loc[metrics["auprc"].notna(), "prevalence"].mean()
        rows.append(DatasetCurves(label_of(info), curves, prevalence))
    return Made(figure=curves_figure(rows, params.methods))
