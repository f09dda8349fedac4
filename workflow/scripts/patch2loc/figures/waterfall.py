"""Waterfall: from the released code's numbers to a configuration's, the change by each element as a bar."""

from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from patch2loc.data.labels import Datasets, label_of
from patch2loc.figures.style import PAGE_WIDTH, RC
from patch2loc.metrics.names import METRICS, PAPER_METRICS
from patch2loc.tables.layout import row_records
from patch2loc.tables.waterfall import SPEARMAN, step_label

RISE, FALL, LEVEL = "#2a7f62", "#b5483a", "0.55"
ROW_HEIGHT, HEAD = 0.16, 0.75  # inches, of a step and of what is around a row of panels
BAR = 0.66  # of a row
LETTERS, TICKS = 66, 10  # of titles, and at most on axes, in the width of all panels
MEASURES = (*PAPER_METRICS, f"{SPEARMAN}score")


@mpl.rc_context(RC)
def waterfall_figure(table: pd.DataFrame, datasets: Datasets) -> Figure:
    """Measures down, datasets across; in each panel the steps from the top.

    Gray bars: the number with the released code's recipe, and with the configuration. Colored bars: from the number
    before a step to that after it; lines: 95 % interval of the change. An empty row changed nothing. The
    correlation is of a patch's share of lesion and its score.

    Args:
        table: As `tables.waterfall.waterfall_table` returns it.
        datasets: As tables describe them.
    """
    names = [name for name in datasets if name in set(table["dataset"])]
    measures = [measure for measure in MEASURES if measure in set(table["measure"])]
    steps = table.drop_duplicates("step")
    height = len(measures) * (len(steps) * ROW_HEIGHT + HEAD)
    figure = Figure(figsize=(PAGE_WIDTH, height), layout="constrained")
    panels = figure.subplots(len(measures), len(names), sharey=True, squeeze=False)
    for measure, row in zip(measures, panels, strict=True):
        for name, panel in zip(names, row, strict=True):
            part = table[(table["dataset"] == name) & (table["measure"] == measure)]
            _draw(panel, row_records(part))
            panel.set_xlabel(_label(measure))
            if measure == measures[0]:
                panel.set_title(fill(label_of(datasets[name]), LETTERS // len(names)), loc="left")
            panel.xaxis.set_major_locator(MaxNLocator(max(2, TICKS // len(names))))
        row[0].set_yticks(range(len(steps)), [step_label(step) for step in row_records(steps)])
        row[0].set_ylim(len(steps) - 0.4, -0.6)
    return figure


def _label(measure: str) -> str:
    return METRICS[measure].label if measure in METRICS else "Spearman correlation, score"


def _draw(panel: Axes, rows: list[dict[str, Any]]) -> None:
    """The steps of one measure and dataset."""
    panel.axvline(0, color="0.7", linewidth=0.6)
    for place, row in enumerate(rows):
        mean, change = row["mean"], row["change"]
        if place in (0, len(rows) - 1):
            panel.barh(row["step"], mean, height=BAR, color="0.85")
        if place == 0 or np.isnan(change):
            continue
        # Back from the number, as the change is of the scans that both steps have.
        color = RISE if change > 0 else FALL if change < 0 else LEVEL
        panel.barh(row["step"], change, left=mean - change, height=BAR, color=color)
        if np.isfinite(row["ci_low"]) and row["ci_low"] < row["ci_high"]:
            ends = [mean - change + row["ci_low"], mean - change + row["ci_high"]]
            panel.plot(ends, [row["step"]] * 2, color="0.15", linewidth=0.8)
    panel.use_sticky_edges = False  # bars keep off the frame
    panel.margins(x=0.04)
    panel.tick_params(axis="y", length=0)
    panel.grid(axis="x", color="0.92", linewidth=0.6)
    panel.set_axisbelow(True)
