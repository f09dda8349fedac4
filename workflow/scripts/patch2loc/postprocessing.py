"""What is done to a heatmap after a method has made it, the same for every method."""

from collections.abc import Callable

import numpy as np
from scipy import ndimage


def median_filtered(
    score: Callable[[np.ndarray], np.ndarray], mask: np.ndarray, size: int, chunk: int = 65536
) -> np.ndarray:
    """Median filter over a cube of size^3 voxels that equals, inside the mask, the filter of the unmasked map.

    score: computes the map at the voxels of a mask (here the brain widened by what the filter reaches).
    The edge of the grid is reflected.  Returns (x, y, z) float32, NaN outside the mask.
    """
    reach = size // 2
    widened = ndimage.maximum_filter(mask, size=size)
    dense = score(widened)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(dense, reach, mode="symmetric"), (size,) * 3)
    voxels = np.argwhere(mask)
    filtered = np.full(mask.shape, np.nan, np.float32)
    for start in range(0, len(voxels), chunk):
        x, y, z = voxels[start : start + chunk].T
        cube = windows[x, y, z].reshape(len(x), -1)
        filtered[x, y, z] = np.partition(cube, size**3 // 2, axis=1)[:, size**3 // 2]
    return filtered
