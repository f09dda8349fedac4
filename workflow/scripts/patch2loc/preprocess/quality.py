"""Quality control of a preprocessed scan: numbers, flags and one picture."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import ndimage
from scipy.spatial.transform import Rotation

from patch2loc.data.volumes import Grid
from patch2loc.errors import InputError
from patch2loc.files import replacing
from patch2loc.preprocess.atlas import Atlas
from patch2loc.preprocess.images import coarser, resample_like, voxel_size
from patch2loc.preprocess.lesions import indices_on_grid
from patch2loc.preprocess.register import matrix
from patch2loc.preprocess.skull_strip import BRAIN_ML

SCALE_OFF = 0.3  # the ICBM152 brain, fluid included, is a quarter larger than a small one stripped tightly
ROTATION_DEGREES = 35.0
ATLAS_DICE = 0.85
LIKENESS = 0.05  # a glioma with much edema in T2: 0.06; brains registered in a wrong pose: 0.01 to 0.045
BIAS_RATIO = 3.0
# Beyond these bounds a registration has failed, whatever the scan.
FAILED_DICE, FAILED_LIKENESS, FAILED_SCALE = 0.7, 0.015, (0.5, 2.0)
COLORS = {"atlas": "#00d5ff", "mask": "#ffd400", "lesion": "#ff2f4f"}


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Dice overlap of two masks of the same shape; 1 if both are empty."""
    total = first.sum() + second.sum()
    return float(2 * (first & second).sum() / total) if total else 1.0


def measure(
    brain: np.ndarray,
    affine: np.ndarray,
    volume: np.ndarray,
    mask: np.ndarray,
    grid: Grid,
    atlas: Atlas,
    atlas_on_grid: np.ndarray,
    transform: sitk.AffineTransform,
    mutual_information: float,
    log_field: np.ndarray,
) -> dict:
    """Numbers on one scan: brain volumes, the transform's parts, overlap with the atlas, bias field, flags.

    brain: the mask on the scan's voxels, with `affine`.  volume, mask, log_field: the corrected scan, its mask and
    the field of N4 on the grid.  atlas_on_grid: the atlas image there.
    scale: how much larger than the scan's the brain is on the grid, along x, y, z.
    bias_field_ratio: 99th over 1st percentile of the field in the mask.
    """
    source_ml = brain.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000
    rotation, scale, shear = parts(matrix(transform))
    place = indices_on_grid(np.argwhere(brain), affine, grid, transform)
    outside = ((place < -0.5) | (place > np.array(grid.shape) - 0.5)).any(axis=1).mean()
    share, coarse = coarser(atlas.mask.astype(np.float32), atlas.affine, 4.0)
    carried = resample_like(brain, affine, share.shape, coarse, transform) > 0.5
    overlap = dice(carried, share > 0.5)
    alike = correlation_ratio(volume, mask, atlas_on_grid, grid)
    low, high = np.exp(np.percentile(log_field[mask], (1, 99))) if mask.any() else (1.0, 1.0)
    numbers = {
        "voxel_mm": voxel_size(affine),
        "brain_source_ml": source_ml,
        "brain_grid_ml": mask.sum() * grid.voxel_ml,
        "brain_outside_grid": outside,
        "mutual_information": mutual_information,
        "scale": scale,
        "shear": shear,
        "rotation_degrees": rotation,
        "atlas_dice": overlap,
        "correlation_ratio": alike,
        "bias_field_ratio": high / low,
    }
    checks = {
        f"brain of {source_ml:.0f} ml, {BRAIN_ML[0]:.0f} to {BRAIN_ML[1]:.0f} expected": not BRAIN_ML[0]
        <= source_ml
        <= BRAIN_ML[1],
        f"scale {scale.round(2).tolist()}, within {SCALE_OFF:.0%} of 1 expected": abs(scale - 1).max()
        > SCALE_OFF,
        f"rotation {rotation.round(0).tolist()} degrees, at most {ROTATION_DEGREES:.0f} expected": abs(
            rotation
        ).max()
        > ROTATION_DEGREES,
        f"overlap with the atlas {overlap:.2f} (Dice), at least {ATLAS_DICE} expected": overlap < ATLAS_DICE,
        f"the atlas explains {alike:.2f} of the brightness, at least {LIKENESS} expected": alike < LIKENESS,
        f"bias field varies by a factor of {high / low:.1f}, at most {BIAS_RATIO} expected": high / low
        > BIAS_RATIO,
    }
    flags = [text for text, wrong in checks.items() if wrong]
    return {name: np.round(value, 4).tolist() for name, value in numbers.items()} | {"flags": flags}


def stop_if_registration_failed(numbers: dict, scan: Path) -> None:
    """Raise InputError, naming the scan, when the numbers of `measure` show that it does not lie on the atlas."""
    wrong = []
    if numbers["atlas_dice"] < FAILED_DICE:
        wrong.append(f"overlap of {numbers['atlas_dice']:.2f} (Dice), {FAILED_DICE} expected at least")
    if numbers["correlation_ratio"] < FAILED_LIKENESS:
        wrong.append(
            f"{numbers['correlation_ratio']:.3f} of its brightness explained by the atlas, {FAILED_LIKENESS} "
            "expected at least"
        )
    if min(numbers["scale"]) < FAILED_SCALE[0] or max(numbers["scale"]) > FAILED_SCALE[1]:
        wrong.append(f"scale {np.round(numbers['scale'], 2).tolist()}, {FAILED_SCALE} expected")
    if wrong:
        raise InputError(
            f"{scan}: registration to the atlas failed: {'; '.join(wrong)}; check the orientation and the voxel size "
            "in its header, its modality and its brain mask, or leave it out"
        )


def correlation_ratio(volume: np.ndarray, mask: np.ndarray, atlas_on_grid: np.ndarray, grid: Grid) -> float:
    """Share of the variance of a registered scan in the brain that the atlas explains (Roche et al. 1998).

    At 4 mm, in 16 classes of the atlas's brightness: 1 if each class has one brightness in the scan, near 0 if the
    scan is no brain or lies in another pose. Unlike mutual information it does not see the edge of the brain.
    """
    brain = mask & (atlas_on_grid > 0)
    share, _ = coarser(brain.astype(np.float32), grid.affine, 4.0)
    inside = share > 0.5
    # Means over the brain's part of a block: its edge must not be likeness.
    scan, image = (
        coarser(array * brain, grid.affine, 4.0)[0] / np.maximum(share, 0.5)
        for array in (volume, atlas_on_grid)
    )
    if np.count_nonzero(inside) < 100:
        return 0.0
    values = np.clip(scan[inside], *np.percentile(scan[inside], (1, 99)))
    edges = np.percentile(image[inside], np.linspace(0, 100, 17)[1:-1])
    classes = np.digitize(image[inside], edges)
    means = np.bincount(classes, values) / np.maximum(np.bincount(classes), 1)
    return float(np.mean((means[classes] - values.mean()) ** 2) / max(values.var(), 1e-12))


def parts(transform: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rotation (degrees about x, y, z), scale (x, y, z), shear (xy, xz, yz) of an atlas-to-scan map.

    By polar decomposition of its inverse: the scan is rotated, then stretched along the atlas axes.
    """
    forward = np.linalg.inv(transform)[:3, :3]
    left, stretch, right = np.linalg.svd(forward)
    turned = Rotation.from_matrix(left @ right).as_euler("xyz", degrees=True)
    stretched = left @ np.diag(stretch) @ left.T
    return turned, np.diag(stretched), stretched[[0, 0, 1], [1, 2, 2]]


def picture(
    path: str | Path,
    volume: np.ndarray,
    mask: np.ndarray,
    lesion: np.ndarray,
    atlas_on_grid: np.ndarray,
    title: str,
) -> None:
    """Draw three axial, a coronal and two sagittal slices with outlines of atlas, mask and lesion.

    In radiological convention: on the left is the subject's right (R), in sagittal slices anterior (A).
    volume: (x, y, z), the scan on the grid, not cut by the mask, so that what was left out can be seen.
    atlas_on_grid: the atlas image there; its outlines are its brain and its dark or bright inner borders.
    """
    center = np.array(volume.shape) // 2
    most = [
        lesion.sum(axis=tuple({0, 1, 2} - {axis})).argmax() if lesion.any() else None for axis in range(3)
    ]
    axial = [volume.shape[2] // 5, most[2] if lesion.any() else center[2], volume.shape[2] * 4 // 5]
    beside = most[0] if lesion.any() else volume.shape[0] // 3
    views = [
        (2, axial[0]),
        (2, axial[1]),
        (2, axial[2]),
        (1, most[1] if lesion.any() else center[1]),
        (0, center[0]),
    ]
    views.append((0, beside))
    top = np.percentile(volume[mask], 99.5) if mask.any() else max(float(volume.max()), 1.0)
    smooth = ndimage.gaussian_filter(atlas_on_grid, 1.0)
    brain = atlas_on_grid > 0
    level = np.median(atlas_on_grid[brain]) * 0.6 if brain.any() else 0.5
    figure = Figure(figsize=(9, 6.4), dpi=90, facecolor="black")
    FigureCanvasAgg(figure)
    for number, (axis, index) in enumerate(views):
        axes = figure.add_axes((number % 3 / 3 + 0.005, 0.47 - 0.455 * (number // 3), 0.323, 0.45))
        cut = [np.take(array, index, axis=axis).T for array in (volume, smooth, mask, lesion, brain)]
        axes.imshow(cut[0], cmap="gray", origin="lower", vmin=0, vmax=top, interpolation="bilinear")
        if cut[4].any():
            axes.contour(cut[1], [level], colors=COLORS["atlas"], linewidths=0.5)
        for outline, name in ((cut[2], "mask"), (cut[3], "lesion")):
            if outline.any() and not outline.all():
                axes.contour(outline, [0.5], colors=COLORS[name], linewidths=1.0)
        axes.text(0.02, 0.02, f"{'xyz'[axis]} = {index}", color="white", fontsize=8, transform=axes.transAxes)
        axes.set_xlim(sorted(axes.get_xlim(), reverse=True))
        axes.text(0.02, 0.5, "R" if axis > 0 else "A", color="white", fontsize=8, transform=axes.transAxes)
        axes.set_axis_off()
    figure.text(0.01, 0.965, title, color="white", fontsize=10)
    lines = [Line2D([], [], color=color, label=name) for name, color in COLORS.items()]
    figure.legend(handles=lines, loc="upper right", ncols=3, fontsize=9, labelcolor="white", frameon=False)
    with replacing(path) as partial:
        figure.savefig(partial, format="png", metadata={"Software": None})
