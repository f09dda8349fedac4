"""Dense inference: the abnormality score at every voxel of the brain (paper, sections 2.3 and 2.5)."""

import numpy as np
import torch
from scipy import ndimage

from patch2loc import patches
from patch2loc.network import LocationNetwork, for_inference

EPSILON = 0.5  # percent squared; in patch analysis and heatmaps alike
BATCH = 4096  # patches at once: bounds the memory, not the result


def predict(
    volume: np.ndarray, voxels: np.ndarray, network: LocationNetwork, patch: int, device: str
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and log-variance of the location predicted at voxels.

    volume: (x, y, z) float32, standardised, 0 outside the brain.  voxels: (n, 3) integers.
    network: from `for_inference`.  Returns two arrays (n, 2) float32, percent and log percent squared.
    """
    depth = volume.shape[2]
    padded = patches.pad_slices(torch.from_numpy(volume).permute(2, 0, 1).contiguous(), patch).to(device)
    places = torch.from_numpy(np.ascontiguousarray(voxels)).to(device)
    mean = torch.empty((len(voxels), 2), device=device)
    log_variance = torch.empty((len(voxels), 2), device=device)
    with torch.inference_mode():
        for start in range(0, len(voxels), BATCH):
            x, y, z = places[start : start + BATCH].T
            cut = patches.cut(padded, z, x, y, patch)
            part = slice(start, start + len(x))
            mean[part], log_variance[part] = network(cut, patches.location(z, depth))
    return mean.cpu().numpy(), log_variance.cpu().numpy()


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
) -> dict[str, np.ndarray]:
    """Score every voxel of a mask, before the median filter.

    volume: (x, y, z) float32, intensity over the 98th percentile, 0 outside the brain.  mask: (x, y, z) boolean.
    stride: with more than 1 every stride-th voxel along x and y is computed and the rest interpolated linearly.
    Returns log_error, log_variance and score, (x, y, z) float32, NaN outside the mask.
    """
    network = for_inference(network.to(device))
    wanted = mask if stride == 1 else _lattice(mask, stride)
    voxels = np.argwhere(wanted)
    maps = abnormality(*predict(volume, voxels, network, patch, device), voxels, volume.shape)
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
