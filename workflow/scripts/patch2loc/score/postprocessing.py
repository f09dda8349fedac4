"""Post-processing of heatmaps: the common median filter, and that of each method's authors."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from patch2loc.data.volumes import block
from patch2loc.engine.choices import Device


def median_filtered(
    score: Callable[[np.ndarray], np.ndarray],
    mask: np.ndarray,
    size: int,
    device: Device = "cpu",
    *,
    chunk: int = 65536,
) -> np.ndarray:
    """Median-filter a map so that, inside the mask, the result equals the filter of the unmasked map.

    The edge of the grid is reflected.

    Args:
        score: Computes the map at the voxels of a mask (here the brain widened by what the filter reaches).
        mask: (x, y, z) boolean.
        size: Width of the filter's cube, voxels.
        device: Device that the medians are computed on.
        chunk: Voxels at once, of size^3 values.

    Returns:
        (x, y, z) float32, NaN outside the mask.
    """
    widened = ndimage.maximum_filter(mask, size=size)
    padded = np.pad(score(widened), size // 2, mode="symmetric")
    voxels = np.argwhere(mask)
    medians = _medians if device == "cpu" else _medians_on_gpu
    filtered = np.full(mask.shape, np.nan, np.float32)
    filtered[mask] = medians(padded, voxels, size, chunk)
    return filtered


def _medians(padded: np.ndarray, voxels: np.ndarray, size: int, chunk: int) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size,) * 3)
    medians = np.empty(len(voxels), padded.dtype)
    for start in range(0, len(voxels), chunk):
        x, y, z = voxels[start : start + chunk].T
        cube = windows[x, y, z].reshape(len(x), -1)
        medians[start : start + chunk] = np.partition(cube, size**3 // 2, axis=1)[:, size**3 // 2]
    return medians


def _medians_on_gpu(
    padded: np.ndarray, voxels: np.ndarray, size: int, chunk: int, *, device: Device = "cuda"
) -> np.ndarray:
    import torch  # here: methods without a network do without it

    windows = torch.from_numpy(padded).to(device)
    for axis in range(3):
        windows = windows.unfold(axis, size, 1)
    places = torch.from_numpy(voxels).to(device)
    medians = [windows[tuple(part.T)].flatten(1).median(dim=1).values for part in torch.split(places, chunk)]
    return torch.cat(medians).cpu().numpy()


def eroded(mask: np.ndarray, voxels: int) -> np.ndarray:
    """Remove the outermost voxels of a mask, (x, y, z), in every axial slice, by steps to one of four neighbors."""
    if not voxels:
        return mask
    cross = ndimage.generate_binary_structure(2, 1)[:, :, None]
    smaller: np.ndarray = ndimage.binary_erosion(mask, cross, iterations=voxels)
    return smaller


def as_published(
    score: np.ndarray, mask: np.ndarray, spacing: float, *, erosion: int, median: int
) -> np.ndarray:
    """Post-process as for the rows of Table 1 that come from Behrendt et al.: eroded brain mask, then a median filter.

    Args:
        score: (x, y, z), defined inside the mask at least; or, on a grid finer than 2 mm, of its blocks of 2 mm.
        mask: (x, y, z) boolean.
        spacing: Voxel size of the grid, mm. On a finer grid than 2 mm all is done on its blocks of 2 mm, to which the
            widths refer; a score on the grid is averaged to them.
        erosion: Voxels that the mask loses in each slice; the score is 0 there and outside.
        median: Width of the cubic filter, voxels; the edge of the grid is reflected.

    Returns:
        (x, y, z) float32 on the grid, NaN outside the mask.
    """
    factor = block(spacing)
    brain = _block_mean(mask, factor) >= 0.5
    coarse = score if score.shape == brain.shape else _block_mean(np.where(mask, score, 0), factor)
    inside = np.where(eroded(brain, erosion), coarse, 0)
    filtered = ndimage.median_filter(inside, median, mode="reflect")
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
