"""Spread over folds: every fold's mean beside the mean over folds."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from patch2loc.figures.method_styles import (
    MethodStyle,
    method_legend,
    method_styles,
    note_no_lesion,
    rows_of_two,
)
from patch2loc.figures.style import RC
from patch2loc.metrics.names import METRICS
from patch2loc.tables.made import Made, rows_by_dataset

MEASURES = {name: METRICS[name].label for name in ("best_dice", "auprc")}


def fold_means(metrics: Mapping[str, Sequence[pd.DataFrame]], measure: str) -> pd.DataFrame:
    """Mean over the subjects that have a value, by method (rows) and fold (columns); NaN where none has.

    Args:
        metrics: {method: one table of metrics per fold}.
        measure: column.
    """
    return pd.DataFrame(
        {method: [fold[measure].mean() for fold in folds] for method, folds in metrics.items()}
    ).T


@mpl.rc_context(RC)
def folds_figure(
    rows: Sequence[tuple[str, Mapping[str, Sequence[pd.DataFrame]]]], methods: Sequence[str]
) -> Figure:
    """One row per dataset: best Dice and AUPRC, a bar for each method's mean over folds, a dot for each fold.

    Args:
        rows: (title, {method: one table of metrics per fold}).
        methods: every evaluated method, in the order of colors.
    """
    styles = method_styles(methods)
    figure, panels = rows_of_two([title for title, _ in rows], row_height=0.55 + 0.14 * len(methods))
    for (_, metrics), row in zip(rows, panels, strict=True):
        for panel, measure in zip(row, MEASURES, strict=True):
            means = fold_means(metrics, measure)
            for place, method in enumerate(means.index):
                _draw(panel, place, means.loc[method].to_numpy(), styles[method])
            panel.set_yticks(range(len(means)), [styles[method].label for method in means.index])
            panel.set_ylim(len(means) - 0.5, -0.5)
            if np.isfinite(means.to_numpy()).any():
                panel.set_xlim(0, min(1.0, means.max().max() * 1.08) or 1)
            else:
                note_no_lesion(panel)
            panel.tick_params(axis="y", length=0)
        row[1].set_yticklabels([])
    for panel, label in zip(panels[-1], MEASURES.values(), strict=True):
        panel.set_xlabel(f"{label}, mean over scans")
    method_legend(
        figure,
        [
            Line2D([], [], color="0.3", marker="o", markersize=3, linestyle="", label="one fold"),
            Patch(color="0.3", alpha=0.3, linewidth=0, label="mean over folds"),
        ],
    )
    return figure


def _draw(panel: Axes, place: int, means: np.ndarray, style: MethodStyle) -> None:
    """A bar and its dots, the folds from top to bottom so that equal ones do not hide each other."""
    if not np.isfinite(means).any():
        return
    panel.barh(place, np.nanmean(means), height=0.7, color=style.color, alpha=0.3, linewidth=0)
    heights = place + (np.linspace(-0.22, 0.22, len(means)) if len(means) > 1 else np.zeros(1))
    panel.plot(means, heights, "o", color=style.color, markersize=3, markeredgewidth=0, clip_on=False)


def make(inputs: Any, params: Any) -> Made:
    """Make the result; `plan.outputs` lists its inputs and parameters."""
    return Made(figure=folds_figure(rows_by_dataset(inputs.metrics, params), params.methods))
