"""Heatmaps of every method beside each other: one slice of one scan of each dataset."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from patch2loc.configuration.method_names import display_name
from patch2loc.data.labels import label_of
from patch2loc.data.scans import Scan
from patch2loc.data.volumes import read, read_mask
from patch2loc.figures.slices import OUTSIDE, brain_frame, lesion_slice, median_subject
from patch2loc.figures.style import (
    COLOR_MAP,
    FIGURE_PERCENTILES,
    ORIENTATION,
    RC,
    gray_range,
    mark_sides,
    show_slice,
)
from patch2loc.files import read_csv
from patch2loc.tables.made import Made

PANEL = 1.15  # inches
TITLE_WIDTH = 20  # characters, as LABEL_WIDTH
LABEL_WIDTH = 24


@dataclass(frozen=True)
class ScanMaps:
    """One scan with the heatmaps of all methods: a column of the figure.

    Attributes:
        title: dataset, with "(simulated)" if it is.
        subject: name.
        z: index of the axial slice.
        volume: (x, y, z) intensities of the scan.
        lesion: (x, y, z), above 0 inside.
        heatmaps: {method: (x, y, z) score, NaN outside the mask}.
    """

    title: str
    subject: str
    z: int
    _: KW_ONLY
    volume: np.ndarray
    lesion: np.ndarray
    heatmaps: Mapping[str, np.ndarray]


@mpl.rc_context(RC)
def method_maps_figure(
    scans: Sequence[ScanMaps], methods: Sequence[str], color_map: str = COLOR_MAP
) -> Figure:
    """A column for each scan: the scan, the truth in white, and the heatmap of each method, gray outside the mask.

    Methods score on different scales: the colors of every panel run between the percentiles 1 and 99 of its scan's
    scores, so compare places within a panel, not panels.

    Args:
        scans: columns, from the left.
        methods: names, from the top.
        color_map: "jet" as in the paper, or `style.COLOR_BLIND_SAFE`.
    """
    rows = ["scan", "ground truth", *methods]
    layout = ConstrainedLayoutEngine(w_pad=0.01, h_pad=0.01, hspace=0.01, wspace=0.01)
    figure = Figure(figsize=(PANEL * len(scans) + 1.1, 1.2 * PANEL * len(rows) + 0.6), layout=layout)
    panels = figure.subplots(len(rows), len(scans), squeeze=False)
    colors = mpl.colormaps[color_map].with_extremes(bad=OUTSIDE)
    for column, scan in zip(panels.T, scans, strict=True):
        x, y, _ = brain_frame(scan.heatmaps[methods[0]])
        frame = (x, y, scan.z)
        show_slice(column[0], scan.volume[frame], **gray_range(scan.volume))
        mark_sides(column[0])
        brain = np.isfinite(scan.heatmaps[methods[0]])
        truth = np.where(scan.lesion > 0, 1.0, np.where(brain, 0.2, 0.0))
        show_slice(column[1], truth[frame], cmap="gray", vmin=0, vmax=1)
        for panel, method in zip(column[2:], methods, strict=True):
            heatmap = scan.heatmaps[method]
            low, high = np.nanpercentile(heatmap, FIGURE_PERCENTILES)
            scores = np.ma.masked_invalid(heatmap[frame])
            show_slice(panel, scores, cmap=colors, vmin=low, vmax=max(high, low + 1e-6))
        title = textwrap.fill(scan.title, TITLE_WIDTH)
        column[0].set_title(f"{title}\n{scan.subject}\nslice z {scan.z}", fontsize=6)
    for panel, name in zip(panels[:, 0], ["scan", "ground truth", *map(display_name, methods)], strict=True):
        panel.set_ylabel(row_label(name), rotation=0, ha="right", va="center", fontsize=6)
    figure.supxlabel(textwrap.fill(ORIENTATION, 22 * len(scans) + 12), fontsize=5.5)
    return figure


def row_label(name: str) -> str:
    """A method's name in lines that end after a word or an underscore."""
    return textwrap.fill(name.replace("_", "_ "), LABEL_WIDTH).replace("_ ", "_")


def make(inputs: Any, params: Any) -> Made:
    """The figure of a run: the subject of median AUPRC of each dataset, in the slice with the most lesion."""
    keys = product(params.methods, params.datasets)
    folders = {key: Path(folder) for key, folder in zip(keys, inputs.heatmaps, strict=True)}
    scans = []
    for (name, info), metrics in zip(params.datasets.items(), inputs.metrics, strict=True):
        subject = median_subject(read_csv(metrics))
        scan = Scan(subject, Path(params.preprocessed, name, subject), info["modality"])
        lesion = read_mask(scan.truth_path(params.truth))
        maps = {method: read(folders[method, name] / f"{subject}.nii.gz")[0] for method in params.methods}
        z = lesion_slice(lesion, np.isfinite(maps[params.methods[0]]))
        volume, _ = read(scan.volume_path)
        scans.append(ScanMaps(label_of(info), subject, z, volume=volume, lesion=lesion, heatmaps=maps))
    return Made(figure=method_maps_figure(scans, params.methods, params.color_map))
