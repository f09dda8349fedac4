"""Controlled lesions: maps of detection over size and amount, for every method and kind of change."""

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure

from patch2loc.configuration.method_names import display_name
from patch2loc.data.labels import Datasets
from patch2loc.figures.style import PAGE_WIDTH, RC
from patch2loc.tables.controlled import CHANGE_NAMES, changes_nothing, controlled_layout, controlled_table
from patch2loc.tables.layout import parts_by
from patch2loc.tables.made import Made, made_over_subjects

LABELS = 1.1  # inches of the names of methods
CELL = 0.19  # inches of an amount or a size
GAP = 0.12
HEADING = 0.75
MOST = 32.0  # times the prevalence that the colors end at
SHOWN: tuple[tuple[str, str], ...] = (
    ("auprc_over_prevalence", "AUPRC over prevalence"),
    ("sensitivity", "sensitivity at the score of 1 % of healthy voxels, %"),
)


@mpl.rc_context(RC)
def controlled_figure(table: pd.DataFrame, datasets: Datasets) -> Figure:
    """Detection of controlled lesions: a row of maps for each method, a column for each dataset, for each measure.

    In a map, diameters run upward and amounts to the right.  Colors of the ratio are logarithmic, white at chance.

    Args:
        table: Of `tables.controlled.controlled_table`.
        datasets: Their descriptions, with change.
    """
    cells = table[(table["against"] == "") & table["diameter_mm"].notna() & table["amount"].notna()]
    names, methods = list(cells["dataset"].unique()), list(cells["method"].unique())
    sizes = len(cells["diameter_mm"].unique())
    height = len(SHOWN) * (HEADING + len(methods) * (CELL * sizes + GAP))
    figure = Figure(figsize=(PAGE_WIDTH, height), layout="constrained")
    widths = [cells.loc[cells["dataset"] == name, "amount"].nunique() for name in names]
    parts: Any = figure.subfigures(len(SHOWN), 1)
    for part, (metric, label) in zip(parts, SHOWN, strict=True):
        panels: Any = part.subplots(len(methods), len(names), squeeze=False, width_ratios=widths)
        image = None
        for column, name in enumerate(names):
            of_dataset = cells[(cells["dataset"] == name) & (cells["metric"] == metric)]
            for row, (method, records) in enumerate(parts_by(of_dataset, "method")):
                image = _draw(panels[row, column], records, metric)
                if not column:
                    panels[row, 0].set_ylabel(
                        display_name(method), rotation=0, ha="right", va="center", labelpad=18
                    )
                if row < len(methods) - 1:
                    panels[row, column].set_xticklabels([])
                if column:
                    panels[row, column].set_yticklabels([])
            panels[0, column].set_title(_heading(name, datasets), fontsize=6)
        modalities = " and ".join(sorted({datasets[name]["modality"] for name in names}))
        part.supxlabel(
            f"simulated lesions in real {modalities} scans: amount of the change; upward: diameter, mm",
            fontsize=6.5,
        )
        scale = part.colorbar(image, ax=panels, shrink=0.7, pad=0.01, label=label)
        if metric != "sensitivity":
            scale.ax.yaxis.set_major_formatter(lambda power, _: f"{2**power:g}")
    return figure


def _draw(panel: Any, records: pd.DataFrame, metric: str) -> Any:
    """Map of a metric over sizes and amounts; returns the image."""
    grid = records.pivot_table(index="diameter_mm", columns="amount", values="mean", dropna=False)
    if metric == "sensitivity":
        values, style = 100 * grid.to_numpy(), {"cmap": "viridis", "norm": Normalize(0, 100)}
    else:
        values = np.log2(np.maximum(grid.to_numpy(), 1 / MOST))
        style = {"cmap": "RdBu_r", "norm": TwoSlopeNorm(0, -2, np.log2(MOST))}
    image = panel.imshow(values, origin="lower", aspect="auto", **style)
    for (row, column), value in np.ndenumerate(grid.to_numpy()):
        shown = 100 * value if metric == "sensitivity" else value
        dark = image.norm(values[row, column])
        inverse = dark < 0.5 if metric == "sensitivity" else abs(dark - 0.5) > 0.35
        panel.text(
            column,
            row,
            "" if np.isnan(value) else f"{shown:.0f}" if shown >= 9.95 else f"{shown:.1f}",
            ha="center",
            va="center",
            fontsize=4.2,
            color="white" if inverse else "black",
        )
    panel.set_xticks(range(len(grid.columns)), [f"{amount:g}" for amount in grid.columns], fontsize=4.5)
    panel.set_yticks(range(len(grid.index)), [f"{size:g}" for size in grid.index], fontsize=4.5)
    panel.tick_params(length=0, pad=1)
    panel.spines[["left", "bottom"]].set_visible(False)
    return image


def _heading(name: str, datasets: Datasets) -> str:
    """Name of a change, in lines, over its maps; a dataset's own title where nothing is changed."""
    info = datasets[name]
    if changes_nothing(info):
        return "nothing\nchanged"
    return CHANGE_NAMES[info["change"]].replace(" ", "\n")


def make(inputs: Any, params: Any) -> Made:
    """Make the result; `plan.outputs` lists its inputs and parameters."""
    return made_over_subjects(
        inputs,
        params,
        controlled_table,
        controlled_layout,
        figure_of=controlled_figure,
        kinds=("metrics", "at_thresholds"),
    )
