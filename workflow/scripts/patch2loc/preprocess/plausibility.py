"""Signs that a file is no scan, or a damaged one: label maps, coarse steps, saturation, ghosts, stripes, blur."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TypedDict

import numpy as np
from scipy import ndimage

from patch2loc.data.modalities import MODALITIES, Modality
from patch2loc.errors import InputError
from patch2loc.preprocess.images import coarser, voxel_size
from patch2loc.preprocess.masks import box_around, closed_by_a_voxel, eroded, within

# Real scans: see docs/explanation/plausibility.md, which has what was measured and what each bound finds.
FEWEST_LEVELS = (
    8  # gray levels of the brighter half of a volume, and fewer: a label map, or next to nothing of a scan
)
FEW_LEVELS = 32  # gray levels of the brain, and fewer: coarse steps
LEVELS_SHARE = 0.9  # of the voxels, which the gray levels are counted for
SAMPLED_VOXELS = 200_000
EQUAL_NEIGHBORS = 0.12
# Area of the brain in a slice over the largest: less is an end of the mask, which may lie in an empty background.
WHOLE_SLICE = 0.2
SATURATED = 0.01
BRIGHTEST_VOXEL = 10.0
GHOST = 0.06
STRIPES = 8.0
FINE_DETAIL = (0.05, 0.6)
EVEN_DETAIL = 0.5  # least detail along an axis over that along the axis with most
THICK_MM = 2.5  # edge of a voxel by the header: of thicker slices, less detail is expected
BACKGROUND = 0.15
MASK_PORES = 0.03
SHADING = 2.0
RIM_MM = 2.0
BRIGHT_RIM = 0.7  # of a T1 scan's brain mask

COARSE_MM = 4.0  # of the copy that ghosts are looked for in
FEWEST_COARSE_VOXELS = 200  # of the background that a ghost falls on, and that it does not
STRIPE_FREQUENCY = 0.08  # cycles per voxel: stripes of a longer period are not told from anatomy
NEIGHBORHOOD = 15  # frequencies along each axis that one is compared with
FEWEST_LINES = 32  # of a slice that is looked at for stripes
FITTED_VOXELS = 100_000
DETAIL_MM = 2.0  # standard deviation of the smoothing that takes fine detail away; a voxel on coarser grids


class ImageCheck(TypedDict):
    """Signs of damage, rounded to 4 digits."""

    gray_levels: int  # fewest values that 90 % of the brain's voxels have
    equal_neighbors: float  # share of the brain's voxels that are equal to all six neighbors
    empty_slices: int  # see `empty_and_repeated_slices`
    repeated_slices: int
    background: float  # see `background_level`
    saturated: float  # share of the brain's voxels at its highest brightness
    brightest_voxel: float  # over the 99.9th percentile of the voxels above 0
    ghost: float  # see `ghost_strength`
    stripes: float  # see `stripe_strength`
    fine_detail: float  # see `fine_detail`
    fine_detail_axes: list[float]  # the same along x, y, z of the grid alone
    mask_pores: float  # see `mask_pores`
    shading: float  # see `shading`
    rim: float  # see `rim_brightness`


def gray_levels(values: np.ndarray) -> int:
    """The smallest number of distinct values that 90 % of `values` (any shape) have; counted in a sample of them."""
    flat = values.ravel()
    counts = np.unique(flat[:: max(1, flat.size // SAMPLED_VOXELS)], return_counts=True)[1]
    return int(np.searchsorted(np.cumsum(np.sort(counts)[::-1]), LEVELS_SHARE * counts.sum())) + 1


def stop_if_label_map(array: np.ndarray, scan_path: Path) -> None:
    """Raise InputError if the brighter half of a raw volume has no more gray levels than a label map.

    Args:
        array: The scan as stored, (x, y, z) float32.
        scan_path: Its file, for the message.
    """
    positive = array[array > 0]
    levels = gray_levels(positive[positive >= np.median(positive)]) if positive.size else 1
    if levels <= FEWEST_LEVELS:
        raise InputError(
            f"{scan_path}: {levels} distinct value{'s' * (levels > 1)} in {LEVELS_SHARE:.0%} of the brighter voxels "
            f"found, more than {FEWEST_LEVELS} expected of a scan; this is a mask or a label map, or a scan that was "
            "saved in too few steps: give the scan itself"
        )


def check_image(
    array: np.ndarray,
    affine: np.ndarray,
    brain: np.ndarray,
    *,
    volume: np.ndarray,
    mask: np.ndarray,
    spacing: float,
    modality: Modality,
) -> tuple[ImageCheck, list[str]]:
    """Measure signs of damage: numbers for qc.json, and flags.

    Args:
        array: The scan as stored, (x, y, z) float32.
        affine: Of the scan, 4 x 4, voxel indices to mm.
        brain: Brain mask on the scan's voxels, (x, y, z) bool, not empty.
        volume: The scan on the grid, (x, y, z) float32.
        mask: Its brain mask on the grid, (x, y, z) bool.
        spacing: Edge of a voxel of the grid, mm.
        modality: Contrast of the scan.
    """
    values = array[brain]
    top = values.max() - 1e-3 * (values.max() - values.min())
    positive = array[array > 0]
    sample = positive[:: max(1, positive.size // SAMPLED_VOXELS)]
    empty, repeated = empty_and_repeated_slices(array, brain)
    along = [round(fine_detail(volume, mask, spacing, axes=(axis,)), 4) for axis in range(3)]
    check: ImageCheck = {
        "gray_levels": gray_levels(values),
        "equal_neighbors": round(equal_neighbors(array, brain), 4),
        "empty_slices": empty,
        "repeated_slices": repeated,
        "background": round(background_level(array, brain), 4),
        "saturated": round(float(np.mean(values >= top)), 4),
        "brightest_voxel": round(float(array.max() / np.percentile(sample, 99.9)), 4),
        "ghost": round(ghost_strength(array, affine), 4),
        "stripes": round(stripe_strength(array, brain), 4),
        "fine_detail": round(fine_detail(volume, mask, spacing), 4),
        "fine_detail_axes": along,
        "mask_pores": round(mask_pores(brain), 4),
        "shading": round(shading(volume, mask), 4),
        "rim": round(rim_brightness(array, brain, affine), 4),
    }
    checks = (
        (
            check["gray_levels"] <= FEW_LEVELS,
            f"{check['gray_levels']} gray levels in {LEVELS_SHARE:.0%} of the brain, more than {FEW_LEVELS} expected",
        ),
        (
            check["equal_neighbors"] > EQUAL_NEIGHBORS,
            f"{check['equal_neighbors']:.0%} of the brain's voxels equal to all neighbors, at most "
            f"{EQUAL_NEIGHBORS:.0%} expected: part of the scan is constant",
        ),
        (
            empty > 0,
            f"{empty} slice{'s' * (empty > 1)} through the brain with one single value, none expected: part of the "
            "scan is missing",
        ),
        (
            repeated > 0,
            f"{repeated} slice{'s' * (repeated > 1)} through the brain equal to another one, none expected: slices "
            "were copied, or are thinner than they were measured",
        ),
        (
            abs(check["background"]) > BACKGROUND,
            f"background of {check['background']:.2f} of the brain's brightness, within {BACKGROUND} of 0 expected: "
            "something was added to the brightness, or taken from it",
        ),
        (
            check["saturated"] > SATURATED,
            f"{check['saturated']:.1%} of the brain at the highest brightness, at most {SATURATED:.0%} expected: the "
            "scan is saturated",
        ),
        (
            check["brightest_voxel"] > BRIGHTEST_VOXEL,
            f"brightest voxel {check['brightest_voxel']:.3g} times the 99.9th percentile, at most "
            f"{BRIGHTEST_VOXEL:.0f} expected",
        ),
        (
            check["ghost"] > GHOST,
            f"ghost of {check['ghost']:.0%} of the head's brightness, shifted by half the field of view, at most "
            f"{GHOST:.0%} expected",
        ),
        (
            check["stripes"] > STRIPES,
            f"stripes: a frequency {check['stripes']:.1f} times as strong as those around it, at most {STRIPES:.0f} "
            "expected",
        ),
        (
            check["fine_detail"] < FINE_DETAIL[0],
            f"fine detail of {check['fine_detail']:.3f} of the variance, at least {FINE_DETAIL[0]} expected: the scan "
            "is blurred, or coarser than its header says",
        ),
        (
            check["fine_detail"] > FINE_DETAIL[1],
            f"fine detail of {check['fine_detail']:.2f} of the variance, at most {FINE_DETAIL[1]} expected: most of "
            "the brain's contrast is noise",
        ),
        (
            # A slice that is empty or stands twice is fine detail along its axis.
            not (empty or repeated)
            and min(along) < EVEN_DETAIL * max(along)
            and voxel_size(affine).max() < THICK_MM,
            f"fine detail along {'xyz'[int(np.argmin(along))]} {min(along) / max(along):.2f} of that along "
            f"{'xyz'[int(np.argmax(along))]}, at least {EVEN_DETAIL} expected: thick slices were interpolated to thin "
            "ones",
        ),
        (
            check["mask_pores"] > MASK_PORES,
            f"pores of a voxel or two in {check['mask_pores']:.0%} of the brain mask, at most {MASK_PORES:.0%} "
            "expected: voxels are missing",
        ),
        (
            check["shading"] > SHADING,
            f"brightness changes by a factor of {check['shading']:.1f} from one side of the brain to the other, at "
            f"most {SHADING:.0f} expected: shading is left",
        ),
        (
            # The rim of coarser voxels is a part of gray matter, too.
            MODALITIES[modality].has_rim_check
            and check["rim"] > BRIGHT_RIM
            and voxel_size(affine).min() < THICK_MM,
            f"outer {RIM_MM:.0f} mm of the brain mask {check['rim']:.2f} times as bright as the brain, at most "
            f"{BRIGHT_RIM} expected, as fluid is dark: the mask is too tight, and the brain's rim was not looked at",
        ),
    )
    return check, [flag for doubtful, flag in checks if doubtful]


def equal_neighbors(array: np.ndarray, brain: np.ndarray) -> float:
    """Share of the voxels inside a brain mask, both (x, y, z), that are exactly equal to all six neighbors."""
    box = box_around(brain)
    part = array[box]
    inner = eroded(brain[box], 1)
    equal = inner.copy()
    for axis in range(3):
        first, second = np.moveaxis(part, axis, 0)[:-1], np.moveaxis(part, axis, 0)[1:]
        same, found = first == second, np.moveaxis(equal, axis, 0)
        found[1:-1] &= same[1:] & same[:-1]
    return float(equal.sum() / max(inner.sum(), 1))


def empty_and_repeated_slices(array: np.ndarray, brain: np.ndarray) -> tuple[int, int]:
    """Slices through a brain mask, both (x, y, z), with one single value, and those equal to an earlier one.

    Each of the axis with most. Slices are compared at any distance, within the box around the brain. A slice has one
    single value if all of it has, or, where it is no end of the brain, all of the brain in it.
    """
    box = box_around(brain)
    empty = repeated = 0
    for axis in range(3):
        slices, masks = np.moveaxis(array[box], axis, 0), np.moveaxis(brain[box], axis, 0)
        areas = np.count_nonzero(masks, axis=(1, 2))
        whole = areas >= WHOLE_SLICE * areas.max()
        single = [
            bool(np.ptp(each) == 0 or (is_whole and np.ptp(each[mask]) == 0))
            for each, mask, is_whole in zip(slices, masks, whole, strict=True)
        ]
        hashes = [
            sha256(each.tobytes()).digest() for each, one in zip(slices, single, strict=True) if not one
        ]
        empty = max(empty, sum(single))
        repeated = max(repeated, len(hashes) - len(set(hashes)))
    return empty, repeated


def background_level(array: np.ndarray, brain: np.ndarray) -> float:
    """5th percentile of a scan outside of its brain mask, both (x, y, z), over the median in it; 0 if all is brain."""
    around = array[~brain]
    if not around.size:
        return 0.0
    dark = np.percentile(around[:: max(1, around.size // SAMPLED_VOXELS)], 5)
    return float(dark / max(np.median(array[brain]), np.finfo(np.float32).tiny))


def ghost_strength(array: np.ndarray, affine: np.ndarray) -> float:
    """Strength of a Nyquist ghost: a copy of the head, shifted by half the field of view along an axis.

    At 4 mm, the background where the shifted head lies is compared with the other background. 0 where there is too
    little background of either kind, as in a close field of view.

    Args:
        array: The scan as stored, (x, y, z) float32.
        affine: 4 x 4, voxel indices to mm.

    Returns:
        Difference of the medians over the median of the head, the largest of the three axes, not below 0.
    """
    image, _ = coarser(array, affine, COARSE_MM)
    bright = image[image > image.mean()]
    if not bright.size:
        return 0.0
    head = ndimage.binary_closing(image > bright.mean() / 2, iterations=2)
    background = ~ndimage.binary_dilation(head, iterations=3)
    strength = 0.0
    for axis in range(3):
        shifted = np.roll(head, image.shape[axis] // 2, axis)
        hit, missed = image[background & shifted], image[background & ~shifted]
        if min(hit.size, missed.size) >= FEWEST_COARSE_VOXELS:
            strength = max(strength, float((np.median(hit) - np.median(missed)) / np.median(image[head])))
    return strength


def stripe_strength(array: np.ndarray, brain: np.ndarray) -> float:
    """How far one spatial frequency stands out: stripes, as a spike in k-space makes them.

    Args:
        array: The scan as stored, (x, y, z) float32.
        brain: Its brain mask, (x, y, z) bool, not empty.

    Returns:
        In the three slices through the middle of the brain, largest ratio of a frequency's amplitude to the mean of
        the 15 x 15 around it; 0 if no slice has 32 lines along both axes.
    """
    middle = [int(np.median(np.flatnonzero(brain.any(axis=tuple({0, 1, 2} - {axis}))))) for axis in range(3)]
    strength = 0.0
    for axis in range(3):
        image = np.take(array, middle[axis], axis)
        if min(image.shape) < FEWEST_LINES:
            continue
        window = np.hanning(image.shape[0])[:, None] * np.hanning(image.shape[1])
        amplitude = np.abs(np.fft.fft2(image * window))
        around = ndimage.uniform_filter(amplitude, NEIGHBORHOOD, mode="wrap")
        frequency = np.hypot(np.fft.fftfreq(image.shape[0])[:, None], np.fft.fftfreq(image.shape[1]))
        compared = (frequency > STRIPE_FREQUENCY) & (around > 0)
        strength = max(strength, float((amplitude[compared] / around[compared]).max(initial=0)))
    return strength


def fine_detail(
    volume: np.ndarray, mask: np.ndarray, spacing: float, *, axes: Sequence[int] = (0, 1, 2)
) -> float:
    """Share of the brain's variance that smoothing inside the brain takes away.

    The smoothing has a standard deviation of 2 mm, or of a voxel where that is more.

    Args:
        volume: The scan on the grid, (x, y, z) float32.
        mask: Its brain mask, (x, y, z) bool.
        spacing: Edge of a voxel, mm.
        axes: Axes that are smoothed.
    """
    inner = eroded(mask, max(1, round(2 * DETAIL_MM / spacing)))
    if not inner.any():
        return 0.0
    sigma = max(DETAIL_MM / spacing, 1.0)
    # What the smoothing reaches from the brain; at the end of the array, the same end.
    reach = int(3 * sigma + 0.5)
    box = tuple(slice(max(edge.start - reach, 0), edge.stop + reach) for edge in box_around(mask))
    volume, mask, inner = volume[box], mask[box], inner[box]
    weight = ndimage.gaussian_filter(mask.astype(np.float32), sigma, truncate=3, axes=axes)
    smooth = ndimage.gaussian_filter(
        np.where(mask, volume, 0).astype(np.float32), sigma, truncate=3, axes=axes
    )
    bounds = np.percentile(volume[inner], (1, 99))  # single bright voxels are not detail
    values, smoothed = (
        np.clip(part, *bounds) for part in (volume[inner], smooth[inner] / np.maximum(weight[inner], 1e-3))
    )
    return float(np.var(values - smoothed) / max(np.var(values), 1e-12))


def mask_pores(brain: np.ndarray) -> float:
    """Share of a brain mask, (x, y, z) bool, that a closing by a voxel in each direction adds to it."""
    if not brain.any():
        return 1.0
    part = brain[box_around(brain)]
    return float(1 - np.count_nonzero(part) / np.count_nonzero(closed_by_a_voxel(part)))


def rim_brightness(array: np.ndarray, brain: np.ndarray, affine: np.ndarray) -> float:
    """Median brightness of the outer 2 mm, or voxel, of a brain mask over that of all of it.

    A brain is surrounded by fluid, of which a whole mask holds some, and one that is too tight none.

    Args:
        array: The scan as stored, (x, y, z) float32.
        brain: Its brain mask, (x, y, z) bool, not empty.
        affine: Affine of the scan, 4 x 4, voxel indices to mm.
    """
    # With the voxels around it, but for the end of the array, where the scan is cut and not the mask.
    box = tuple(slice(max(edge.start - 1, 0), edge.stop + 1) for edge in box_around(brain))
    values, inside = array[box], brain[box]
    spacing = voxel_size(affine)
    rim = inside & within(~inside, max(RIM_MM, float(spacing.min())), spacing)
    if not rim.any():
        return 0.0
    return float(np.median(values[rim]) / max(np.median(values[inside]), np.finfo(np.float32).tiny))


def shading(volume: np.ndarray, mask: np.ndarray) -> float:
    """Factor by which brightness changes across the brain, by a linear fit of its logarithm.

    Args:
        volume: The scan on the grid, (x, y, z) float32, corrected for its bias field if that is asked for.
        mask: Its brain mask, (x, y, z) bool, not empty.

    Returns:
        Of the three axes the largest, between the 5th and 95th percentile of the brain's places; at least 1.
    """
    voxels = np.flatnonzero(mask)
    voxels = voxels[:: max(1, len(voxels) // FITTED_VOXELS)]
    places = np.column_stack(np.unravel_index(voxels, mask.shape))
    values = volume[tuple(places.T)]
    brightness = np.log(
        np.clip(values, *np.maximum(np.percentile(values, (5, 95)), np.finfo(np.float32).tiny))
    )
    extent = np.maximum(np.subtract(*np.percentile(places, (95, 5), axis=0)), 1)
    terms = np.column_stack([(places - places.mean(axis=0)) / extent, np.ones(len(places))])
    slopes = np.linalg.lstsq(terms, brightness, rcond=None)[0][:3]
    return float(np.exp(np.abs(slopes).max()))
