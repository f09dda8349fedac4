"""Domain shift: location error in healthy tissue of every scan, by cohort and site."""

from collections.abc import Hashable
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from patch2loc.configuration.method_names import display_name
from patch2loc.data.labels import Datasets, dataset_heading
from patch2loc.figures.style import ABNORMAL, NORMAL, PAGE_WIDTH, RC
from patch2loc.tables.domain_shift import FAR, domain_shift_layout, domain_shift_table
from patch2loc.tables.inputs import subjects_in
from patch2loc.tables.made import Made, by_method_and_dataset, settings_of

COLORS = {"healthy": NORMAL, "lesion": ABNORMAL, "unlabeled": "0.45"}
WORDS = {
    "healthy": "healthy scan",
    "lesion": "scan with lesion, patches without lesion",
    "unlabeled": "scan without truth",
}


@mpl.rc_context(RC)
def domain_shift_figure(table: pd.DataFrame, datasets: Datasets) -> Figure:
    """One row for each dataset, or each of its sites, and method, one marker for each scan, the mean as a bar.

    A line marks the reference of each modality, a dashed one the error beyond which scans count as far from the
    training scans.

    Args:
        table: that of `patch2loc.tables.domain_shift`: columns dataset, site, method, role, location_error and
            reference (percent of the grid), one row per scan.
        datasets: {name: description}.
    """
    groups = [
        (key, scans)
        for _, site in table.groupby(["dataset", "site"], sort=False)
        for key, scans in site.groupby(["dataset", "site", "method"], sort=False)
    ]
    figure = Figure(figsize=(PAGE_WIDTH, 0.9 + 0.26 * len(groups)), layout="constrained")
    panel = figure.subplots()
    for row, (_, scans) in enumerate(groups):
        color = COLORS[scans["role"].iloc[0]]
        panel.plot(
            scans["location_error"],
            [row] * len(scans),
            linestyle="",
            marker="o",
            markersize=4,
            markeredgewidth=0,
            color=color,
            alpha=0.5,
        )
        panel.plot([scans["location_error"].mean()] * 2, [row - 0.3, row + 0.3], color=color, linewidth=1.8)
        for times, line in ((1.0, "-"), (FAR, (0, (3, 2)))):
            error = times * scans["reference"].iloc[0]
            panel.plot(
                [error, error], [row - 0.5, row + 0.5], color="0.3", linestyle=line, linewidth=0.8, zorder=1
            )
    several = table["method"].nunique() > 1
    labels = [_row_label(key, len(scans), datasets, several) for key, scans in groups]
    panel.set_yticks(range(len(groups)), labels)
    panel.set(ylim=(len(groups) - 0.5, -0.5), xlim=(0, None), xlabel="location error [% of the grid]")
    handles = [
        Line2D([], [], color=COLORS[role], marker="o", markersize=4, linestyle="", label=WORDS[role])
        for role in COLORS
        if (table["role"] == role).any()
    ]
    handles += [
        Line2D([], [], color="0.3", linewidth=1.8, label="mean of the scans"),
        Line2D([], [], color="0.3", linewidth=0.8, label="median healthy test scan"),
        Line2D(
            [],
            [],
            color="0.3",
            linewidth=0.8,
            linestyle=(0, (3, 2)),
            label=f"{FAR:g} times that: scans beyond it are far",
        ),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def _row_label(key: tuple[Hashable, ...], scans: int, datasets: Datasets, with_method: bool) -> str:
    """Label of a row: dataset, site, number of scans and, on request, method."""
    dataset, site, method = map(str, key)
    info = datasets[dataset].copy()
    if site:
        info["title"] = f"{info['title']}, {site}"
    label = dataset_heading(dataset, {dataset: info}, scans)
    return f"{label}, {display_name(method)}" if with_method else label


def make(inputs: Any, params: Any) -> Made:
    """Make the result; `plan.outputs` lists its inputs and parameters."""
    patches = by_method_and_dataset(inputs.patches, params, pd.read_parquet)
    table = domain_shift_table(patches, params.datasets, params.training)
    return Made(
        table,
        domain_shift_layout(table, params.datasets, params.seed),
        domain_shift_figure(table, params.datasets),
        subjects=subjects_in(patches),
        settings=settings_of(params, "seed", "folds"),
        files=inputs.patches,
    )
