"""Dense inference: the abnormality score at every voxel of the brain (paper, sections 2.3 and 2.5)."""

from functools import partial

import numpy as np
from scipy import ndimage
from tqdm import tqdm

from patch2loc.engine.choices import Device, Precision
from patch2loc.network.inference import DenseNetwork, ReadyNetwork, predict
from patch2loc.network.location import LocationNetwork

EPSILON = 0.5  # percent squared; of our own models, in patch analysis and heatmaps alike


def true_location(voxels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Location of voxels in their slice, in percent of the grid (paper, section 2.1): (n, 3) -> (n, 2) float32."""
    return 100 * voxels[:, :2].astype(np.float32) / np.asarray(shape[:2], np.float32)


def abnormality(
    mean: np.ndarray,
    log_variance: np.ndarray,
    voxels: np.ndarray,
    shape: tuple[int, ...],
    *,
    epsilon: float = EPSILON,
) -> dict[str, np.ndarray]:
    """Abnormality of patches from the locations that a network predicts for them (paper, equation 5).

    Args:
        mean: Predicted locations, (n, 2), percent of the grid.
        log_variance: Logarithm of their variance, (n, 2), log percent squared.
        voxels: The centers of the patches, (n, 3).
        shape: Shape of the grid.
        epsilon: Added to the squared error, percent squared.

    Returns:
        log_error, log_variance and their sum, score, each (n,) float32.
    """
    error = ((true_location(voxels, shape) - mean) ** 2).sum(axis=1)
    log_error = np.log(error + epsilon)
    mean_log_variance = log_variance.mean(axis=1)
    return {
        "log_error": log_error,
        "log_variance": mean_log_variance,
        "score": log_error + mean_log_variance,
    }


def score_volume(
    volume: np.ndarray,
    mask: np.ndarray,
    network: LocationNetwork,
    patch: int = 24,
    *,
    stride: int = 1,
    device: Device = "cpu",
    precision: Precision = "float32",
) -> dict[str, np.ndarray]:
    """Score every voxel of a mask, before the median filter.

    Args:
        volume: (x, y, z) float32, intensity over the 98th percentile, 0 outside the brain.
        mask: Voxels to score, (x, y, z) boolean.
        network: Network in evaluation mode.
        patch: Width of a patch, voxels.
        stride: With more than 1, every stride-th voxel along x and y is computed and the rest interpolated linearly.
        device: Device that the network computes on.
        precision: Precision of the network's encoder.

    Returns:
        log_error, log_variance and score (paper, equation 5), each (x, y, z) float32, NaN outside the mask.
    """
    return score_voxels(volume, mask, DenseNetwork(network, patch, device, precision), stride)


def score_voxels(
    volume: np.ndarray,
    mask: np.ndarray,
    network: ReadyNetwork,
    stride: int = 1,
    *,
    epsilon: float = EPSILON,
) -> dict[str, np.ndarray]:
    """Score as `score_volume` does, with a network that was made ready once for many volumes.

    epsilon: See `abnormality`.
    """
    computed = mask if stride == 1 else _lattice(mask, stride)
    voxels = np.argwhere(computed)
    # A bar on terminals only: a volume takes minutes on a processor.
    progress = partial(tqdm, desc="slices", unit="slice", leave=False, disable=None)
    mean, log_variance = predict(volume, voxels, network, progress)
    maps = {}
    for name, values in abnormality(mean, log_variance, voxels, volume.shape, epsilon=epsilon).items():
        sparse_map = np.full(volume.shape, np.nan, np.float32)
        sparse_map[computed] = values
        maps[name] = sparse_map if stride == 1 else _interpolated(sparse_map, mask, stride)
    return maps


def _lattice(mask: np.ndarray, stride: int) -> np.ndarray:
    """Lattice points that the linear interpolation of any voxel in the mask needs."""
    reach = ndimage.maximum_filter(mask, size=(2 * stride - 1, 2 * stride - 1, 1))
    lattice = np.zeros_like(mask)
    lattice[::stride, ::stride] = reach[::stride, ::stride]
    return lattice


def _interpolated(sparse_map: np.ndarray, mask: np.ndarray, stride: int) -> np.ndarray:
    """Linear interpolation between lattice points in every slice; beyond the last point its value is kept."""
    lattice = np.nan_to_num(sparse_map[::stride, ::stride])
    x, y, z = np.nonzero(mask)
    last = np.asarray(lattice.shape[:2]) - 1
    points = [np.minimum(x / stride, last[0]), np.minimum(y / stride, last[1]), z]
    filled = np.full(sparse_map.shape, np.nan, np.float32)
    filled[mask] = ndimage.map_coordinates(lattice, points, order=1)
    return filled
