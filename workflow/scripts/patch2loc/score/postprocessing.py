"""Post-processing of heatmaps: the common median filter, and that of each method's authors."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import ndimage

from patch2loc.data.volumes import block
from patch2loc.method_interface import Map, as_array

CHUNK = 1024  # cubes at once: those of 7 voxels, 1.4 MB, stay in a processor's caches


def median_filtered(
    score: Callable[[np.ndarray], Map], mask: np.ndarray, size: int, *, threads: int = 1
) -> Map:
    """Median-filter a map so that, inside the mask, the result equals the filter of the unmasked map.

    The edge of the grid is reflected.

    Args:
        score: Computes the map at the voxels of a mask (here the brain widened by what the filter reaches).
        mask: (x, y, z) boolean.
        size: Width of the filter's cube, voxels.
        threads: Threads that compute the medians of an array; those of a tensor are computed on its device.

    Returns:
        (x, y, z) float32, NaN outside the mask; a tensor if the map is one.
    """
    values = score(widened(mask, size // 2))
    if isinstance(values, np.ndarray):
        return _medians_at(values, mask, size, threads)
    from patch2loc.score import device_medians  # here: methods without a network do without torch

    return device_medians.medians_at(values, mask, size)


def widened(mask: np.ndarray, reach: int) -> np.ndarray:
    """All voxels that are no more than `reach` from one of the mask along each axis, (x, y, z) boolean."""
    for axis in range(3):
        narrow = mask.swapaxes(0, axis)
        mask = mask.copy()
        wide = mask.swapaxes(0, axis)
        for step in range(1, reach + 1):
            wide[step:] |= narrow[:-step]
            wide[:-step] |= narrow[step:]
    return mask


def _medians_at(values: np.ndarray, mask: np.ndarray, size: int, threads: int) -> np.ndarray:
    """Medians of the cubes of a map around the voxels of a mask, and NaN elsewhere: (x, y, z) float32."""
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(values, size // 2, mode="symmetric"), (size,) * 3
    )
    places = np.flatnonzero(mask)
    filtered = np.full(mask.size, np.nan, np.float32)

    def compute(start: int) -> None:
        chunk = places[start : start + CHUNK]
        filtered[chunk] = _cube_medians(windows, chunk)

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(compute, range(0, len(places), CHUNK)):
            pass
    return filtered.reshape(mask.shape)


def _cube_medians(windows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Medians of the cubes (x, y, z, size, size, size) at places of the flattened grid, (n,)."""
    cubes = windows[np.unravel_index(places, windows.shape[:3])].reshape(len(places), -1)
    middle = cubes.shape[1] // 2
    cubes.partition(middle, axis=1)
    medians: np.ndarray = cubes[:, middle]
    return medians


def eroded(mask: np.ndarray, voxels: int) -> np.ndarray:
    """Remove the outermost voxels of a mask, (x, y, z), in every axial slice, by steps to one of four neighbors."""
    if not voxels:
        return mask
    cross = ndimage.generate_binary_structure(2, 1)[:, :, None]
    smaller: np.ndarray = ndimage.binary_erosion(mask, cross, iterations=voxels)
    return smaller


def as_published(
    score: Map, mask: np.ndarray, spacing: float, *, erosion: int, median: int, threads: int = 1
) -> Map:
    """Post-process as for the rows of Table 1 that come from Behrendt et al.: eroded brain mask, then a median filter.

    Args:
        score: (x, y, z), defined inside the mask at least; or, on a grid finer than 2 mm, of its blocks of 2 mm.
        mask: (x, y, z) boolean.
        spacing: Voxel size of the grid, mm. On a finer grid than 2 mm all is done on its blocks of 2 mm, to which the
            widths refer; a score on the grid is averaged to them.
        erosion: Voxels that the mask loses in each slice; the score is 0 there and outside.
        median: Width of the cubic filter, voxels; the edge of the grid is reflected.
        threads: Threads that compute the medians of an array; those of a tensor are computed on its device.

    Returns:
        (x, y, z) float32 on the grid, NaN outside the mask; a tensor if the score is one, of blocks.
    """
    factor = block(spacing)
    brain_share = _block_mean(mask, factor)
    kept, needed = eroded(brain_share >= 0.5, erosion), brain_share > 0
    if score.shape == mask.shape and factor > 1:
        score = _block_mean(np.where(mask, as_array(score), 0), factor)
    if not isinstance(score, np.ndarray):
        from patch2loc.score import device_medians  # here: methods without a network do without torch

        return device_medians.published_of_blocks(score, kept, needed, mask, factor=factor, median=median)
    filtered = _medians_at(np.where(kept, score, 0), needed, median, threads)
    for axis in range(3):
        filtered = filtered.repeat(factor, axis)
    x, y, z = mask.shape
    return np.where(mask, filtered[:x, :y, :z], np.nan).astype(np.float32)


def _block_mean(volume: np.ndarray, factor: int) -> np.ndarray:
    """Means of cubes of factor^3 voxels, zeros beyond the end of the grid."""
    padded = np.pad(volume.astype(np.float32), [(0, -size % factor) for size in volume.shape])
    x, y, z = (size // factor for size in padded.shape)
    means: np.ndarray = padded.reshape(x, factor, y, factor, z, factor).mean(axis=(1, 3, 5))
    return means
