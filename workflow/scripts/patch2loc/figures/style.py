"""Style of the figures, and saving such that the same input gives the same bytes."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from patch2loc.files import replacing

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

COLUMN_WIDTH = 3.5  # inches, as PAGE_WIDTH
PAGE_WIDTH = 7.2
NORMAL = "#1f5fbf"
ABNORMAL = "#d0312d"
SCORE_RANGE = (0.0, 12.0)  # of the colors of the paper's score
PAPER_SCALE = ("patch2loc",)  # methods on the paper's scale
# Percentiles of a scan's scores between which the colors of other methods run. The viewer shows more of the
# highest scores: its range can be changed by hand.
FIGURE_PERCENTILES = (1, 99)
VIEWER_PERCENTILES = (1, 99.9)
COLOR_MAP = "jet"
COLOR_BLIND_SAFE = "viridis"
# Of maps of rarity (score.reference): safe for the color-blind, unlike the grays of a brain, and clear below the range.
RARITY_COLOR_MAP = "plasma"
RARITY_RANGE = (2.0, 5.0)  # one healthy voxel in 100, in 100,000
ORIENTATION = "Radiological convention: left of the image is the subject's right; anterior is up."
RC: dict["RcKeyType", Any] = {
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


class ColorScale(TypedDict):
    """Color map of a picture, and the values of its first and its last color."""

    cmap: str | Colormap
    vmin: float
    vmax: float


def save_figure(figure: Figure, paths: Sequence[str | Path]) -> None:
    """Write a figure to each path, whole or not at all, as PNG or PDF by suffix, without dates.

    The same figure and the same version of matplotlib give the same bytes. Axes are where the first file has them.
    """
    metadata = {".png": {"Software": None}, ".pdf": {"CreationDate": None, "ModDate": None, "Producer": None}}
    for path in map(Path, paths):
        with mpl.rc_context(RC), replacing(path) as partial:
            figure.savefig(partial, facecolor="white", metadata=metadata[path.suffix])
        figure.set_layout_engine("none")  # to lay them out again takes as long as to draw them


def show_slice(axes: Axes, image: np.ndarray, *, cmap: str | Colormap, vmin: float, vmax: float) -> AxesImage:
    """Draw an axial slice, (x, y), in radiological convention, the subject's right on the left, without ticks."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    picture = axes.imshow(image.T, origin="lower", interpolation="nearest", cmap=cmap, vmin=vmin, vmax=vmax)
    left, right = sorted(axes.get_xlim(), reverse=True)  # x grows to the subject's right
    axes.set_xlim(left, right)
    return picture


def gray_range(volume: np.ndarray) -> ColorScale:
    """Gray scale from black at 0 to white at the 99.5th percentile of a scan's positive voxels."""
    positive = volume[volume > 0]
    top = float(np.percentile(positive, 99.5)) if positive.size else 1.0
    return {"cmap": "gray", "vmin": 0.0, "vmax": top}


def color_range(
    method: str, scores: np.ndarray, percentiles: tuple[float, float] = FIGURE_PERCENTILES
) -> tuple[float, float]:
    """Range of scores that the colors of a heatmap run over.

    Args:
        method: name; those of PAPER_SCALE have the paper's range, 0 to 12.
        scores: of one scan, any shape, NaN left out.
        percentiles: of the scores that bound the range of any other method.
    """
    if method in PAPER_SCALE:
        return SCORE_RANGE
    low, high = (float(value) for value in np.nanpercentile(scores, percentiles))
    return low, high


def mark_sides(axes: Axes, color: str = "white") -> None:
    """Write R and L in the lower corners of a slice drawn by `show_slice`."""
    for side, x, align in (("R", 0.02, "left"), ("L", 0.98, "right")):
        axes.text(x, 0.02, side, transform=axes.transAxes, ha=align, va="bottom", color=color, fontsize=6)
