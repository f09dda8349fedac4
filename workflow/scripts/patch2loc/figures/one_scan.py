"""Picture of one scored scan: slices of the scan above those of its heatmap."""

import textwrap

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from patch2loc.figures.slices import OUTSIDE, brain_frame, evenly_spaced_slices
from patch2loc.figures.style import (
    COLOR_MAP,
    PAGE_WIDTH,
    PAPER_SCALE,
    RC,
    color_range,
    gray_range,
    mark_sides,
    show_slice,
)

EVENLY_SPACED = 5
TOP_SHARE = 0.01
PANELS_WIDTH, AROUND_PANELS = 6.4, 0.65  # inches, of all panels of a row and above and below the rows
SCORE_LABEL = "score: ln(squared location error)\n+ ln(variance), in % of the grid"
CAPTION = (
    "Radiological convention: left of the image is the subject's right; anterior is up. Slices: five that "
    "divide the height of the brain evenly, and the one (*) with most of the highest 1 % of the scores. "
    "mm: above the lowest slice of the brain. Research only, not for diagnosis."
)


def select_slices(heatmap: np.ndarray) -> tuple[list[int], int]:
    """Axial slices to show: five that divide the height of the brain, and that of the highest scores.

    Args:
        heatmap: (x, y, z), NaN outside the brain.

    Returns:
        Indices from below, and the one among them with most of the highest 1 % of the scores.
    """
    brain = np.isfinite(heatmap)
    highest = brain & (heatmap >= np.quantile(heatmap[brain], 1 - TOP_SHARE))
    peak = int(np.argmax(np.count_nonzero(highest, axis=(0, 1))))
    return sorted({*evenly_spaced_slices(brain, EVENLY_SPACED), peak}), peak


@mpl.rc_context(RC)
def scan_figure(
    title: str, volume: np.ndarray, heatmap: np.ndarray, *, spacing: float, method: str
) -> Figure:
    """Scan and heatmap at the slices of `select_slices`.

    Colors run from 0 to 12 for patch2loc, as in the paper, and between percentiles 1 and 99 for other methods.

    Args:
        title: of the figure.
        volume: (x, y, z) intensities, 0 outside the brain.
        heatmap: (x, y, z) score, NaN outside the brain.
        spacing: mm.
        method: name.
    """
    slices, peak = select_slices(heatmap)
    low, high = color_range(method, heatmap)
    frame = brain_frame(heatmap)
    lowest = np.flatnonzero(np.isfinite(heatmap).any(axis=(0, 1)))[0]
    ratio = (frame[1].stop - frame[1].start) / (frame[0].stop - frame[0].start)
    height = 2 * ratio * PANELS_WIDTH / len(slices) + AROUND_PANELS
    layout = ConstrainedLayoutEngine(w_pad=0.01, h_pad=0.02, hspace=0.01, wspace=0.01)
    figure = Figure(figsize=(PAGE_WIDTH, height), layout=layout)
    panels = figure.subplots(2, len(slices), squeeze=False)
    colors = mpl.colormaps[COLOR_MAP].with_extremes(bad=OUTSIDE)
    for z, (above, below) in zip(slices, panels.T, strict=True):
        show_slice(above, volume[frame][:, :, z], **gray_range(volume))
        scores = np.ma.masked_invalid(heatmap[frame][:, :, z])
        picture = show_slice(below, scores, cmap=colors, vmin=low, vmax=high)
        for axes in (above, below):
            mark_sides(axes)
        star = " *" if z == peak else ""
        above.set_title(f"z {z}, {(z - lowest) * spacing:.0f} mm{star}", fontsize=6.5)
    panels[0, 0].set_ylabel("scan")
    panels[1, 0].set_ylabel("heatmap")
    bar = figure.colorbar(picture, ax=panels, shrink=0.75, pad=0.01, aspect=22, extend="both")
    label = SCORE_LABEL if method in PAPER_SCALE else f"score of {method}, percentiles 1 to 99"
    bar.set_label(label, fontsize=6)
    figure.suptitle(title, fontsize=8)
    figure.supxlabel(textwrap.fill(CAPTION, 160), fontsize=5.5)
    return figure
