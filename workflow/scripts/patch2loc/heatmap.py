"""Dense inference: the abnormality score at every voxel of the brain (paper, sections 2.3 and 2.5)."""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from tqdm import tqdm

from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.transfer import as_map, to_device
from patch2loc.method_interface import Map, as_array
from patch2loc.network.centers import centers_in
from patch2loc.network.inference import DenseNetwork
from patch2loc.network.location import LocationNetwork
from patch2loc.network.prediction import predict_centers
from patch2loc.network.ready import ReadyNetwork

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
    predictions = torch.from_numpy(np.concatenate([mean, log_variance], axis=1, dtype=np.float32))
    x, y = torch.from_numpy(voxels[:, :2].T.copy())
    measures = _abnormality(predictions, x, y, shape, epsilon=epsilon)
    return {name: values.numpy() for name, values in measures.items()}


def _abnormality(
    predictions: Tensor, x: Tensor, y: Tensor, shape: tuple[int, ...], *, epsilon: float
) -> dict[str, Tensor]:
    """As `abnormality`, on a device.  predictions: (n, 4) float32, mean x, y and log-variance x, y; x, y: (n,)."""
    mean_x, mean_y, log_variance_x, log_variance_y = predictions.T
    error_x, error_y = (
        (100 * place.float() / size - mean).square_()
        for place, size, mean in zip((x, y), shape[:2], (mean_x, mean_y), strict=True)
    )
    log_error = error_x.add_(error_y).add_(epsilon).log_()
    log_variance = (log_variance_x + log_variance_y).div_(2)
    return {"log_error": log_error, "log_variance": log_variance, "score": log_error + log_variance}


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
    maps = score_maps(volume, mask, network, stride, epsilon=epsilon)
    return {name: as_array(values) for name, values in maps.items()}


class ScoreMaps(Mapping[str, Map]):
    """Maps of a scan by name, (x, y, z) float32, NaN where nothing was computed; each is made when it is asked for.

    Args:
        values: log_error, log_variance and score of the computed voxels, (n,) each, on a device.
        place: Where these are in the flattened grid, (n,) int64, on the device.
        shape: Of the grid.
        on_grid: Brings a map to its final form.
    """

    def __init__(
        self,
        values: Mapping[str, Tensor],
        place: Tensor,
        shape: tuple[int, ...],
        on_grid: Callable[[Tensor], Tensor],
    ) -> None:
        self.values_of, self.place, self.shape, self.on_grid = values, place, shape, on_grid

    def __getitem__(self, name: str) -> Map:
        values = self.values_of[name]
        flat = values.new_full((math.prod(self.shape),), float("nan")).scatter_(0, self.place, values)
        return as_map(self.on_grid(flat.view(self.shape)))

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_of)

    def __len__(self) -> int:
        return len(self.values_of)


def score_maps(
    volume: np.ndarray,
    mask: np.ndarray,
    network: ReadyNetwork,
    stride: int = 1,
    *,
    epsilon: float = EPSILON,
) -> ScoreMaps:
    """Score as `score_voxels` does; the maps stay on the network's device, which may still compute them."""
    # A bar on terminals only: a volume takes minutes on a processor.
    progress = partial(tqdm, desc="slices", unit="slice", leave=False, disable=None)
    centers = centers_in(lattice_points(mask, stride))
    predictions = predict_centers(volume, centers, network, progress)
    x, y, z = (to_device(places, network.device) for places in (centers.x, centers.y, centers.z))
    _, height, depth = volume.shape
    place = ((x * height + y) * depth + z).long()

    def on_grid(sparse_map: Tensor) -> Tensor:
        if stride == 1:
            return sparse_map
        return to_device(interpolated(sparse_map.cpu().numpy(), mask, stride), network.device)

    values = _abnormality(predictions, x, y, volume.shape, epsilon=epsilon)
    return ScoreMaps(values, place, volume.shape, on_grid)


def lattice_points(mask: np.ndarray, stride: int) -> np.ndarray:
    """Lattice points that the linear interpolation of any voxel in a mask needs, (x, y, z) boolean.

    Args:
        mask: (x, y, z) boolean.
        stride: Voxels from one lattice point to the next along x and y; 1 for the mask itself.
    """
    if stride == 1:
        return mask
    reach = ndimage.maximum_filter(mask, size=(2 * stride - 1, 2 * stride - 1, 1))
    lattice = np.zeros_like(mask)
    lattice[::stride, ::stride] = reach[::stride, ::stride]
    return lattice


def interpolated(sparse_map: np.ndarray, mask: np.ndarray, stride: int) -> np.ndarray:
    """Linear interpolation between lattice points in every slice; beyond the last point its value is kept.

    Args:
        sparse_map: (x, y, z) float32, with a value at the `lattice_points` of the mask.
        mask: As of `lattice_points`.
        stride: As of `lattice_points`; with 1 the map is returned as it is.

    Returns:
        (x, y, z) float32, NaN outside the mask.
    """
    if stride == 1:
        return sparse_map
    lattice = np.nan_to_num(sparse_map[::stride, ::stride])
    x, y, z = np.nonzero(mask)
    last = np.asarray(lattice.shape[:2]) - 1
    points = [np.minimum(x / stride, last[0]), np.minimum(y / stride, last[1]), z]
    filled = np.full(sparse_map.shape, np.nan, np.float32)
    filled[mask] = ndimage.map_coordinates(lattice, points, order=1)
    return filled
