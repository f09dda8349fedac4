"""Quality control of a preprocessed scan: numbers and flags."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NotRequired

import numpy as np
import SimpleITK as sitk

from patch2loc.data.volumes import Grid, mask_ml
from patch2loc.errors import InputError
from patch2loc.preprocess.atlas import Atlas
from patch2loc.preprocess.coverage import Coverage, beyond, coverage
from patch2loc.preprocess.images import coarser, voxel_size
from patch2loc.preprocess.lesions import indices_to_grid
from patch2loc.preprocess.masks import box_around
from patch2loc.preprocess.register import Registration, matrix, register
from patch2loc.preprocess.skull_strip import BRAIN_ML

SCALE_OFF = 0.3  # the ICBM152 brain, fluid included, is a quarter larger than a small one stripped tightly
ROTATION_DEGREES = 35.0
ATLAS_DICE = 0.91
LIKENESS = 0.05  # a glioma with much edema in T2: 0.06; brains registered in a wrong pose: 0.01 to 0.045
BIAS_RATIO = 3.0
OFFSET_MM = 6.0  # of a scan that is left where it is: brains registered by others lay 0.7 to 2.4 mm off
# What to do about a scan that does not lie where its dataset's `registration` says.
REMEDIES: dict[Registration, str] = {
    "none": "`registration: none` believes the place in its header; where arrays were cut or headers lost after "
    "registration, `registration: translation` finds it",
    "translation": "`registration: translation` is for scans that were registered before; affine registers others",
}
# Beyond these bounds a registration has failed, whatever the scan.
FAILED_DICE, FAILED_LIKENESS, FAILED_SCALE = 0.7, 0.015, (0.5, 2.0)
NAMED_SHARE = 0.1  # of the brain that is not there: named beside a registration that failed


class Measurements(Coverage):
    """Numbers of quality control, rounded to 4 digits, and what is doubtful about them."""

    voxel_mm: list[float]  # edges of a voxel of the scan
    brain_source_ml: float  # brain in the scan
    brain_grid_ml: float  # brain on the grid, in atlas space
    brain_outside_grid: float  # share of the brain
    mutual_information: float  # nats
    scale: list[float]  # size of the brain on the grid over that in the scan, along x, y, z
    shear: list[float]  # xy, xz, yz
    rotation_degrees: list[float]  # about x, y, z
    correlation_ratio: float  # see `correlation_ratio`
    bias_field_ratio: float  # 99th over 1st percentile of the bias field in the mask
    offset_mm: NotRequired[float]  # of a scan that is not registered: see `offset_from_atlas`
    flags: list[str]
    brain_dice_with_truth: NotRequired[float]  # overlap of the brain mask found with the given one


def measure(
    brain: np.ndarray,
    affine: np.ndarray,
    *,
    volume: np.ndarray,
    mask: np.ndarray,
    log_field: np.ndarray,
    grid: Grid,
    atlas: Atlas,
    atlas_on_grid: np.ndarray,
    transform: sitk.AffineTransform,
    mutual_information: float,
) -> Measurements:
    """Measure the quality of a preprocessed scan, and flag what is doubtful.

    Args:
        brain: Brain mask on the scan's voxels, (x, y, z) bool.
        affine: Of the scan, 4 x 4, voxel indices to mm.
        volume: The corrected scan on the grid, (x, y, z) float32.
        mask: Its brain mask on the grid, (x, y, z) bool.
        log_field: Logarithm of its bias field on the grid, (x, y, z) float32.
        grid: The common grid.
        atlas: The atlas that the scan was registered to.
        atlas_on_grid: Image of the atlas on the grid, (x, y, z) float32.
        transform: Maps atlas to scan points.
        mutual_information: Of scan and atlas, nats.
    """
    source_ml = mask_ml(brain, affine)
    rotation, scale, shear = rotation_scale_shear(matrix(transform))
    outside = share_outside(brain, indices_to_grid(affine, grid, transform), grid.shape)
    held, missing = coverage(brain, affine, atlas, transform)
    overlap = held["atlas_dice"]
    likeness = correlation_ratio(volume, mask, atlas_on_grid, grid)
    low, high = np.exp(np.percentile(log_field[mask], (1, 99))) if mask.any() else (1.0, 1.0)
    bias_ratio = high / low
    checks = (
        (
            not BRAIN_ML[0] <= source_ml <= BRAIN_ML[1],
            f"brain of {source_ml:.0f} ml, {BRAIN_ML[0]:.0f} to {BRAIN_ML[1]:.0f} expected",
        ),
        (
            abs(scale - 1).max() > SCALE_OFF,
            f"scale {scale.round(2).tolist()}, within {SCALE_OFF:.0%} of 1 expected",
        ),
        (
            abs(rotation).max() > ROTATION_DEGREES,
            f"rotation {rotation.round(0).tolist()} degrees, at most {ROTATION_DEGREES:.0f} expected: where it was "
            "laid on the atlas badly, lesions may be missed, and false candidates are likely",
        ),
        (
            overlap < ATLAS_DICE,
            f"overlap with the atlas {overlap:.2f} (Dice), at least {ATLAS_DICE} expected: part of the brain is "
            "missing, or it was laid on the atlas badly",
        ),
        (
            likeness < LIKENESS,
            f"the atlas explains {likeness:.2f} of the brightness, at least {LIKENESS} expected: it was laid "
            "on the atlas badly, or looks unlike a healthy one",
        ),
        (
            bias_ratio > BIAS_RATIO,
            f"bias field varies by a factor of {bias_ratio:.1f}, at most {BIAS_RATIO} expected",
        ),
    )
    return {
        "voxel_mm": _rounded(voxel_size(affine)),
        "brain_source_ml": _rounded(source_ml),
        "brain_grid_ml": _rounded(mask.sum() * grid.voxel_ml),
        "brain_outside_grid": _rounded(outside),
        "mutual_information": _rounded(mutual_information),
        "scale": _rounded(scale),
        "shear": _rounded(shear),
        "rotation_degrees": _rounded(rotation),
        "outside_scan": held["outside_scan"],
        "deep_outside_mask": held["deep_outside_mask"],
        "atlas_volume_ratio": held["atlas_volume_ratio"],
        "atlas_dice": overlap,
        "correlation_ratio": _rounded(likeness),
        "bias_field_ratio": _rounded(bias_ratio),
        "flags": [*missing, *(flag for doubtful, flag in checks if doubtful)],
    }


def share_outside(brain: np.ndarray, to_grid: np.ndarray, shape: Sequence[int]) -> float:
    """Share of a brain mask, (x, y, z) bool, whose voxels' centers a map to grid indices, 4 x 4, takes off the grid."""
    box = box_around(brain)
    part = brain[box]
    return float(np.count_nonzero(part & beyond(to_grid, box, shape)) / np.count_nonzero(part))


def _rounded(value: np.ndarray | float) -> Any:
    """A number, or a list of them, as JSON holds them."""
    return np.round(value, 4).tolist()


def offset_from_atlas(volume: np.ndarray, brain: np.ndarray, affine: np.ndarray, atlas: Atlas) -> float:
    """Distance, mm, that a scan would have to be moved by, without being turned, to fit the atlas best.

    Arguments as for `register.register`.
    """
    shift, _ = register(volume, brain, affine, atlas, kind="translation")
    return float(np.linalg.norm(shift.GetTranslation()))


def flag_offset(measurements: Measurements, offset_mm: float) -> None:
    """Add the result of `offset_from_atlas` to the measurements of a scan, and a flag if it lies off the atlas."""
    measurements["offset_mm"] = _rounded(offset_mm)
    if offset_mm > OFFSET_MM:
        measurements["flags"].append(
            f"lies {offset_mm:.0f} mm off the atlas, at most {OFFSET_MM:.0f} expected with `registration: none`"
        )


def stop_if_turned(
    volume: np.ndarray, mask: np.ndarray, atlas_on_grid: np.ndarray, grid: Grid, *, scan_path: Path
) -> None:
    """Raise InputError, naming the scan, if it is liker to the atlas from back to front or upside down.

    As scans are whose arrays were saved without their orientation. Left and right are too alike to tell them apart.
    Arguments as for `correlation_ratio`.
    """
    upright, *turned = (
        correlation_ratio(np.flip(volume, axes), np.flip(mask, axes), atlas_on_grid, grid)
        for axes in ((), (1,), (2,), (1, 2))
    )
    if max(turned) > upright:
        raise InputError(
            f"{scan_path}: a scan found that is liker to the atlas from back to front or upside down (the atlas "
            f"explains {max(turned):.2f} of its brightness, {upright:.2f} as its header has it), one in the atlas's "
            "space expected; correct the orientation in its header, or take the scan as it was before, with "
            "`registration: affine`"
        )


def stop_if_registration_failed(
    measurements: Measurements, scan_path: Path, registration: Registration = "affine"
) -> None:
    """Raise InputError, naming the scan, if it does not lie on the atlas by its measurements."""
    failures = []
    if measurements["atlas_dice"] < FAILED_DICE:
        failures.append(
            f"overlap of {measurements['atlas_dice']:.2f} (Dice), {FAILED_DICE} expected at least"
        )
    if measurements["correlation_ratio"] < FAILED_LIKENESS:
        failures.append(
            f"{measurements['correlation_ratio']:.3f} of its brightness explained by the atlas, {FAILED_LIKENESS} "
            "expected at least"
        )
    if min(measurements["scale"]) < FAILED_SCALE[0] or max(measurements["scale"]) > FAILED_SCALE[1]:
        failures.append(f"scale {np.round(measurements['scale'], 2).tolist()}, {FAILED_SCALE} expected")
    if failures:
        outside, deep = measurements["outside_scan"]["brain"], measurements["deep_outside_mask"]["brain"]
        if outside > NAMED_SHARE:
            failures.append(f"{outside:.0%} of a brain outside the scan")
        elif deep > NAMED_SHARE:
            failures.append(f"{deep:.0%} of a brain empty or not in its brain mask")
        raise InputError(
            f"{scan_path}: registration to the atlas failed: {'; '.join(failures)}; check that the whole brain is in "
            "the scan and in its brain mask, the orientation and the voxel size in its header, and its modality, or "
            "leave it out" + (f" ({REMEDIES[registration]})" if registration in REMEDIES else "")
        )


def correlation_ratio(volume: np.ndarray, mask: np.ndarray, atlas_on_grid: np.ndarray, grid: Grid) -> float:
    """Share of the variance of a registered scan in the brain that the atlas explains (Roche et al. 1998).

    At 4 mm, in 16 classes of the atlas's brightness. Unlike mutual information it does not see the edge of the brain.

    Args:
        volume: The scan on the grid, (x, y, z) float32.
        mask: Its brain mask, (x, y, z) bool.
        atlas_on_grid: Image of the atlas, (x, y, z) float32, 0 outside the brain.
        grid: The common grid.

    Returns:
        0 to 1: 1 if each class has one brightness in the scan, near 0 if the scan is no brain or lies in another pose.
    """
    brain = mask & (atlas_on_grid > 0)
    share, _ = coarser(brain, grid.affine, 4.0)
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


def rotation_scale_shear(transform: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decompose a map from atlas to scan points by polar decomposition of its inverse.

    The scan is rotated, then stretched along the atlas axes.

    Args:
        transform: 4 x 4, RAS mm.

    Returns:
        Rotation (degrees about x, y, z), scale (along x, y, z) and shear (xy, xz, yz).
    """
    forward = np.linalg.inv(transform)[:3, :3]
    left, stretch, right = np.linalg.svd(forward)
    rotation = left @ right
    stretched = left @ np.diag(stretch) @ left.T
    return angles(rotation), np.diag(stretched), stretched[[0, 0, 1], [1, 2, 2]]


def angles(rotation: np.ndarray) -> np.ndarray:
    """Angles, degrees, of turns about x, then y, then z, that make a rotation, 3 x 3 (also with a reflection in it).

    Within 90 degrees about y; where it is 90 there are many answers, and the one with no turn about z is given.
    """
    turn = rotation * np.sign(np.linalg.det(rotation))
    about_y = np.arctan2(-turn[2, 0], np.hypot(turn[0, 0], turn[1, 0]))
    if np.hypot(turn[0, 0], turn[1, 0]) < 1e-7:
        about_x, about_z = np.arctan2(-turn[1, 2], turn[1, 1]), 0.0
    else:
        about_x, about_z = np.arctan2(turn[2, 1], turn[2, 2]), np.arctan2(turn[1, 0], turn[0, 0])
    return np.rad2deg([about_x, about_y, about_z])
