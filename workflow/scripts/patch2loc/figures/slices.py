"""Figures 4, 5, 7, 8 and on: slices of scans beside their heatmaps and the truth."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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

MARGIN = 4
LABEL_WIDTH = 24
OUTSIDE = "0.55"


@dataclass(frozen=True)
class SliceCase:
    """One row of a slice figure.

    title: dataset, with "(simulated)" where it is; subject: its name; scan: (x, y, z); heatmap: (x, y, z)
    score, NaN outside the mask; z: index of the axial slice; lesion: (x, y, z), true inside, or None; auprc: of the
    scan, where it has one.
    """

    title: str
    subject: str
    scan: np.ndarray
    heatmap: np.ndarray
    z: int
    lesion: np.ndarray | None = None
    auprc: float | None = None


def median_subject(metrics: pd.DataFrame, column: str = "auprc") -> str:
    """The subject whose value is the median (the lower one of two), ties in the order of names.

    metrics: columns subject and `column`. Raises ValueError when no subject has a value.
    """
    return evenly_ranked_subjects(metrics, column, 1)[0]


def evenly_ranked_subjects(metrics: pd.DataFrame, column: str, count: int) -> list[str]:
    """`count` subjects at evenly spaced ranks of a column: the middle of each of `count` equal parts.

    Fewer when there are fewer subjects. Raises ValueError when no subject has a value.
    """
    ranked = metrics.dropna(subset=[column]).sort_values([column, "subject"])["subject"].tolist()
    if not ranked:
        raise ValueError(f"no subject has a value of {column}: none can be chosen for the figure")
    count = min(count, len(ranked))
    return [ranked[int(np.ceil((part + 0.5) * len(ranked) / count)) - 1] for part in range(count)]


def fullest_slice(volume: np.ndarray) -> int:
    """Index of the axial slice with the most true voxels of a mask or lesion, the lowest of equals."""
    return int(np.argmax(np.count_nonzero(np.asarray(volume) > 0, axis=(0, 1))))


def lesion_slice(lesion: np.ndarray, brain: np.ndarray) -> int:
    """Index of the axial slice with the most lesion; of that with the most brain where the grid holds no lesion."""
    return fullest_slice(lesion if np.any(lesion) else brain)


def evenly_spaced_slices(mask: np.ndarray, count: int) -> list[int]:
    """`count` axial slices that divide the height of the mask into `count` + 1 equal parts."""
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

    The heatmap's colors run over the fixed `score_range` (paper: 0 to 12) and are gray outside the
    mask. color_map: "jet" as in the paper, or style.COLOR_BLIND_SAFE.
    """
    with_truth = any(case.lesion is not None for case in cases)
    columns = ["scan", "heatmap", "ground truth"] if with_truth else ["scan", "heatmap"]
    width = 1.25 * len(columns) + 0.75
    figure = Figure(figsize=(max(width, COLUMN_WIDTH), 1.45 * len(cases) + 0.45), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06)
    panels = figure.subplots(len(cases), len(columns), squeeze=False)
    colors = mpl.colormaps[color_map].with_extremes(bad=OUTSIDE)
    picture = None
    for case, axes in zip(cases, panels, strict=True):
        frame = brain_frame(case.heatmap)
        show_slice(axes[0], case.scan[frame][:, :, case.z], **gray_range(case.scan))
        mark_sides(axes[0])
        heat = np.ma.masked_invalid(case.heatmap[frame][:, :, case.z])
        picture = show_slice(axes[1], heat, cmap=colors, vmin=score_range[0], vmax=score_range[1])
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
    bar.set_ticks(np.linspace(*score_range, 5))
    bar.set_label(score_label)
    figure.supxlabel(ORIENTATION, fontsize=5.5)
    return figure


def brain_frame(heatmap: np.ndarray) -> tuple[slice, slice, slice]:
    """The part of the slices that holds the brain of a heatmap (NaN outside), with a margin; all slices."""
    inside = np.isfinite(heatmap)
    if not inside.any():
        return slice(None), slice(None), slice(None)
    frame = []
    for axis in (0, 1):
        where = np.flatnonzero(inside.any(axis=(1 - axis, 2)))
        frame.append(slice(max(0, where[0] - MARGIN), where[-1] + 1 + MARGIN))
    return frame[0], frame[1], slice(None)


def _show_truth(axes: Axes, case: SliceCase, frame: tuple[slice, slice, slice]) -> None:
    lesion = np.asarray(case.lesion)[frame][:, :, case.z] > 0
    brain = np.isfinite(case.heatmap[frame][:, :, case.z])
    show_slice(axes, np.where(lesion, 1.0, np.where(brain, 0.2, 0.0)), cmap="gray", vmin=0, vmax=1)
