"""Dense inference: the abnormality score at every voxel of the brain (paper, sections 2.3 and 2.5)."""

from functools import partial

import numpy as np
from scipy import ndimage
from tqdm import tqdm

from patch2loc.network.inference import DenseNetwork, predict
from patch2loc.network.location import LocationNetwork

EPSILON = 0.5  # percent squared; in patch analysis and heatmaps alike


def true_location(voxels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Location of voxels in the slice, percent of the grid (paper, section 2.1): (n, 3) -> (n, 2) float32."""
    return 100 * voxels[:, :2].astype(np.float32) / np.asarray(shape[:2], np.float32)


def abnormality(
    mean: np.ndarray, log_variance: np.ndarray, voxels: np.ndarray, shape: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Log-error, log-variance and score of predictions (paper, equation 5), each (n,) float32.

    mean, log_variance: (n, 2).  voxels: (n, 3), where the patches are.  shape: of the grid.
    """
    error = ((true_location(voxels, shape) - mean) ** 2).sum(axis=1)
    log_error = np.log(error + EPSILON)
    log_var = log_variance.mean(axis=1)
    return {"log_error": log_error, "log_variance": log_var, "score": log_error + log_var}


def score_volume(
    volume: np.ndarray,
    mask: np.ndarray,
    network: LocationNetwork,
    patch: int = 24,
    stride: int = 1,
    device: str = "cpu",
    precision: str = "float32",
) -> dict[str, np.ndarray]:
    """Score every voxel of a mask, before the median filter.

    volume: (x, y, z) float32, intensity over the 98th percentile, 0 outside the brain.  mask: (x, y, z) boolean.
    stride: with more than 1 every stride-th voxel along x and y is computed and the rest interpolated linearly.
    precision: "float32", "bfloat16" or "float16".
    Returns log_error, log_variance and score, (x, y, z) float32, NaN outside the mask.
    """
    return score_voxels(volume, mask, DenseNetwork(network, patch, device, precision), stride)


def score_voxels(
    volume: np.ndarray, mask: np.ndarray, network: DenseNetwork, stride: int = 1
) -> dict[str, np.ndarray]:
    """As `score_volume`, with a network that is ready for many volumes."""
    wanted = mask if stride == 1 else _lattice(mask, stride)
    voxels = np.argwhere(wanted)
    # A bar on terminals only: a volume takes minutes on a processor.
    progress = partial(tqdm, desc="slices", unit="slice", leave=False, disable=None)
    maps = abnormality(*predict(volume, voxels, network, progress), voxels, volume.shape)
    filled = {}
    for name, values in maps.items():
        dense = np.full(volume.shape, np.nan, np.float32)
        dense[wanted] = values
        filled[name] = dense if stride == 1 else _interpolated(dense, mask, stride)
    return filled


def _lattice(mask: np.ndarray, stride: int) -> np.ndarray:
    """Lattice points that the linear interpolation of any voxel in the mask needs."""
    reach = ndimage.maximum_filter(mask, size=(2 * stride - 1, 2 * stride - 1, 1))
    lattice = np.zeros_like(mask)
    lattice[::stride, ::stride] = reach[::stride, ::stride]
    return lattice


def _interpolated(dense: np.ndarray, mask: np.ndarray, stride: int) -> np.ndarray:
    """Linear interpolation between lattice points in every slice; beyond the last point its value is kept."""
    lattice = np.nan_to_num(dense[::stride, ::stride])
    x, y, z = np.nonzero(mask)
    last = np.asarray(lattice.shape[:2]) - 1
    places = [np.minimum(x / stride, last[0]), np.minimum(y / stride, last[1]), z]
    filled = np.full(dense.shape, np.nan, np.float32)
    filled[mask] = ndimage.map_coordinates(lattice, places, order=1)
    return filled
