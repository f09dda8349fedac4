"""Make detect.png, the picture of README.md: what `patch2loc detect` reports for a glioma and for a healthy scan.

    patch2loc detect BraTS2021_00006_t1.nii.gz -o glioma
    patch2loc detect IXI277-HH-1770_t1.nii.gz -o healthy
    .venv/bin/python docs/images/make_detect_picture.py glioma BraTS2021_00006_seg.nii.gz healthy

The healthy person is in the test fold of splits/model_t1.csv, so the model has not seen the scan, and is close to the
median of such people in benchmarks/model_card_t1_2mm.csv. Both scans are shown in the slices with most of their first
candidate.
"""

import json
import sys
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import nibabel
import numpy as np
import SimpleITK as sitk
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from patch2loc.figures.style import RARITY_RANGE
from patch2loc.own_scan.picture import colored
from patch2loc.own_scan.places import brain_box
from patch2loc.own_scan.wording import one_in

PICTURE = Path(__file__).resolve().parent / "detect.png"
WIDTH, HEIGHT, DPI = 1660, 560, 100  # pixels; twice the size at which README.md shows it
EDGE, PANELS_TOP, PANELS_HEIGHT, PANEL_GAP, HALF_GAP = 24, 100, 330, 4, 40
SPACING = 2.0  # mm, of the grid of the included model
BACKGROUND, TEXT, SOFT = "#0e1116", "#ffffff", "#b8c0cc"  # one card on white pages and on dark ones
UNUSUAL, USUAL, LESION, CANDIDATE = "#ffb454", "#9fc3e6", "#35e0e8", "#ffffff"
CREDIT = (
    "Scans: BraTS 2021, case 00006 (Baid et al. 2021, CC BY 4.0); IXI, person 277 (brain-development.org, "
    "CC BY-SA 3.0). Picture: CC BY-SA 3.0."
)


class Report(NamedTuple):
    """What the picture shows of a result folder of `patch2loc detect`."""

    scan: np.ndarray  # (x, y, z) intensities, 0 outside the brain
    rarity: np.ndarray  # (x, y, z), NaN outside the brain
    candidates: np.ndarray  # (x, y, z), 0 outside the candidates, 1 in the first
    lesion: np.ndarray | None  # (x, y, z) boolean
    percentile: float
    n_healthy: int

    @property
    def verdict(self) -> str:
        """The answer in plain words."""
        below = round(self.percentile / 100 * self.n_healthy)
        if below == self.n_healthy:
            return f"Unusual: more abnormal than all {below} healthy scans"
        return f"Typical: more abnormal than {below} of {self.n_healthy} healthy scans"


def read_volume(path: Path) -> np.ndarray:
    """The voxels of a NIfTI file."""
    return np.asarray(nibabel.load(path).dataobj, dtype=np.float32)


def lesion_on_atlas(truth: Path, folder: Path) -> np.ndarray:
    """A lesion mask of the scan's own grid, moved to the atlas as the scan was; at least half a voxel is lesion."""
    mask = sitk.Cast(sitk.ReadImage(str(truth)) > 0, sitk.sitkFloat32)
    transform = sitk.ReadTransform(str(folder / "transform.tfm"))
    moved = sitk.Resample(mask, sitk.ReadImage(str(folder / "T1.nii.gz")), transform, sitk.sitkLinear)
    return sitk.GetArrayFromImage(moved).transpose(2, 1, 0) >= 0.5


def read_report(folder: Path, truth: Path | None = None) -> Report:
    """Read a result folder, and the lesion mask that experts drew in the scan."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    preprocessed = folder / "preprocessed"
    brain = read_volume(preprocessed / "mask.nii.gz") > 0
    return Report(
        scan=np.where(brain, read_volume(preprocessed / "T1.nii.gz"), 0),
        rarity=np.where(brain, read_volume(folder / "heatmap_atlas.nii.gz"), np.nan),
        candidates=read_volume(folder / "candidates_atlas.nii.gz"),
        lesion=None if truth is None else lesion_on_atlas(truth, preprocessed),
        percentile=summary["percentile"],
        n_healthy=summary["n_healthy"],
    )


def write(figure: Figure, x: float, y: float, text: str, size: float, **style: object) -> None:
    """Write a line at a place from the upper left corner; all lengths are pixels."""
    style = {"color": TEXT, "va": "center"} | style
    figure.text(x / WIDTH, 1 - y / HEIGHT, text, fontsize=size * 72 / DPI, **style)


def panel(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes without ticks at a place from the upper left corner, pixels."""
    box = (left / WIDTH, 1 - (top + height) / HEIGHT, width / WIDTH, height / HEIGHT)
    axes = figure.add_axes(box)
    axes.set_axis_off()
    return axes


def draw_slice(axes: Axes, report: Report, index: tuple[slice | int, ...], *, with_map: bool) -> None:
    """Draw a slice: the scan, its lesion, and the map with the candidates; right or front is on the left."""

    def image(volume: np.ndarray) -> np.ndarray:
        return volume[index][::-1, ::-1].T

    brain = np.isfinite(image(report.rarity))
    low, high = np.percentile(report.scan[np.isfinite(report.rarity)], (0.5, 99.8))
    scan = np.ma.masked_where(~brain, image(report.scan))
    axes.imshow(scan, cmap="gray", vmin=low, vmax=high, interpolation="bilinear", aspect="auto")
    if with_map:
        axes.imshow(colored(image(report.rarity)), interpolation="nearest", aspect="auto")
        axes.contour(image(report.candidates) > 0, levels=[0.5], colors=CANDIDATE, linewidths=1.6)
    if report.lesion is not None:
        axes.contour(image(report.lesion), levels=[0.5], colors=LESION, linewidths=2)


def draw_report(figure: Figure, report: Report, left: float, title: str) -> None:
    """Draw a half of the picture: title, verdict, an axial slice without and with its map, a sagittal one with it."""
    unusual = report.verdict.startswith("Unusual")
    write(figure, left, 30, title, 30, weight="bold")
    write(figure, left, 74, report.verdict, 28, color=UNUSUAL if unusual else USUAL)
    first = report.candidates == 1
    x, z = (int(np.argmax(first.sum(axis=axes))) for axes in ((1, 2), (0, 1)))
    x_box, y_box, z_box = (slice(*limits) for limits in brain_box(np.isfinite(report.rarity), SPACING))
    axial, sagittal = (x_box, y_box, z), (x, y_box, z_box)
    panels = ((axial, False, "RL"), (axial, True, "RL"), (sagittal, True, "AP"))
    sizes = [report.scan[index].shape for index, _, _ in panels]
    room = (WIDTH - 2 * EDGE - HALF_GAP) / 2 - 2 * PANEL_GAP
    scale = min(room / sum(across for across, _ in sizes), PANELS_HEIGHT / max(up for _, up in sizes))
    for (index, with_map, sides), (across, up) in zip(panels, sizes, strict=True):
        width, height = scale * across, scale * up
        top = PANELS_TOP + (PANELS_HEIGHT - height) / 2
        draw_slice(panel(figure, left, top, width, height), report, index, with_map=with_map)
        for side, place in zip(sides, (left + 20, left + width - 20), strict=True):
            write(figure, place, PANELS_TOP + PANELS_HEIGHT - 8, side, 19, color=SOFT, ha="center")
        left += width + PANEL_GAP


def draw_legend(figure: Figure, top: float) -> None:
    """Draw the scale of colors and what the outlines are."""
    low, high = RARITY_RANGE
    start, length = 390, 440
    write(figure, EDGE, top + 12, "How rare in healthy brains:", 24)
    axes = panel(figure, start, top, length, 24)
    axes.imshow([[0.35]], cmap="gray", vmin=0, vmax=1, extent=(low, high, 0, 1), aspect="auto")
    axes.imshow(colored(np.linspace(low, high, 400))[None], extent=(low, high, 0, 1), aspect="auto")
    for tick in np.arange(low, high + 1):
        write(figure, start + length * (tick - low) / (high - low), top + 40, one_in(tick), 21, ha="center")
    place = start + length + 100
    for text, color, width in (
        ("candidate lesion", CANDIDATE, 300),
        ("lesion as experts marked it", LESION, 0),
    ):
        line = np.array([place, place + 44]) / WIDTH
        figure.add_artist(Line2D(line, [1 - (top + 12) / HEIGHT] * 2, color=color, linewidth=3))
        write(figure, place + 58, top + 12, text, 24)
        place += width


def detect_picture(glioma: Report, healthy: Report) -> Figure:
    """The picture, of a glioma and of a healthy scan."""
    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, facecolor=BACKGROUND)
    draw_report(figure, glioma, EDGE, "A patient with a glioma")
    draw_report(figure, healthy, (WIDTH + HALF_GAP) / 2, "A healthy person")
    draw_legend(figure, 452)
    write(figure, EDGE, 536, CREDIT, 19, color=SOFT)
    return figure


if __name__ == "__main__":
    glioma, truth, healthy = map(Path, sys.argv[1:])
    with mpl.rc_context({"font.family": "DejaVu Sans"}):
        detect_picture(read_report(glioma, truth), read_report(healthy)).savefig(
            PICTURE, dpi=DPI, facecolor=BACKGROUND, metadata={"Software": None}
        )
    colors = np.asarray(Image.open(PICTURE).convert("RGB")).astype(int)
    coarse = np.minimum((colors + 2) // 4 * 4, 255).astype(
        np.uint8
    )  # nobody sees it, and the file is a third smaller
    Image.fromarray(coarse).save(PICTURE, optimize=True)
    print(f"{PICTURE}: {PICTURE.stat().st_size // 1000} kB")
