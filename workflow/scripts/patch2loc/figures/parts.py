"""Parts of the score: as detectors by epsilon, filter and cost, and in healthy brains by the distance from the edge."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from patch2loc.data.labels import Datasets, dataset_heading
from patch2loc.figures.method_styles import COLORS, LINES, MARKERS, method_legend
from patch2loc.figures.style import PAGE_WIDTH, RC
from patch2loc.metrics.names import METRICS
from patch2loc.metrics.parts import (
    EDGE_DISTANCES,
    EDGE_HIGHEST,
    EDGE_SCORE,
    HIGHEST,
    PARTS,
    Setting,
    of_setting,
)
from patch2loc.tables.inputs import read_folds, subjects_in
from patch2loc.tables.layout import parts_by
from patch2loc.tables.made import Made
from patch2loc.tables.parts import LABELS, parts_layout, parts_table

SHOWN_METRIC = "auprc"
ENDS = ["mean", "ci_low", "ci_high"]
ROW_HEIGHT = 1.9  # inches
OWN: dict[str, Any] = {"color": "0.75", "linewidth": 3.0, "zorder": 0}
COLOR_OF = dict(zip(PARTS, COLORS, strict=False))
MARKER_OF = dict(zip(PARTS, MARKERS, strict=False))


@mpl.rc_context(RC)
def parts_figure(table: pd.DataFrame, datasets: Datasets, own: Mapping[str, Setting]) -> Figure:
    """A row of three panels for each dataset; means over scans and trainings, with 95 % intervals over both.

    Of a lesion dataset the AUPRC of each part by epsilon, by the width of the median filter, and against the seconds a
    scan takes with each stride. Of a healthy dataset by the distance from the brain's edge: the mean score with each
    stride, the mean score with each filter, and the share of voxels that are among the scan's highest, of each part.

    Args:
        table: Of `tables.parts.parts_table`.
        datasets: Descriptions of its datasets.
        own: The score that the run evaluates, by dataset; each panel changes one of its settings.
    """
    rows = [(dataset, part) for dataset, part in parts_by(table, "dataset")]
    figure = Figure(figsize=(PAGE_WIDTH, 0.5 + ROW_HEIGHT * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), 3, squeeze=False)
    for (dataset, part), of_row in zip(rows, panels, strict=True):
        scans = part["n_subjects"].max()
        of_row[0].set_title(dataset_heading(dataset, datasets, scans), loc="left")
        if (part["metric"] == SHOWN_METRIC).any():
            _detection_row(of_row, part[part["metric"] == SHOWN_METRIC], own[dataset])
        else:
            _edge_row(of_row, part, own[dataset])
    handles = [
        Line2D([], [], color=COLOR_OF[part], marker=MARKER_OF[part], markersize=4, label=LABELS[part])
        for part in PARTS
    ]
    first = next(iter(own.values()))  # they differ in the filter at most
    filters = " or ".join(map(str, dict.fromkeys(each.median_filter for each in own.values())))
    settings = f"epsilon {first.epsilon:g}, median filter {filters}, stride {first.stride}"
    handles.append(Line2D([], [], label=f"the run's setting ({settings})", **OWN))
    method_legend(figure, handles)
    return figure


def _detection_row(panels: Sequence[Axes], rows: pd.DataFrame, own: Setting) -> None:
    """AUPRC by epsilon, by filter, and against seconds."""
    by_epsilon, by_filter, by_seconds = panels
    for panel, column in ((by_epsilon, "epsilon"), (by_filter, "median_filter")):
        values = sorted(rows[column].dropna().unique())
        for part in PARTS:
            chosen = _along(rows, own._replace(part=part), column).sort_values(column)
            if part == "log_variance" and column == "epsilon":
                chosen = pd.concat([chosen] * len(values))  # it has none: the same by all
            places = range(len(values))
            _draw(panel, places, chosen, color=COLOR_OF[part], marker=MARKER_OF[part], markersize=3.5)
        panel.axvline(values.index(getattr(own, column)), **OWN)
        panel.set_xticks(range(len(values)), [f"{value:g}" for value in values])
    by_epsilon.set(xlabel="epsilon [percent squared]", ylabel=METRICS[SHOWN_METRIC].label)
    by_filter.set(xlabel="width of the median filter [voxels]")
    for part in PARTS:
        chosen = _along(rows, own._replace(part=part), "stride").sort_values("stride")
        _draw(
            by_seconds,
            chosen["seconds"],
            chosen,
            color=COLOR_OF[part],
            marker=MARKER_OF[part],
            markersize=3.5,
        )
    top = rows["ci_high"].fillna(rows["mean"]).max()
    for line, (stride, seconds) in enumerate(rows.groupby("stride")["seconds"].mean().items()):
        by_seconds.annotate(
            f"stride {stride}",
            (seconds, top),
            (0, 4 + 7 * line),  # one above the other, as a stride may save no time
            textcoords="offset points",
            ha="center",
            fontsize=6,
        )
    by_seconds.set(xscale="log", xlabel=f"seconds a scan ({rows['device'].iloc[0]})")
    by_seconds.margins(x=0.2)
    _few_ticks(by_seconds, rows["seconds"])
    for panel in panels:
        panel.set_ylim(0, min(1.0, max(panel.dataLim.ymax for panel in panels) * 1.3))


def _edge_row(panels: Sequence[Axes], rows: pd.DataFrame, own: Setting) -> None:
    """Scores of healthy scans by the distance from the edge: by stride, by filter, and each part's highest."""
    by_stride, by_filter, by_part = panels
    scores = rows[rows["metric"] == EDGE_SCORE]
    for panel, column, name in (
        (by_stride, "stride", "stride {}"),
        (by_filter, "median_filter", "median filter {}"),
    ):
        for place, value in enumerate(sorted(scores[column].unique())):
            setting = own._replace(**{column: value})
            is_own = setting == own
            _by_distance(
                panel,
                scores[of_setting(scores, setting)],
                color="black" if is_own else COLORS[(place + 1) % len(COLORS)],
                linestyle=LINES[place % len(LINES)],
                label=name.format(value),
            )
        panel.set_ylabel("mean score")
        panel.legend()
    highest = rows[rows["metric"] == EDGE_HIGHEST]
    for part in PARTS:
        chosen = highest[of_setting(highest, own._replace(part=part))].copy()
        chosen[ENDS] *= 100
        _by_distance(by_part, chosen, color=COLOR_OF[part], marker=MARKER_OF[part], markersize=3.5)
    by_part.axhline(100 * HIGHEST, color="0.3", linestyle=":", linewidth=1.0, zorder=1)
    by_part.set(ylabel=f"among the scan's {100 * HIGHEST:g} % highest [%]")
    by_part.set_ylim(0, by_part.dataLim.ymax * 1.08)


def _along(rows: pd.DataFrame, setting: Setting, column: str) -> pd.DataFrame:
    """Rows that differ from a setting in one column at most."""
    same = [of_setting(rows, setting._replace(**{column: value})) for value in rows[column].dropna().unique()]
    return rows[np.logical_or.reduce(same)]


def _by_distance(panel: Axes, rows: pd.DataFrame, **look: Any) -> None:
    """A measure by the distance from the edge of the brain; ticks lie between bins, at the distance they share."""
    bins = list(pairwise(EDGE_DISTANCES))
    means = rows.set_index(["low", "high"])
    places = [bins.index(bounds) for bounds in means.index]  # a coarse grid leaves some empty
    _draw(panel, places, means, **look)
    panel.set_xticks(np.arange(len(bins) - 1) + 0.5, [f"{high:g}" for _, high in bins[:-1]])
    panel.set(xlim=(-0.5, len(bins) - 0.5), xlabel="mm from the brain's edge")


def _draw(panel: Axes, x: Any, rows: pd.DataFrame, *, color: str, **look: Any) -> None:
    """A line of means with the band of their intervals."""
    panel.fill_between(x, rows["ci_low"], rows["ci_high"], color=color, alpha=0.12, linewidth=0, zorder=1)
    panel.plot(x, rows["mean"], color=color, **look)


def _few_ticks(panel: Axes, seconds: pd.Series) -> None:
    """Ticks of a logarithmic axis of seconds at 1, 2 and 5 times the powers of ten."""
    powers = 10.0 ** np.arange(-4, 5)
    low, high = seconds.min() / 1.5, seconds.max() * 1.5
    ticks = [tick for power in powers for tick in (power, 2 * power, 5 * power) if low <= tick <= high]
    panel.xaxis.set_major_locator(FixedLocator(ticks))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(_plain)


def _plain(value: float, _: float) -> str:
    """A tick's number, not as a power of ten."""
    return f"{value:g}"


def make(inputs: Any, params: Any) -> Made:
    """Make the result; `plan.outputs` lists its inputs and parameters."""
    keys = [("patch2loc", dataset) for dataset in params.datasets]
    parts = read_folds(inputs.parts, keys, len(params.folds), pd.read_parquet)
    own = {dataset: Setting(*setting) for dataset, setting in params.own.items()}
    table = parts_table(parts, params.datasets, own, params.seed)
    return Made(
        table,
        parts_layout(table, params.datasets, own, params.protocol),
        parts_figure(table, params.datasets, own),
        subjects=subjects_in(parts),
        settings={"seed": params.seed, "folds": params.folds, "own": own, "protocol": params.protocol},
        files=inputs.parts,
    )
