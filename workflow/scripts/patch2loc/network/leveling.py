"""Standardization without a scan's own shading: its low-pass becomes that of the mean training scan.

What varies over centimeters (coils, bias fields, contrast between regions) differs between scanners more than between
people.  A lesion loses the part of its contrast that is as wide as the filter.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from patch2loc.method_interface import Volumes

WIDTH = 10.0  # mm, standard deviation of the Gaussian
DARKEST = 1e-3  # of tissue: 0 is outside the brain


def low_pass(volume: np.ndarray, mask: np.ndarray, spacing: float) -> np.ndarray:
    """Gaussian-weighted mean of the brain around each voxel.

    Args:
        volume: (x, y, z).
        mask: (x, y, z) boolean.
        spacing: Voxel size, mm.

    Returns:
        (x, y, z) float32; 0 where no brain is within reach.
    """
    total, weight = (
        gaussian_filter(part.astype(np.float32), WIDTH / spacing, mode="constant", truncate=3.0)
        for part in (np.where(mask, volume, 0), mask)
    )
    mean: np.ndarray = np.divide(total, weight, out=np.zeros_like(total), where=weight > 1e-4)
    return mean


def mean_low_pass(scans: Volumes, spacing: float) -> np.ndarray:
    """Mean over training scans of their low-pass inside their masks, (x, y, z) float32.

    Where no scan has brain it is continued from around, so that every mask finds a value within reach of the filter.

    Args:
        scans: Standardized volumes and masks, one at least.
        spacing: Voxel size, mm.
    """
    total: np.ndarray | None = None
    count: np.ndarray | None = None
    for volume, mask in scans:
        level = np.where(mask, low_pass(volume, mask, spacing), 0)
        total = level if total is None else total + level
        count = mask.astype(np.int32) if count is None else count + mask
    if total is None or count is None:
        raise ValueError("no scan found, one at least expected")
    mean = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    return np.where(count > 0, mean, low_pass(mean, count > 0, spacing)).astype(np.float32)


def leveled(volume: np.ndarray, mask: np.ndarray, reference: np.ndarray, spacing: float) -> np.ndarray:
    """Give a standardized scan the low-pass of the mean training scan.

    Args:
        volume: (x, y, z) float32, standardized.
        mask: (x, y, z) boolean.
        reference: From `mean_low_pass`.
        spacing: Voxel size, mm.

    Returns:
        (x, y, z) float32, at least DARKEST inside the mask and 0 outside.
    """
    level = volume - low_pass(volume, mask, spacing) + reference
    return np.where(mask, np.maximum(level, DARKEST), 0).astype(np.float32)


@dataclass(frozen=True)
class LeveledScans:
    """Scans as `method_interface.Volumes`, leveled anew in every iteration."""

    scans: Volumes
    reference: np.ndarray
    spacing: float

    def __len__(self) -> int:
        return len(self.scans)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return ((leveled(volume, mask, self.reference, self.spacing), mask) for volume, mask in self.scans)
