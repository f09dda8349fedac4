"""Figure 1: how Patch2Loc is trained and how it scores, drawn with scans and numbers of the run."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Circle, ConnectionPatch, Ellipse, FancyBboxPatch, Rectangle

from patch2loc.data.labels import label_of
from patch2loc.data.scans import Scan, read_cohort
from patch2loc.data.volumes import read_mask
from patch2loc.engine.device import select_device
from patch2loc.figures.ellipses import ELLIPSE, PLACE
from patch2loc.figures.schematic_examples import (
    InferenceExample,
    TrainingExample,
    inference_example,
    training_example,
)
from patch2loc.figures.slices import OUTSIDE, median_subject
from patch2loc.figures.style import (
    COLOR_MAP,
    ORIENTATION,
    PAGE_WIDTH,
    RC,
    SCORE_RANGE,
    ColorScale,
    gray_range,
    mark_sides,
    show_slice,
)
from patch2loc.files import read_csv
from patch2loc.heatmap import EPSILON
from patch2loc.methods.patch2loc.model import location_network
from patch2loc.models import load_model
from patch2loc.network.inference import DenseNetwork
from patch2loc.network.patches import MINIMUM_BRAIN_FRACTION
from patch2loc.standardize import read_standardized
from patch2loc.tables.made import Made

HEIGHT = 5.45  # inches
REJECTED, REJECTED_INK = "#ffb000", "#9a6200"  # on the slice, and as words on white
BOX = "#e8edf5"
INK = "0.2"
PARTS_RANGE = (0.0, SCORE_RANGE[1] / 2)  # two parts add up to the range of the score
MAPS = {
    "log_error": ("log-error", f"ln(‖Y − μ‖² + {EPSILON:g}), in %²", PARTS_RANGE),
    "log_variance": ("log-variance", "mean of ln σ², σ in %", PARTS_RANGE),
    "score": ("heatmap, truth outlined", "score: log-error + log-variance", SCORE_RANGE),
}
MARGIN = 3  # voxels around the brain
TICKS = (20, 40, 60, 80)  # percent of the grid

Rect = tuple[float, float, float, float]  # left, bottom, width and height on the page, inches


@mpl.rc_context(RC)
def schematic_figure(
    training: TrainingExample,
    inference: InferenceExample,
    spacing: float,
    color_map: str = COLOR_MAP,
) -> Figure:
    """Training above: a healthy slice, its patches, the network, its prediction; inference below: a lesion's maps.

    Args:
        training: contents of the upper half.
        inference: contents of the lower half.
        spacing: mm.
        color_map: of the maps, as in `slices.slice_figure`.
    """
    figure = Figure(figsize=(PAGE_WIDTH, HEIGHT))
    page = _axes(
        figure, (0, 0, PAGE_WIDTH, HEIGHT)
    )  # in inches: arrows, boxes and words between the pictures
    page.set(xlim=(0, PAGE_WIDTH), ylim=(0, HEIGHT))
    page.axis("off")
    _heading(
        page,
        HEIGHT - 0.15,
        "Training",
        f"on patches of healthy scans; shown on a test scan, {training.title}",
    )
    slice_axes = _axes(figure, (0.45, 3.12, 1.5, 1.85))
    _draw_patches(page, slice_axes, training)
    patch_axes = _axes(figure, (2.5, 3.82, 0.75, 0.75))
    _draw_enlarged(page, slice_axes, patch_axes, training=training, spacing=spacing)
    _draw_network(page, training)
    _draw_prediction(page, _axes(figure, (5.62, 3.12, 1.5, 1.85)), training, spacing)
    _heading(page, 2.42, "Inference", f"at every voxel of the brain; here {inference.title}")
    _draw_inference(figure, page, inference, color_map)
    page.text(PAGE_WIDTH / 2, 0.06, ORIENTATION, ha="center", fontsize=5.5)
    return figure


def _axes(figure: Figure, rectangle: Rect) -> Axes:
    """Axes at a place of the page."""
    left, bottom, width, height = rectangle
    return figure.add_axes(
        (left / PAGE_WIDTH, bottom / HEIGHT, width / PAGE_WIDTH, height / HEIGHT), anchor="C"
    )


def _heading(page: Axes, y: float, name: str, subtitle: str) -> None:
    page.text(0.08, y, name, fontsize=9, fontweight="bold", va="center")
    page.text(0.95, y, subtitle, fontsize=7, va="center")
    page.plot([0.08, PAGE_WIDTH - 0.08], [y - 0.11] * 2, color="0.75", linewidth=0.6)


def _arrow(page: Axes, begin: tuple[float, float], end: tuple[float, float]) -> None:
    page.annotate(
        "", end, begin, arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 0.9, "shrinkA": 0, "shrinkB": 0}
    )


def _box(page: Axes, rectangle: Rect, text: str) -> None:
    left, bottom, width, height = rectangle
    shape = FancyBboxPatch(
        (left, bottom),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.05",
        facecolor=BOX,
        edgecolor=INK,
        lw=0.7,
    )
    page.add_patch(shape)
    page.text(left + width / 2, bottom + height / 2, text, ha="center", va="center", fontsize=6.5)


def _show_frame(
    axes: Axes, image: np.ndarray, brain: np.ndarray, *, margin: int, scale: ColorScale
) -> AxesImage:
    """A slice in radiological convention, cut to the brain (x, y) with a margin of voxels."""
    picture = show_slice(axes, image, **scale)
    mark_sides(axes)
    axes.set_facecolor(OUTSIDE if np.ma.isMaskedArray(image) else "black")  # where the frame leaves the grid
    (left, back), (right, front) = (edge(np.argwhere(brain), axis=0) for edge in (np.min, np.max))
    axes.set(
        xlim=(right + margin + 0.5, left - margin - 0.5), ylim=(back - margin - 0.5, front + margin + 0.5)
    )
    return picture


def _outline(axes: Axes, center: np.ndarray, patch: int, *, color: str, line: str = "-") -> None:
    left, back = center - patch // 2 - 0.5
    axes.add_patch(
        Rectangle((left, back), patch, patch, fill=False, edgecolor=color, linewidth=1.2, linestyle=line)
    )


def _draw_patches(page: Axes, axes: Axes, training: TrainingExample) -> None:
    """The slice with the accepted and the rejected patch, and its axes in percent of the grid."""
    patch = len(training.patch)
    scale = gray_range(training.image)
    _show_frame(axes, training.image, training.brain, margin=patch // 2 + MARGIN, scale=scale)
    for axis, size in ((axes.xaxis, training.image.shape[0]), (axes.yaxis, training.image.shape[1])):
        axis.set_ticks([size * percent / 100 for percent in TICKS], map(str, TICKS), fontsize=5.5)
        axis.set_tick_params(length=2, pad=1.5)
    axes.set_xlabel("x, % of the grid (from the left)", fontsize=6, labelpad=1)
    axes.set_ylabel("y, % of the grid (from behind)", fontsize=6, labelpad=1)
    _outline(axes, training.place, patch, color=ELLIPSE)
    axes.plot(*training.place, "o", color=PLACE, markersize=3)
    _outline(axes, training.rejected, patch, color=REJECTED, line="--")
    share, least = 100 * training.rejected_share, 100 * MINIMUM_BRAIN_FRACTION
    reason = f"rejected: {share:.0f} % brain, less than {least:g} %"
    page.text(1.2, 5.0, reason, ha="center", va="bottom", fontsize=6, color=REJECTED_INK)


def _draw_enlarged(
    page: Axes, slice_axes: Axes, axes: Axes, *, training: TrainingExample, spacing: float
) -> None:
    """The accepted patch, enlarged, with lines from its place in the slice."""
    patch = len(training.patch)
    show_slice(axes, training.patch, **gray_range(training.image))
    for spine in axes.spines.values():
        spine.set(visible=True, color=ELLIPSE, linewidth=1.2)
    half = patch / 2
    for end, side in (((0, 1), half), ((0, 0), -half)):
        begin = (training.place[0] - half - 0.5, training.place[1] + side - 0.5)
        line = ConnectionPatch(
            begin,
            end,
            coordsA="data",
            coordsB="axes fraction",
            axesA=slice_axes,
            axesB=axes,
            color=ELLIPSE,
            linewidth=0.6,
        )
        slice_axes.add_artist(line)
    location = 100 * training.place / training.image.shape
    page.text(2.875, 4.63, "accepted patch X", ha="center", va="bottom", fontsize=6.5)
    page.text(
        2.875,
        3.77,
        f"{patch} × {patch} voxels,\n{patch * spacing:g} × {patch * spacing:g} mm\n"
        f"location Y = ({location[0]:.1f}, {location[1]:.1f}) %",
        ha="center",
        va="top",
        fontsize=6,
    )


def _draw_network(page: Axes, training: TrainingExample) -> None:
    """Encoder and slice code, their sum, the two heads and the loss."""
    _arrow(page, (3.28, 4.2), (3.55, 4.2))
    _box(page, (3.55, 3.98, 0.62, 0.44), "encoder\nResNet-18")
    _arrow(page, (1.98, 3.2), (3.55, 3.2))
    page.text(
        2.06,
        3.23,
        f"slice z {training.z}: A = {training.slice_location:.0f} % of height",
        fontsize=6,
        va="bottom",
    )
    _box(page, (3.55, 3.0, 0.62, 0.4), "slice code\n(sinusoids)")
    _arrow(page, (4.17, 4.2), (4.33, 4.2))
    page.add_patch(Circle((4.42, 4.2), 0.09, facecolor="white", edgecolor=INK, linewidth=0.8))
    page.text(4.42, 4.195, "+", ha="center", va="center", fontsize=8)
    page.plot([4.17, 4.42], [3.2, 3.2], color=INK, linewidth=0.9)
    _arrow(page, (4.42, 3.2), (4.42, 4.11))
    page.text(
        4.36, 3.62, f"{training.latent_size} numbers", rotation=90, ha="right", va="center", fontsize=5.5
    )
    for y, name, symbol in ((4.45, "head of\nthe mean", "μ"), (3.95, "head of the\nvariance", "σ²")):
        _arrow(page, (4.5, 4.2 + 0.1 * np.sign(y - 4.2)), (4.66, y))
        _box(page, (4.66, y - 0.18, 0.62, 0.36), name)
        _arrow(page, (5.28, y), (5.55, y))
        page.text(5.41, y + 0.03, symbol, ha="center", va="bottom", fontsize=7.5)
    page.text(4.97, 3.45, "loss: β-NLL of Y\nunder N(μ, σ²)", ha="center", va="center", fontsize=6, color=INK)


def _draw_prediction(page: Axes, axes: Axes, training: TrainingExample, spacing: float) -> None:
    """The predicted Gaussian as an ellipse, on the slice with the true place."""
    shape = np.asarray(training.image.shape)
    margin = len(training.patch) // 2 + MARGIN
    _show_frame(axes, training.image, training.brain, margin=margin, scale=gray_range(training.image))
    center, deviation = shape * training.mean / 100, shape * training.deviation / 100
    axes.add_patch(Ellipse(center, *(4 * deviation), fill=False, edgecolor=ELLIPSE, linewidth=1.1))
    axes.plot(*center, "+", color=ELLIPSE, markersize=5, markeredgewidth=1)
    axes.plot(*training.place, "o", color=PLACE, markersize=3)
    page.text(6.37, 5.0, "ellipse: μ and 2 σ; dot: Y", ha="center", va="bottom", fontsize=6)
    error = spacing * np.linalg.norm(center - training.place)
    (x, y), (sd_x, sd_y) = training.mean, training.deviation
    page.text(
        6.37,
        3.07,
        f"μ = ({x:.1f}, {y:.1f}) %\nσ = ({sd_x:.1f}, {sd_y:.1f}) %\nfrom μ to Y: {error:.1f} mm",
        ha="center",
        va="top",
        fontsize=6,
    )


def _draw_inference(figure: Figure, page: Axes, inference: InferenceExample, color_map: str) -> None:
    """The scan, the two parts of the score and their sum, with the truth's outline."""
    brain = np.isfinite(inference.maps["score"])
    colors = mpl.colormaps[color_map].with_extremes(bad=OUTSIDE)
    width, bottom, height = 1.42, 0.55, 1.5
    lefts = (0.1, 2.08, 3.83, 5.6)
    axes = _axes(figure, (lefts[0], bottom, width, height))
    _show_frame(axes, inference.image, brain, margin=MARGIN, scale=gray_range(inference.image))
    _title(page, lefts[0] + width / 2, f"scan, slice z {inference.z}")
    for left, (name, (title, unit, limits)) in zip(lefts[1:], MAPS.items(), strict=True):
        axes = _axes(figure, (left, bottom, width, height))
        values = np.ma.masked_invalid(inference.maps[name])
        scale: ColorScale = {"cmap": colors, "vmin": limits[0], "vmax": limits[1]}
        picture = _show_frame(axes, values, brain, margin=MARGIN, scale=scale)
        if name == "score":
            for color, line in (("black", 1.8), ("white", 0.9)):
                axes.contour(inference.lesion.T, levels=[0.5], colors=color, linewidths=line)
        bar = figure.colorbar(
            picture,
            cax=_axes(figure, (left + 0.15, 0.43, width - 0.3, 0.06)),
            orientation="horizontal",
            extend="both",
        )
        bar.set_ticks(np.linspace(*limits, 4).tolist())
        bar.ax.tick_params(labelsize=5.5, length=2, pad=1)
        bar.set_label(unit, fontsize=6, labelpad=1)
        _title(page, left + width / 2, title)
    middle = bottom + height / 2
    _arrow(page, (lefts[0] + width + 0.06, middle), (lefts[1] - 0.06, middle))
    stride = "1 voxel" if inference.stride == 1 else f"{inference.stride} voxels"
    page.text(
        lefts[0] + width + 0.27,
        middle + 0.05,
        f"network,\nstride\n{stride}",
        ha="center",
        va="bottom",
        fontsize=6,
    )
    for right, sign in ((lefts[2], "+"), (lefts[3], "=")):
        page.text(right - 0.17, middle, sign, ha="center", va="center", fontsize=12)


def _title(page: Axes, x: float, text: str) -> None:
    page.text(x, 2.09, text, ha="center", va="bottom", fontsize=7)


def make(inputs: Any, params: Any) -> Made:
    """The figure of a run: the first healthy test scan, and the scan with lesions of median AUPRC, as in Figure 4."""
    model = load_model(inputs.model, method="patch2loc")
    cpu = select_device("cpu", 1)  # two slices: not worth a GPU
    network = DenseNetwork(location_network(model["state"]), model["state"]["patch"], cpu)
    healthy = read_cohort(inputs.healthy)[0]
    training = training_example(
        f"{label_of(params.healthy)}, {healthy.subject}",
        *read_standardized(healthy, model["landmarks"]),
        network,
    )
    subject = median_subject(read_csv(inputs.metrics[0]))
    scan = Scan(subject, Path(params.preprocessed, subject), model["modality"])
    inference = inference_example(
        f"{label_of(params.lesion)}, {subject}",
        *read_standardized(scan, model["landmarks"]),
        read_mask(scan.truth_path(params.truth)),
        network=network,
        stride=params.stride,
    )
    return Made(figure=schematic_figure(training, inference, model["grid"]["spacing"], params.color_map))
