"""How the figures look, and how they are saved so that the same input gives the same bytes."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from patch2loc.files import replacing

COLUMN_WIDTH = 3.5
PAGE_WIDTH = 7.2
NORMAL = "#1f5fbf"
ABNORMAL = "#d0312d"
SCORE_RANGE = (0.0, 12.0)
COLOR_MAP = "jet"
COLOR_BLIND_SAFE = "viridis"
ORIENTATION = "Radiological convention: left of the image is the subject's right; anterior is up."
RC = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "figure.dpi": 100,
    "savefig.dpi": 250,
    "pdf.fonttype": 42,
}


def save_figure(figure: Figure, paths: Sequence[str | Path]) -> None:
    """Write the figure to each path, whole or not at all, PNG or PDF by suffix, without dates.

    The same figure and the same versions of matplotlib give the same bytes.
    """
    metadata = {".png": {"Software": None}, ".pdf": {"CreationDate": None, "ModDate": None, "Producer": None}}
    for path in map(Path, paths):
        with mpl.rc_context(RC), replacing(path) as partial:
            figure.savefig(partial, facecolor="white", metadata=metadata[path.suffix])


def show_slice(axes: Axes, image: np.ndarray, **how: object) -> object:
    """Draw one axial slice (x, y) in radiological convention, the subject's right on the left, without ticks."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    picture = axes.imshow(image.T, origin="lower", interpolation="nearest", **how)
    axes.set_xlim(sorted(axes.get_xlim(), reverse=True))  # x grows to the subject's right
    return picture


def gray_range(scan: np.ndarray) -> dict[str, object]:
    """Gray color map from black to the 99.5th percentile of the scan's non-zero voxels."""
    inside = scan[scan > 0]
    top = float(np.percentile(inside, 99.5)) if inside.size else 1.0
    return {"cmap": "gray", "vmin": 0.0, "vmax": top}


def mark_sides(axes: Axes, color: str = "white") -> None:
    """Write R and L in the lower corners of a slice drawn by `show_slice`."""
    for side, where, align in (("R", 0.02, "left"), ("L", 0.98, "right")):
        axes.text(where, 0.02, side, transform=axes.transAxes, ha=align, va="bottom", color=color, fontsize=6)
