"""Figures 4, 5, 7, 8 and on: slices of scans beside their heatmaps and the true lesions."""

import textwrap
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from patch2loc.figures.style import (
    COLOR_MAP,
    COLUMN_WIDTH,
    ORIENTATION,
    RC,
    SCORE_RANGE,
    gray_range,
    mark_sides,
    show_slice,
)

MARGIN = 4  # voxels around the brain
LABEL_WIDTH = 24  # characters
OUTSIDE = "0.55"  # gray outside the brain mask


@dataclass(frozen=True)
class SliceCase:
    """One row of a slice figure.

    Attributes:
        title: dataset, with "(simulated)" if it is.
        subject: name.
        volume: (x, y, z) intensities of the scan.
        heatmap: (x, y, z) score, NaN outside the mask.
        z: index of the axial slice.
        lesion: (x, y, z), true inside, or None without truth.
        auprc: of the scan, if known.
    """

    title: str
    subject: str
    volume: np.ndarray
    heatmap: np.ndarray
    _: KW_ONLY
    z: int
    lesion: np.ndarray | None = None
    auprc: float | None = None


def median_subject(metrics: pd.DataFrame, column: str = "auprc") -> str:
    """Subject with the median value of a column (the lower one of two), ties in the order of names.

    Args:
        metrics: columns subject and `column`.
        column: name.

    Raises:
        ValueError: no subject has a value.
    """
    return evenly_ranked_subjects(metrics, column, 1)[0]


def evenly_ranked_subjects(metrics: pd.DataFrame, column: str, count: int) -> list[str]:
    """Subjects at evenly spaced ranks of a column: the middle of each of `count` equal parts.

    Args:
        metrics: columns subject and `column`.
        column: name.
        count: of subjects; fewer are returned when there are fewer.

    Raises:
        ValueError: no subject has a value.
    """
    ranked = metrics.dropna(subset=[column]).sort_values([column, "subject"])["subject"].tolist()
    if not ranked:
        raise ValueError(f"no subject has a value of {column}: none can be chosen for the figure")
    count = min(count, len(ranked))
    return [ranked[int(np.ceil((part + 0.5) * len(ranked) / count)) - 1] for part in range(count)]


def fullest_slice(mask: np.ndarray) -> int:
    """Index of the axial slice with the most true voxels of a mask or lesion, the lowest of equals."""
    return int(np.argmax(np.count_nonzero(np.asarray(mask) > 0, axis=(0, 1))))


def lesion_slice(lesion: np.ndarray, brain: np.ndarray) -> int:
    """Index of the axial slice with the most lesion; with the most brain if the grid holds no lesion."""
    return fullest_slice(lesion if np.any(lesion) else brain)


def evenly_spaced_slices(mask: np.ndarray, count: int) -> list[int]:
    """Indices of the `count` axial slices that divide the height of a mask into `count` + 1 equal parts."""
    heights = np.flatnonzero((np.asarray(mask) > 0).any(axis=(0, 1)))
    steps = np.arange(1, count + 1) / (count + 1)
    return [round(heights[0] + step * (heights[-1] - heights[0])) for step in steps]


@mpl.rc_context(RC)
def slice_figure(
    cases: Sequence[SliceCase],
    score_range: tuple[float, float] = SCORE_RANGE,
    color_map: str = COLOR_MAP,
    score_label: str = "abnormality score",
) -> Figure:
    """One row per case: scan, heatmap and, when any case has a lesion, the truth in white.

    Args:
        cases: rows, from the top.
        score_range: scores that the heatmaps' colors run over (paper: 0 to 12); gray is outside the mask.
        color_map: "jet" as in the paper, or `style.COLOR_BLIND_SAFE`.
        score_label: of the color bar.
    """
    with_truth = any(case.lesion is not None for case in cases)
    columns = ["scan", "heatmap", "ground truth"] if with_truth else ["scan", "heatmap"]
    width = 1.25 * len(columns) + 0.75
    figure = Figure(
        figsize=(max(width, COLUMN_WIDTH), 1.45 * len(cases) + 0.45),
        layout=ConstrainedLayoutEngine(w_pad=0.06),
    )
    panels = figure.subplots(len(cases), len(columns), squeeze=False)
    colors = mpl.colormaps[color_map].with_extremes(bad=OUTSIDE)
    for case, axes in zip(cases, panels, strict=True):
        frame = brain_frame(case.heatmap)
        show_slice(axes[0], case.volume[frame][:, :, case.z], **gray_range(case.volume))
        mark_sides(axes[0])
        scores = np.ma.masked_invalid(case.heatmap[frame][:, :, case.z])
        picture = show_slice(axes[1], scores, cmap=colors, vmin=score_range[0], vmax=score_range[1])
        if case.lesion is not None:
            _show_truth(axes[2], case, frame)
        elif with_truth:
            axes[2].axis("off")
        title = textwrap.fill(case.title, LABEL_WIDTH)
        result = "" if case.auprc is None else f"\nAUPRC {case.auprc:.3f}"
        axes[0].set_ylabel(f"{title}\n{case.subject}\nslice z {case.z}{result}", fontsize=6)
    for axes, name in zip(panels[0], columns, strict=True):
        axes.set_title(name)
    bar = figure.colorbar(picture, ax=panels, shrink=0.6, pad=0.02, aspect=25, extend="both")
    bar.set_ticks(np.linspace(*score_range, 5).tolist())
    bar.set_label(score_label)
    figure.supxlabel(ORIENTATION, fontsize=5.5)
    return figure


def brain_frame(heatmap: np.ndarray, margin: int = MARGIN) -> tuple[slice, slice, slice]:
    """Part of a heatmap's slices that holds the brain, with a margin.

    Args:
        heatmap: (x, y, z), NaN outside the brain.
        margin: voxels around the brain along x and y.

    Returns:
        Slices along x, y and z; all of z, and everything of a heatmap without brain.
    """
    inside = np.isfinite(heatmap)
    if not inside.any():
        return slice(None), slice(None), slice(None)
    x, y = (np.flatnonzero(inside.any(axis=axes)) for axes in ((1, 2), (0, 2)))
    across, along = (slice(max(0, indices[0] - margin), indices[-1] + 1 + margin) for indices in (x, y))
    return across, along, slice(None)


def _show_truth(axes: Axes, case: SliceCase, frame: tuple[slice, slice, slice]) -> None:
    lesion = np.asarray(case.lesion)[frame][:, :, case.z] > 0
    brain = np.isfinite(case.heatmap[frame][:, :, case.z])
    truth = np.where(lesion, 1.0, np.where(brain, 0.2, 0.0))
    show_slice(axes, truth, cmap="gray", vmin=0, vmax=1)
