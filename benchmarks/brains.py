"""Scans that the benchmarks time: simulated brains of several sizes and shapes, and preprocessed real ones."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

HALF_WIDTHS = (0.70, 0.86, 1.25)  # of the mean brain, in halves of the grid: a third of its voxels
SIZES = (1.0, 0.9, 1.07, 0.95, 1.03)  # of one brain after the other
TILT = 8  # degrees, standard deviation about each axis
DENTS = 0.12  # standard deviation of the squared radius


class Source(NamedTuple):
    """Where a scan comes from: a number of a simulated brain, or the folder of a preprocessed scan."""

    grid: tuple[int, int, int]
    number: int
    folder: Path | None = None


@cache
def load(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Intensities over their 98th percentile, (x, y, z) float32 and 0 outside the brain; and its mask."""
    if source.folder is None:
        return brain(source.grid, source.number)
    from patch2loc.data.scans import Scan  # here: simulated brains need nothing that reads files

    scans = (Scan(source.folder.name, source.folder, modality) for modality in ("T1", "T2"))
    volume, mask = next(scan for scan in scans if scan.volume_path.exists()).read()
    return np.where(mask, volume / np.percentile(volume[mask], 98), 0).astype(np.float32), mask


def sources(grid: tuple[int, int, int], count: int, folder: Path | None = None) -> list[Source]:
    """Simulated brains on a grid, or the first scans of a folder of preprocessed ones, each on its own grid."""
    if folder is None:
        return [Source(grid, number) for number in range(count)]
    folders = sorted(path.parent for path in folder.glob("*/mask.nii.gz"))[:count]
    if not folders:
        raise SystemExit(f"{folder}: no */mask.nii.gz found, a folder of preprocessed scans expected")
    found = [Source(grid, number, path) for number, path in enumerate(folders)]
    return [source._replace(grid=load(source)[1].shape) for source in found]


def brain(grid: tuple[int, int, int], number: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A simulated volume (x, y, z) float32 and its mask: noise in a tilted, dented ellipsoid of a brain's size.

    No two slices of it are the same, in one brain or in two of different numbers.
    """
    random = np.random.default_rng(number)
    half_widths = SIZES[number % len(SIZES)] * np.array(HALF_WIDTHS) * random.normal(1, 0.03, 3)
    turned = Rotation.from_euler("xyz", random.normal(0, TILT, 3), degrees=True).as_matrix()
    axes = np.meshgrid(*(np.linspace(-1, 1, size, dtype=np.float32) for size in grid), indexing="ij")
    radius = sum(
        (sum(turned[row, axis] * axes[axis] for axis in range(3)) / half_widths[row]) ** 2 for row in range(3)
    )
    coarse = random.normal(0, DENTS, (5, 5, 5))
    dents = ndimage.zoom(coarse, [size / 5 for size in grid], order=1, grid_mode=True, mode="nearest")
    mask = radius + dents < 1
    noise = random.random(grid, dtype=np.float32)
    return np.where(mask, noise, 0).astype(np.float32), mask


def widened(mask: np.ndarray, reach: int) -> np.ndarray:
    """The mask and all that a median filter of 2 reach + 1 voxels looks at."""
    return ndimage.maximum_filter(mask, 2 * reach + 1)
