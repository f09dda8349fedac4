"""Healthy checks: fit of the predicted variances, confused sides, and errors by distance from the brain's edge."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullFormatter
from numpy.typing import ArrayLike
from scipy.stats import norm

from patch2loc.data.labels import Datasets, dataset_heading
from patch2loc.data.midsagittal import midline_location
from patch2loc.figures.method_styles import MethodStyle, line_handle, method_legend, method_styles
from patch2loc.figures.style import PAGE_WIDTH, RC
from patch2loc.metrics.location_checks import EDGE_DISTANCES, MIDLINE_EDGES
from patch2loc.preprocess.atlas import common_grid, load_atlas
from patch2loc.tables.healthy_checks import healthy_checks_layout, healthy_checks_table
from patch2loc.tables.inputs import subjects_in
from patch2loc.tables.layout import parts_by
from patch2loc.tables.made import Made, by_method_and_dataset, settings_of

ENDS = ["mean", "ci_low", "ci_high"]
IDEAL: dict[str, Any] = {"color": "0.3", "linestyle": ":", "linewidth": 1.0}
LEAST_DENSITY = 1e-3  # of the histogram's axis: a normal distribution has this at 3.5 standard deviations
HEIGHT = 3.7  # inches, of the two rows of a dataset


@mpl.rc_context(RC)
def healthy_checks_figure(table: pd.DataFrame, datasets: Datasets, methods: Sequence[str]) -> Figure:
    """Two rows of three panels for each dataset; means over scans and folds, with 95 % intervals over both.

    Above: share of true locations inside the predicted regions; density of the standardized errors; root mean squared
    error against predicted standard deviation, by deciles of the predicted variance within the scan. Below: share of
    patches placed on the other side of the midline by their distance from it; location error and score by the distance
    from the edge of the brain.

    Args:
        table: of `tables.healthy_checks.healthy_checks_table`.
        datasets: their descriptions.
        methods: every evaluated method of the run, in the order of colors.
    """
    styles = method_styles(methods)
    names = list(table["dataset"].unique())
    figure = Figure(figsize=(PAGE_WIDTH, 0.5 + HEIGHT * len(names)), layout="constrained")
    panels = figure.subplots(2 * len(names), 3, squeeze=False).reshape(len(names), 6)
    drawn = (_coverage, _standardized_errors, _spread, _sides, _location_error, _score)
    for (dataset, rows), of_dataset in zip(parts_by(table, "dataset"), panels, strict=True):
        scans = rows.loc[rows["check"] == "squared_z", "n_subjects"].max()
        of_dataset[0].set_title(dataset_heading(dataset, datasets, scans), loc="left")
        for panel, draw in zip(of_dataset, drawn, strict=True):
            draw(panel, rows, styles)
    calibrated = Line2D([], [], label="calibrated prediction", **IDEAL)
    by_prediction = Line2D(
        [], [], color="0.3", marker="x", linestyle="", markersize=4.5, label="by the predicted distributions"
    )
    shown = [line_handle(styles[method]) for method in table["method"].unique()]
    method_legend(figure, [*shown, calibrated, by_prediction])
    return figure


def _coverage(panel: Axes, rows: pd.DataFrame, styles: Mapping[str, MethodStyle]) -> None:
    """Observed against nominal probability of the predicted ellipses."""
    for method, levels in _of(rows, "coverage", "both"):
        _draw(panel, 100 * levels["high"], levels[ENDS] * 100, styles[method])
    panel.plot([0, 100], [0, 100], zorder=1, **IDEAL)
    panel.set(
        xlim=(0, 100),
        ylim=(0, 100),
        xlabel="probability of the predicted region [%]",
        ylabel="true locations in it [%]",
    )


def _standardized_errors(panel: Axes, rows: pd.DataFrame, styles: Mapping[str, MethodStyle]) -> None:
    """Density of the errors along x and y over their predicted standard deviations; the open bins are left out."""
    for method, bins in _of(rows, "z", "both"):
        closed = bins[np.isfinite(bins["low"]) & np.isfinite(bins["high"])]
        width = closed["high"] - closed["low"]
        _draw(panel, (closed["low"] + closed["high"]) / 2, closed[ENDS].div(width, axis=0), styles[method])
    z = np.linspace(-5, 5, 201)
    panel.plot(z, norm.pdf(z), zorder=1, **IDEAL)
    panel.set(
        yscale="log",
        xlim=(-5, 5),
        ylim=(LEAST_DENSITY, 1),
        xlabel="error / predicted standard deviation",
        ylabel="density (x and y)",
    )
    panel.yaxis.set_major_formatter(_plain)


def _spread(panel: Axes, rows: pd.DataFrame, styles: Mapping[str, MethodStyle]) -> None:
    """Root mean squared error against predicted standard deviation, x with filled and y with empty markers."""
    limits = [np.inf, 0.0]
    for coordinate, face in (("x", None), ("y", "white")):
        for method, deciles in _of(rows, "spread", coordinate):
            sd, errors = deciles["expected"] ** 0.5, deciles[ENDS] ** 0.5
            style = styles[method]
            _draw(
                panel,
                sd,
                errors,
                style,
                linewidth=0.8,
                marker=style.marker,
                markersize=3.2,
                markerfacecolor=face or style.color,
            )
            limits = [
                min(limits[0], sd.min(), errors["mean"].min()),
                max(limits[1], sd.max(), errors["mean"].max()),
            ]
    low, high = limits[0] / 1.15, limits[1] * 1.15
    panel.plot([low, high], [low, high], zorder=1, **IDEAL)
    ticks = [
        tick
        for tick in (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50)
        if low <= tick <= high
    ]
    panel.set(xscale="log", yscale="log")
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_major_formatter(_plain)
        axis.set_minor_formatter(NullFormatter())
    panel.set(
        xlim=(low, high),
        ylim=(low, high),
        xlabel="predicted sd [% of the grid]",
        ylabel="root mean squared error\n(filled: x, empty: y)",
    )


def _sides(panel: Axes, rows: pd.DataFrame, styles: Mapping[str, MethodStyle]) -> None:
    """Share of patches on the other side by their distance from the midline, and that by their distributions."""
    filled = set(
        rows.loc[rows["check"] == "opposite_side", ["low", "high"]].itertuples(index=False, name=None)
    )
    bins = [bounds for bounds in pairwise(MIDLINE_EDGES) if bounds in filled]  # tiles leave some empty
    for method, found in _of(rows, "opposite_side", "share"):
        shares = found.set_index(["low", "high"]).reindex(bins)
        style = styles[method]
        _draw(panel, range(len(bins)), shares[ENDS] * 100, style, marker=style.marker, markersize=3.5)
        panel.plot(
            range(len(bins)),
            100 * shares["expected"],
            "x",
            color=style.color,
            markersize=4.5,
            clip_on=False,
            zorder=style.order,
        )
    labels = [f"{low:g} to {high:g}" if np.isfinite(high) else f"from {low:g}" for low, high in bins]
    panel.set_xticks(range(len(bins)), labels)
    panel.set(
        xlim=(-0.5, len(bins) - 0.5),
        ylim=(0, None),
        xlabel="distance from the midline [% of the grid]",
        ylabel="placed on the other side [%]",
    )


def _location_error(panel: Axes, rows: pd.DataFrame, styles: Mapping[str, MethodStyle]) -> None:
    _by_edge_distance(panel, rows, styles, "location_error", "location error [% of the grid]")


def _score(panel: Axes, rows: pd.DataFrame, styles: Mapping[str, MethodStyle]) -> None:
    _by_edge_distance(panel, rows, styles, "score", "abnormality score")


def _by_edge_distance(
    panel: Axes, rows: pd.DataFrame, styles: Mapping[str, MethodStyle], quantity: str, label: str
) -> None:
    """A mean of patches by the distance of their center from the edge of the brain."""
    bins = list(pairwise(EDGE_DISTANCES))
    for method, found in _of(rows, "edge_distance", quantity):
        means = found.set_index(["low", "high"]).reindex(bins)[ENDS]
        style = styles[method]
        _draw(panel, range(len(bins)), means, style, marker=style.marker, markersize=3.5)
    # Ticks lie between bins, at the distance that they share.
    panel.set_xticks(np.arange(len(bins) - 1) + 0.5, [f"{high:g}" for _, high in bins[:-1]])
    panel.set(xlim=(-0.5, len(bins) - 0.5), xlabel="mm from the brain's edge", ylabel=label)
    panel.set_ylim(min(0, panel.dataLim.ymin), panel.dataLim.ymax * 1.08)


def _plain(value: float, _: float) -> str:
    """A tick's number, not as a power of ten."""
    return f"{value:g}"


def _of(rows: pd.DataFrame, check: str, quantity: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Rows of a check by method."""
    return parts_by(rows[(rows["check"] == check) & (rows["quantity"] == quantity)], "method")


def _draw(panel: Axes, x: ArrayLike, y: pd.DataFrame, style: MethodStyle, **look: Any) -> None:
    """A line of means with the band of their intervals. y: columns ENDS."""
    panel.fill_between(
        x, y["ci_low"], y["ci_high"], color=style.color, alpha=0.15, linewidth=0, zorder=style.order - 1
    )
    look = {"color": style.color, "linestyle": style.line, "linewidth": style.width} | look
    panel.plot(x, y["mean"], zorder=style.order, **look)


def make(inputs: Any, params: Any) -> Made:
    """Make the result; `plan.outputs` lists its inputs and parameters."""
    atlas = load_atlas(params.atlas, "T1")  # in the same space as that of T2
    grid = common_grid(atlas, params.grid["shape"], params.grid["spacing"])
    # A grid around each brain has its middle where that of the brain's box is.
    midline = midline_location(atlas.image, atlas.affine, grid) if params.crop == "atlas" else 50.0
    patches = by_method_and_dataset(inputs.patches, params, pd.read_parquet)
    table = healthy_checks_table(patches, params.datasets, grid.shape, midline=midline, seed=params.seed)
    return Made(
        table,
        healthy_checks_layout(table, params.datasets, midline),
        healthy_checks_figure(table, params.datasets, params.all_methods),
        subjects=subjects_in(patches),
        settings=settings_of(params, "seed", "folds", "atlas") | {"midline": midline},
        files=inputs.patches,
    )
