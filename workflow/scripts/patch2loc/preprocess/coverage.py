"""How much of the atlas's brain, laid on a scan, is not there: beyond the field of view, or not in the brain mask."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import SimpleITK as sitk

from patch2loc.data.midsagittal import midsagittal_plane
from patch2loc.data.volumes import Grid
from patch2loc.preprocess.atlas import Atlas
from patch2loc.preprocess.images import coarser, resample_like, voxel_size
from patch2loc.preprocess.masks import Box, box_around, within
from patch2loc.preprocess.register import matrix

COVERAGE_MM = 4.0
# A tight mask or a small brain lacks the rim of the atlas's brain; what is deeper is missing.
DEEP_MM = 8.0
# Healthy brains: see docs/explanation/plausibility.md.
OUTSIDE_SCAN = 0.005
DEEP_OUTSIDE_MASK = 0.02
SMALLEST_RATIO = 0.92
# What a region must have lost to be named; that which lost most always is.
NAMED = 0.25
OUTER = 25  # percent of the brain: its top, front and so on
# The cerebellum, of the brain's length from the back and of its height from below.
CEREBELLUM = (0.40, 0.35)


class Coverage(TypedDict):
    """How much of the atlas's brain, by region, is not in the scan, and how the two fit; rounded to 4 digits."""

    outside_scan: dict[str, float]  # beyond the field of view
    deep_outside_mask: dict[str, float]  # of what is deeper than 8 mm, not in the brain mask
    atlas_volume_ratio: float  # of the brain, brought to the atlas, to the atlas's
    atlas_dice: float  # overlap of the brain with the atlas's


def coverage(
    brain: np.ndarray, affine: np.ndarray, atlas: Atlas, transform: sitk.AffineTransform
) -> tuple[Coverage, list[str]]:
    """Measure how much of the atlas's brain a scan and its mask hold: numbers for qc.json, and flags.

    Args:
        brain: Brain mask on the scan's voxels, (x, y, z) bool.
        affine: Affine of the scan, 4 x 4, voxel indices to mm.
        atlas: The atlas that the scan was registered to.
        transform: Maps atlas to scan points.
    """
    share, coarse = coarser(atlas.mask, atlas.affine, COVERAGE_MM)
    whole = share > 0.5
    image, _ = coarser(atlas.image, atlas.affine, COVERAGE_MM)
    spacing = voxel_size(coarse)
    places = regions(whole, midsagittal_plane(image, float(spacing[0])))
    carried = resample_like(brain, affine, transform, shape=whole.shape, target_affine=coarse) > 0.5
    deep = _deep(whole, spacing)
    everywhere: Box = tuple(slice(size) for size in whole.shape)
    outside = beyond(np.linalg.inv(affine) @ matrix(transform) @ coarse, everywhere, brain.shape)
    found: Coverage = {
        "outside_scan": _shares(outside, places, whole),
        "deep_outside_mask": _shares(~carried, places, deep),
        "atlas_volume_ratio": round(np.count_nonzero(carried) / np.count_nonzero(whole), 4),
        "atlas_dice": round(dice(carried, whole), 4),
    }
    return found, coverage_flags(found)


def missing_brain(
    mask: np.ndarray,
    grid: Grid,
    atlas: Atlas,
    transform: sitk.AffineTransform,
    scan_shape: Sequence[int],
    scan_affine: np.ndarray,
) -> np.ndarray:
    """What `coverage` finds missing, on the grid of a preprocessed scan, (x, y, z) bool.

    Args:
        mask: Brain mask on the grid, (x, y, z) bool.
        grid: The grid.
        atlas: The atlas of the grid.
        transform: Maps atlas to scan points.
        scan_shape: Shape of the scan.
        scan_affine: Affine of the scan, 4 x 4, voxel indices to mm.
    """
    identity = sitk.AffineTransform(3)
    whole = (
        resample_like(atlas.mask, atlas.affine, identity, shape=mask.shape, target_affine=grid.affine) > 0.5
    )
    deep = _deep(whole, np.full(3, grid.spacing))
    everywhere: Box = tuple(slice(size) for size in mask.shape)
    to_scan = np.linalg.inv(scan_affine) @ matrix(transform) @ grid.affine
    missing: np.ndarray = (whole & beyond(to_scan, everywhere, scan_shape)) | (deep & ~mask)
    return missing


def is_cut(found: Mapping[str, Any]) -> bool:
    """True if so much of the brain is missing that it is flagged, by the numbers in qc.json."""
    outside, deep = found["outside_scan"], found["deep_outside_mask"]
    return bool(outside["brain"] > OUTSIDE_SCAN or deep["brain"] > DEEP_OUTSIDE_MASK)


def coverage_flags(found: Coverage) -> list[str]:
    """The flag that says what is missing, by the numbers of `coverage`, and which regions lost most; or none."""
    outside, deep = found["outside_scan"], found["deep_outside_mask"]
    if outside["brain"] > OUTSIDE_SCAN:
        return [
            f"{_named(outside)} lies outside the scan: a lesion there is not found, and the cut may be taken for one"
        ]
    if deep["brain"] > DEEP_OUTSIDE_MASK:
        return [
            f"{_named(deep)}, looked at {DEEP_MM:.0f} mm below the surface, is empty or not in the brain mask: a "
            "lesion there is not found, and the border may be taken for one"
        ]
    if found["atlas_volume_ratio"] < SMALLEST_RATIO:
        return [
            f"brain mask with {found['atlas_volume_ratio']:.1%} of the volume of the atlas's brain, laid on it, at "
            f"least {SMALLEST_RATIO:.0%} expected: the mask is too tight"
        ]
    return []


def regions(whole: np.ndarray, plane: float) -> dict[str, np.ndarray]:
    """Parts of an atlas's brain, (x, y, z) bool each, by its extents alone; they overlap.

    Args:
        whole: The brain, (x, y, z) bool, axes to the right, the front and the top.
        plane: Index along x of its midsagittal plane.
    """
    x, y, z = np.ogrid[tuple(slice(size) for size in whole.shape)]
    box = box_around(whole)
    rows, slices = box[1], box[2]
    brain = np.argwhere(whole)
    back, front = np.percentile(brain[:, 1], (OUTER, 100 - OUTER))
    bottom, top = np.percentile(brain[:, 2], (OUTER, 100 - OUTER))
    length, height = rows.stop - rows.start, slices.stop - slices.start
    return {
        "brain": whole,
        "left half": whole & (x < plane),
        "right half": whole & (x > plane),
        "front": whole & (y > front),
        "back": whole & (y < back),
        "top": whole & (z > top),
        "bottom": whole & (z < bottom),
        "cerebellum": whole
        & (y < rows.start + CEREBELLUM[0] * length)
        & (z < slices.start + CEREBELLUM[1] * height),
    }


def beyond(to_target: np.ndarray, box: Box, target_shape: Sequence[int]) -> np.ndarray:
    """The voxels of a box of an array whose centers lie outside another array, bool, of the box's shape.

    Args:
        to_target: Map from voxel indices of the array to those of the other one, 4 x 4.
        box: Slices of the array along x, y and z.
        target_shape: Shape of the other array.
    """
    x, y, z = np.ogrid[box]
    outside = np.zeros((x.size, y.size, z.size), bool)
    for row, size in zip(to_target[:3], target_shape, strict=True):
        # A sum of two terms, each with a range of its own: most rows of a map lead nowhere outside.
        flat, along = row[0] * x + row[1] * y, row[2] * z + row[3]
        if flat.min() + along.min() < -0.5 or flat.max() + along.max() > size - 0.5:
            places = flat + along
            outside |= (places < -0.5) | (places > size - 0.5)
    return outside


def _deep(whole: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """What of a brain, (x, y, z) bool, is deeper than DEEP_MM below its surface."""
    margin = int(np.ceil(DEEP_MM / spacing.min()))
    inner = (slice(margin, -margin),) * 3
    deep: np.ndarray = ~within(~np.pad(whole, margin), DEEP_MM, spacing)[inner]
    return deep


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Dice overlap of two masks of the same shape; 1 if both are empty."""
    total = first.sum() + second.sum()
    return float(2 * (first & second).sum() / total) if total else 1.0


def _shares(missing: np.ndarray, places: Mapping[str, np.ndarray], among: np.ndarray) -> dict[str, float]:
    """Share of each place, as far as it is among some voxels, that is missing."""
    shares = {}
    for name, place in places.items():
        voxels = int(np.count_nonzero(place & among))
        shares[name] = round(int(np.count_nonzero(missing & place & among)) / max(voxels, 1), 4)
    return shares


def _named(shares: Mapping[str, float]) -> str:
    """A share of the brain in words, with the regions that lost most."""
    parts = sorted((name for name in shares if name != "brain"), key=lambda name: -shares[name])
    named = [name for name in parts if shares[name] > NAMED] or parts[:1]
    listed = ", ".join(f"{shares[name]:.0%} of its {name}" for name in named[:2])
    return f"{shares['brain']:.1%} of the brain ({listed})"
