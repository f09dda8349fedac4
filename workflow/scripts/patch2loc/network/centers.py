"""Centers of the patches that a scan is scored at, slice after slice."""

from typing import NamedTuple

import numpy as np


class Centers(NamedTuple):
    """Centers of patches, voxels, in order of z, x and y.

    Attributes:
        ends: (slices, x), voxels of the grid: number of centers up to the end of each row along y.
        x: (n,) int32.
        y: (n,) int32.
        z: (n,) int32.
    """

    ends: np.ndarray
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray


def centers_in(region: np.ndarray) -> Centers:
    """All voxels of a region, (x, y, z) boolean."""
    return _centers(np.flatnonzero(np.ascontiguousarray(region.transpose(2, 0, 1))), region.shape)


def sorted_centers(voxels: np.ndarray, shape: tuple[int, ...]) -> tuple[Centers, np.ndarray]:
    """Sort the voxels, (n, 3) integers, of a grid of a shape, (x, y, z).

    Returns:
        The centers, and the place of each in `voxels`, (n,).
    """
    width, height, depth = shape
    flat = np.ravel_multi_index((voxels[:, 2], voxels[:, 0], voxels[:, 1]), (depth, width, height))
    order = np.argsort(flat, kind="stable")
    return _centers(flat[order], shape), order


def _centers(flat: np.ndarray, shape: tuple[int, ...]) -> Centers:
    """Centers from their places in the flattened slices of a grid, sorted."""
    width, height, depth = shape
    ends = np.searchsorted(flat, np.arange(1, depth * width + 1) * height).reshape(depth, width)
    z = np.repeat(np.arange(depth, dtype=np.int32), np.diff(ends[:, -1], prepend=0))
    row = flat.astype(np.int32) // np.int32(height)  # of all slices
    y = flat.astype(np.int32) - row * np.int32(height)
    return Centers(ends, row - z * np.int32(width), y, z)
