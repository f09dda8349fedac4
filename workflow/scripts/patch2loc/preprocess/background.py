"""The background of a scan: where its brightness starts, and voxels that hold nothing."""

import numpy as np
from scipy import ndimage

from patch2loc.preprocess.images import voxel_size
from patch2loc.preprocess.masks import Box, box_around, eroded

# 1st percentile of a scan over its 99th: -0.02 and more in real scans, also with the ringing of interpolation; -0.5 and
# less in z-scores and in scans with an intercept.
BELOW_ZERO = -0.1
# Voxels that equal all their neighbors and hold nothing, in one place of the brain: two in real scans.
EMPTY_ML = 0.5
OFFSET = 0.15  # of the brain's median: background above 0, as `plausibility.BACKGROUND`


def from_zero(array: np.ndarray) -> tuple[np.ndarray, float]:
    """Give a scan a background of 0 and no brightness below it, as every step expects.

    Only a scan of which a good part lies below 0 is moved, such as z-scores or one with an intercept, by its 0.1th
    percentile. A constant background, the value of all corners, becomes 0 whatever it is; if it is above 0 and nothing
    is darker, it is taken from all of the scan, to which it may have been added.

    Args:
        array: The scan as stored, (x, y, z) float32.

    Returns:
        The scan, the same array if there is nothing to do; and what was added to its voxels.
    """
    corners = array[:: array.shape[0] - 1 or 1, :: array.shape[1] - 1 or 1, :: array.shape[2] - 1 or 1]
    constant = bool((corners == corners[0, 0, 0]).all())
    background = float(corners[0, 0, 0]) if constant else 0.0
    if array.min() >= 0 and background == 0:
        return array, 0.0
    nothing = array == background if constant else np.zeros(array.shape, bool)
    lowest, low, high = np.percentile(array[~nothing], (0.1, 1, 99))
    if low >= BELOW_ZERO * high and high > 0:
        if background > 0 and array.min() == background:
            return array - np.float32(background), -background
        return np.where(nothing, np.float32(0), array) if background else array, 0.0
    darkest = 1e-6 * (high - lowest)  # of a stripped scan, all brain is above 0
    return np.where(nothing, 0, np.maximum(array - lowest, darkest)).astype(np.float32), float(-lowest)


def zero_flags(shift: float, stored: np.ndarray, brain: np.ndarray) -> list[str]:
    """A flag if a scan was moved, unless by next to nothing: its own zero is not known.

    Args:
        shift: What `from_zero` added to the voxels.
        stored: The scan as stored, (x, y, z) float32.
        brain: Its brain mask, (x, y, z) bool.
    """
    if -OFFSET * float(np.median(stored[brain])) <= shift <= 0:
        return []
    if shift < 0:
        return [
            f"background of {-shift:.4g} found, 0 expected: it was taken from all of the scan, to whose brightness it "
            "may have been added"
        ]
    return [
        f"{np.mean(stored[brain] < 0):.0%} of the brain lies below 0, none expected: {shift:.4g} was added to all of "
        "the scan, as it may have been changed to z-scores or stored with an intercept"
    ]


def without_empty(brain: np.ndarray, array: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """A brain mask without the places where the scan holds nothing, as after defacing or where a lesion was masked.

    Args:
        brain: Brain mask, (x, y, z) bool.
        array: The scan, (x, y, z) float32, its background 0.
        affine: Affine of mask and scan, 4 x 4, voxel indices to mm.

    Returns:
        The mask without places of EMPTY_ML and more.
    """
    fewest = max(1.0, 1000 * EMPTY_ML / voxel_size(affine).prod())
    if np.count_nonzero(brain & (array == 0)) < fewest:
        return brain
    box: Box = tuple(slice(max(edge.start - 1, 0), edge.stop + 1) for edge in box_around(brain))
    zero = array[box] == 0
    parts, count = ndimage.label(eroded(zero, 1))
    # A mask that is a voxel or two too wide is no hole in the scan.
    large = np.bincount(parts[eroded(brain[box], 2)], minlength=count + 1) >= fewest
    large[0] = False
    filled = brain.copy()
    filled[box] &= ~(ndimage.binary_dilation(large[parts], np.ones((3, 3, 3), bool)) & zero)
    return filled
