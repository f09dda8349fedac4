"""Figure 2: predicted locations of patches from one place, across subjects."""

from collections.abc import Hashable, Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse, Rectangle

from patch2loc.data.labels import label_of
from patch2loc.data.scans import read_cohort
from patch2loc.data.volumes import read
from patch2loc.figures.kde import patch_groups
from patch2loc.figures.style import PAGE_WIDTH, RC, gray_range, mark_sides, show_slice
from patch2loc.tables.made import Made

MOST_ELLIPSES = 40
ELLIPSE = "#4da3ff"
PLACE = "#ff2d20"


def choose_locations(patches: pd.DataFrame, count: int = 4) -> pd.DataFrame:
    """Places that many subjects show as abnormal and as many others as normal.

    Ranked by the smaller of the two numbers of subjects, then by the abnormal ones, then the smaller z, x, y; of each
    in-plane position (x, y) only the first slice.

    Args:
        patches: columns subject, x, y, z (voxel) and lesion_fraction.
        count: of places.

    Returns:
        Columns x, y, z, abnormal and normal (subjects); fewer rows, or none, when fewer places have an abnormal patch
        (more than 90 % lesion).
    """
    place = ["x", "y", "z"]
    normal, abnormal = patch_groups(patches)
    subjects = pd.DataFrame(
        {
            "abnormal": abnormal.groupby(place)["subject"].nunique(),
            "normal": normal.groupby(place)["subject"].nunique(),
        }
    )
    subjects = subjects.fillna(0).astype(int).reset_index()
    subjects["both"] = subjects[["abnormal", "normal"]].min(axis=1)
    ranked = subjects[subjects["abnormal"] > 0].sort_values(
        ["both", "abnormal", "z", "x", "y"], ascending=[False, False, True, True, True]
    )
    return ranked.drop_duplicates(["x", "y"]).drop(columns="both").head(count).reset_index(drop=True)


@mpl.rc_context(RC)
def ellipse_figure(
    title: str,
    patches: pd.DataFrame,
    background: np.ndarray,
    background_subject: str,
    *,
    patch: int,
    count: int = 4,
    seed: int = 0,
) -> Figure:
    """Predicted locations at the places of `choose_locations`: normal patches above, abnormal below.

    An ellipse is centered on the predicted mean, its half-axes are two standard deviations; at most 40 subjects are
    drawn in a panel, a random sample by the seed.

    Args:
        title: of the figure.
        patches: columns subject, x, y, z (voxel of the patch's center), lesion_fraction, mean_x, mean_y (percent of
            the grid), log_variance_x, log_variance_y.
        background: (x, y, z) volume without lesions on the grid.
        background_subject: whose it is.
        patch: width in voxels.
        count: of places.
        seed: of the sample of subjects.
    """
    places = choose_locations(patches, count)
    if places.empty:
        figure = Figure(figsize=(PAGE_WIDTH, 1.2), layout="constrained")
        figure.text(
            0.5,
            0.5,
            f"{title}: no patch of this dataset is more than 90 % lesion,\nso no location can be shown.",
            ha="center",
            va="center",
        )
        return figure
    columns = max(len(places), 3)
    figure = Figure(figsize=(PAGE_WIDTH * columns / 4, 4.1), layout="constrained")
    panels = figure.subplots(2, len(places), squeeze=False)
    figure.suptitle(f"{title}\nbehind all panels: healthy scan {background_subject}", fontsize=8.5)
    for column, place in zip(panels.T, places.to_dict("records"), strict=True):
        here = patches[(patches[["x", "y", "z"]] == [place["x"], place["y"], place["z"]]).all(axis=1)]
        for axes, group, name in zip(column, patch_groups(here), ("normal", "abnormal"), strict=True):
            show_slice(axes, background[:, :, int(place["z"])], **gray_range(background))
            mark_sides(axes)
            _draw_place(axes, place, patch)
            _draw_ellipses(axes, group, background.shape, seed)
            shown = f", {MOST_ELLIPSES} shown" if len(group) > MOST_ELLIPSES else ""
            axes.set_title(f"{len(group)} {name}{shown}")
            axes.set(xlim=(background.shape[0] - 0.5, -0.5), ylim=(-0.5, background.shape[1] - 0.5))
        column[1].set_xlabel(f"location x {place['x']}, y {place['y']}, z {place['z']} (voxels)")
    panels[0, 0].set_ylabel("normal patches\n(< 10 % lesion)")
    panels[1, 0].set_ylabel("abnormal patches\n(> 90 % lesion)")
    figure.legend(
        handles=[
            Line2D([], [], color=PLACE, marker="o", linestyle="", markersize=4, label="true location"),
            Line2D([], [], color=PLACE, linestyle="--", linewidth=0.7, label="extent of the patch"),
            Line2D([], [], color=ELLIPSE, label="prediction: mean, half-axes two standard deviations"),
        ],
        loc="outside lower center",
        ncols=3,
    )
    return figure


def _draw_place(axes: Axes, place: Mapping[Hashable, int], patch: int) -> None:
    corner = (place["x"] - patch // 2 - 0.5, place["y"] - patch // 2 - 0.5)
    axes.add_patch(
        Rectangle(corner, patch, patch, fill=False, edgecolor=PLACE, linestyle="--", linewidth=0.6)
    )
    axes.plot(place["x"], place["y"], "o", color=PLACE, markersize=3, zorder=5)


def _draw_ellipses(axes: Axes, group: pd.DataFrame, shape: tuple[int, ...], seed: int) -> None:
    if len(group) > MOST_ELLIPSES:
        group = group.sample(MOST_ELLIPSES, random_state=seed)
    to_voxels = np.asarray(shape[:2]) / 100
    for row in group.to_dict("records"):
        center = to_voxels * [row["mean_x"], row["mean_y"]]
        deviation = to_voxels * np.exp(0.5 * np.array([row["log_variance_x"], row["log_variance_y"]]))
        axes.add_patch(
            Ellipse(center, *(4 * deviation), fill=False, edgecolor=ELLIPSE, linewidth=0.7, alpha=0.8)
        )
        axes.plot(*center, ".", color=ELLIPSE, markersize=1.5)


def make(inputs: Any, params: Any) -> Made:
    """Make the result; `plan.outputs` lists its inputs and parameters."""
    scan = read_cohort(inputs.background)[0]
    background, _ = read(scan.volume_path)
    patches = pd.concat(map(pd.read_parquet, [*inputs.patches, *inputs.healthy]), ignore_index=True)
    title = label_of(params.about)
    return Made(
        figure=ellipse_figure(title, patches, background, scan.subject, patch=params.patch, seed=params.seed)
    )
