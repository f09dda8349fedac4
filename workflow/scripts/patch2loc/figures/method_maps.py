"""Heatmaps of every method beside each other: one slice of one scan of each dataset."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from patch2loc.configuration.method_names import shown
from patch2loc.figures.slices import OUTSIDE, brain_frame
from patch2loc.figures.style import COLOR_MAP, ORIENTATION, RC, gray_range, mark_sides, show_slice

PERCENTILES = (1, 99)  # of the brain's scores, between which colors run
PANEL = 1.15  # inches
TITLE_WIDTH = 20
LABEL_WIDTH = 24


@dataclass(frozen=True)
class MapsOfScan:
    """One column of the figure.

    title: dataset, with "(simulated)" where it is; subject: its name; z: index of the axial slice.
    scan, lesion: (x, y, z); heatmaps: of each method, (x, y, z) score, NaN outside the mask.
    """

    title: str
    subject: str
    z: int
    scan: np.ndarray
    lesion: np.ndarray
    heatmaps: Mapping[str, np.ndarray]


@mpl.rc_context(RC)
def method_maps_figure(
    scans: Sequence[MapsOfScan], methods: Sequence[str], color_map: str = COLOR_MAP
) -> Figure:
    """A column for each scan: the scan, the truth in white, and the heatmap of each method, gray outside the mask.

    Scales of methods differ: colors of every panel run between the percentiles 1 and 99 of its scan's scores, so that
    places within a panel compare, and not panels.
    """
    rows = ["scan", "ground truth", *methods]
    size = (PANEL * len(scans) + 1.1, 1.2 * PANEL * len(rows) + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, hspace=0.01, wspace=0.01)
    panels = figure.subplots(len(rows), len(scans), squeeze=False)
    colors = mpl.colormaps[color_map].with_extremes(bad=OUTSIDE)
    for column, of_scan in zip(panels.T, scans, strict=True):
        frame = brain_frame(of_scan.heatmaps[methods[0]])

        def cut(volume: np.ndarray, frame: tuple = frame, z: int = of_scan.z) -> np.ndarray:
            return volume[frame][:, :, z]

        show_slice(column[0], cut(of_scan.scan), **gray_range(of_scan.scan))
        mark_sides(column[0])
        brain = np.isfinite(of_scan.heatmaps[methods[0]])
        truth = np.where(of_scan.lesion > 0, 1.0, np.where(brain, 0.2, 0.0))
        show_slice(column[1], cut(truth), cmap="gray", vmin=0, vmax=1)
        for panel, method in zip(column[2:], methods, strict=True):
            heatmap = of_scan.heatmaps[method]
            low, high = np.nanpercentile(heatmap, PERCENTILES)
            heat = np.ma.masked_invalid(cut(heatmap))
            show_slice(panel, heat, cmap=colors, vmin=low, vmax=max(high, low + 1e-6))
        title = textwrap.fill(of_scan.title, TITLE_WIDTH)
        column[0].set_title(f"{title}\n{of_scan.subject}\nslice z {of_scan.z}", fontsize=6)
    for panel, name in zip(panels[:, 0], ["scan", "ground truth", *map(shown, methods)], strict=True):
        panel.set_ylabel(row_label(name), rotation=0, ha="right", va="center", fontsize=6)
    figure.supxlabel(textwrap.fill(ORIENTATION, 22 * len(scans) + 12), fontsize=5.5)
    return figure


def row_label(name: str) -> str:
    """A method's name in lines that end after a word or an underscore."""
    return textwrap.fill(name.replace("_", "_ "), LABEL_WIDTH).replace("_ ", "_")
