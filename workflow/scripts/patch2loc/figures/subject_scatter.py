"""Single subjects: AUPRC and best Dice against the volume of the lesions."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from scipy.stats import spearmanr

from patch2loc.configuration.method_names import display_name
from patch2loc.figures.method_styles import (
    EMPHASIZED,
    MethodStyle,
    marker_handle,
    method_legend,
    method_styles,
    note_no_lesion,
    rows_of_two,
)
from patch2loc.figures.style import RC
from patch2loc.metrics.names import METRICS
from patch2loc.metrics.summary import subject_means
from patch2loc.tables.made import Made, rows_by_dataset

FEWEST_FOR_TREND = 8  # subjects
MOST_MARKERS = 300
MEASURES = {name: METRICS[name].label for name in ("auprc", "best_dice")}
RANDOM: dict[str, Any] = {"color": "0.3", "linestyle": "", "marker": "_", "markersize": 6}


def subject_points(metrics_by_fold: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Subjects with lesion, by growing volume: lesion_ml (ml), prevalence, auprc and best_dice, means over folds.

    Args:
        metrics_by_fold: tables of metrics of one method and dataset.
    """
    columns = ("lesion_ml", "prevalence", *MEASURES)
    points = pd.DataFrame({column: subject_means(metrics_by_fold, column) for column in columns})
    return points.dropna().query("lesion_ml > 0").sort_values("lesion_ml", kind="stable")


def running_median(points: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Medians of volume and measure over a fifth of the subjects, at least five, that are neighbors in volume.

    Args:
        points: as `subject_points` returns them.
        measure: column.

    Returns:
        Columns lesion_ml and `measure`.
    """
    window = max(5, len(points) // 5)
    return points[["lesion_ml", measure]].rolling(window).median().dropna()


def rank_correlation(points: pd.DataFrame, measure: str) -> float:
    """Spearman's rho of lesion volume and a measure; NaN for fewer than eight subjects or where one is constant."""
    if len(points) < FEWEST_FOR_TREND or min(points["lesion_ml"].nunique(), points[measure].nunique()) < 2:
        return float("nan")
    return float(spearmanr(points["lesion_ml"], points[measure]).statistic)


@mpl.rc_context(RC)
def subjects_figure(
    rows: Sequence[tuple[str, Mapping[str, Sequence[pd.DataFrame]]]], methods: Sequence[str]
) -> Figure:
    """One row per dataset: AUPRC and best Dice of every subject and method against lesion volume.

    Dashes in the panel of AUPRC are the prevalence of each subject, which a random score reaches. From eight subjects
    on, the running median of each method is drawn and the title has Spearman's rho of Patch2Loc. A panel that would
    have more than 300 markers keeps those of Patch2Loc alone.

    Args:
        rows: (title, {method: one table of metrics per fold}), from the top.
        methods: every evaluated method, in the order of colors.
    """
    styles = method_styles(methods)
    points_of_rows = [
        {method: subject_points(folds) for method, folds in metrics.items()} for _, metrics in rows
    ]
    limits = _limits(
        pd.concat([points["lesion_ml"] for by_method in points_of_rows for points in by_method.values()])
    )
    figure, panels = rows_of_two([title for title, _ in rows])
    for by_method, row in zip(points_of_rows, panels, strict=True):
        for panel, (measure, label) in zip(row, MEASURES.items(), strict=True):
            crowded = sum(map(len, by_method.values())) > MOST_MARKERS
            for method, points in by_method.items():
                if not crowded or method == EMPHASIZED:
                    _scatter(panel, points, measure, styles[method])
                if len(points) >= FEWEST_FOR_TREND:
                    _trend(panel, running_median(points, measure), styles[method])
            panel.set(xscale="log", xlim=limits, ylabel=label)
            if not panel.lines:
                note_no_lesion(panel)
            panel.set_ylim(0, min(1.02, panel.dataLim.ymax * 1.1) if panel.lines else 1)
            panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if limits[1] < 500 * limits[0] else (1,)))
            panel.xaxis.set_major_formatter(FuncFormatter(lambda volume, _: f"{volume:g}"))
            panel.xaxis.set_minor_formatter(NullFormatter())
            lines = [panel.get_title(loc="left"), _subtitle(by_method, measure)]
            panel.set_title("\n".join(filter(None, lines)), loc="left")
        for points in list(by_method.values())[:1]:
            row[0].plot(points["lesion_ml"], points["prevalence"], zorder=1, **RANDOM)
    for panel in panels[-1]:
        panel.set_xlabel("lesion volume [ml]")
    random = Line2D([], [], label="random score (lesion prevalence)", **RANDOM)
    trends = any(
        len(points) >= FEWEST_FOR_TREND for by_method in points_of_rows for points in by_method.values()
    )
    method_legend(figure, [*(marker_handle(style, trends) for style in styles.values()), random])
    return figure


def _limits(volumes: pd.Series) -> tuple[float, float]:
    """Range of volumes of all panels, in ml, with a margin."""
    return (volumes.min() / 1.4, volumes.max() * 1.4) if len(volumes) else (1.0, 100.0)


def _subtitle(points_by_method: Mapping[str, pd.DataFrame], measure: str) -> str:
    """Number of scans in a panel, and the rank correlation of Patch2Loc's measure with lesion volume."""
    count = max(map(len, points_by_method.values()), default=0)
    text = f"{count} scan{'s' if count != 1 else ''} with lesion"
    points = points_by_method.get(EMPHASIZED)
    rho = float("nan") if points is None else rank_correlation(points, measure)
    return text if np.isnan(rho) else f"{text}; {display_name(EMPHASIZED)}: ρ = {rho:.2f}"


def _scatter(panel: Axes, points: pd.DataFrame, measure: str, style: MethodStyle) -> None:
    if points.empty:
        return
    many = len(points) >= 60
    panel.plot(
        points["lesion_ml"],
        points[measure],
        linestyle="",
        marker=style.marker,
        markersize=style.size / (2.5 if many else 1.3),
        markeredgewidth=0,
        color=style.color,
        alpha=0.35 if many else 0.8,
        clip_on=False,
        zorder=style.order,
    )


def _trend(panel: Axes, trend: pd.DataFrame, style: MethodStyle) -> None:
    panel.plot(
        *trend.to_numpy().T,
        color=style.color,
        linestyle=style.line,
        linewidth=style.width * 0.8,
        zorder=style.order,
    )


def make(inputs: Any, params: Any) -> Made:
    """Make the result; `plan.outputs` lists its inputs and parameters."""
    return Made(figure=subjects_figure(rows_by_dataset(inputs.metrics, params), params.methods))
