"""Location error in healthy tissue of every scan, by cohort and site."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from patch2loc.configuration.method_names import shown
from patch2loc.data.labels import Datasets, dataset_heading
from patch2loc.figures.style import ABNORMAL, NORMAL, PAGE_WIDTH, RC
from patch2loc.tables.domain_shift import FAR

COLORS = {"healthy": NORMAL, "lesion": ABNORMAL, "unlabeled": "0.45"}
WORDS = {
    "healthy": "healthy scan",
    "lesion": "scan with lesion, patches without lesion",
    "unlabeled": "scan without truth",
}


@mpl.rc_context(RC)
def transfer_figure(table: pd.DataFrame, datasets: Datasets) -> Figure:
    """One row for each dataset, or each of its sites, and method, one marker for each scan, the mean as a bar.

    table: of `transfer.transfer_table`.  A line marks the reference of each modality, a dashed one where scans are
    called far from the training scans.
    """
    names = ["dataset", "site", "method"]
    several = table["method"].nunique() > 1
    groups = [group for _, group in table.groupby(names[:2], sort=False)]
    groups = [(key, scans) for group in groups for key, scans in group.groupby(names, sort=False)]
    figure = Figure(figsize=(PAGE_WIDTH, 0.9 + 0.26 * len(groups)), layout="constrained")
    panel = figure.subplots()
    for place, (_, scans) in enumerate(groups):
        color = COLORS[scans["role"].iloc[0]]
        panel.plot(
            scans["location_error"],
            [place] * len(scans),
            linestyle="",
            marker="o",
            markersize=4,
            markeredgewidth=0,
            color=color,
            alpha=0.5,
        )
        panel.plot(
            [scans["location_error"].mean()] * 2, [place - 0.3, place + 0.3], color=color, linewidth=1.8
        )
        for times, line in ((1.0, "-"), (FAR, (0, (3, 2)))):
            at = times * scans["reference"].iloc[0]
            panel.plot(
                [at, at], [place - 0.5, place + 0.5], color="0.3", linestyle=line, linewidth=0.8, zorder=1
            )
    panel.set_yticks(
        range(len(groups)), [_name(*key, len(scans), datasets, several) for key, scans in groups]
    )
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


def _name(dataset: str, site: str, method: str, scans: int, datasets: Datasets, several: bool) -> str:
    """Label of a row, with the method where there are several."""
    title = datasets[dataset]["title"]
    named = {**datasets[dataset], "title": f"{title}, {site}" if site else title}
    label = dataset_heading(dataset, {dataset: named}, scans)
    return f"{label}, {shown(method)}" if several else label
