"""Locations of the patches around voxels of a scan, predicted by a network that is ready for inference."""

import numpy as np
import torch
from torch import Tensor

from patch2loc.engine.transfer import to_device
from patch2loc.network import patches
from patch2loc.network.centers import Centers, sorted_centers
from patch2loc.network.ready import DeviceCenters, PaddedSlices, Progress, ReadyNetwork


def predict(
    volume: np.ndarray, voxels: np.ndarray, network: ReadyNetwork, progress: Progress = iter
) -> tuple[np.ndarray, np.ndarray]:
    """Predict the locations of the patches around voxels.

    Args:
        volume: (x, y, z) float32, standardized, 0 outside the brain.
        voxels: (n, 3) integers.
        network: Network ready for inference.
        progress: Wraps the numbers of the slices in turn, as tqdm does.

    Returns:
        Mean (n, 2), percent of the grid, and log-variance (n, 2), log percent squared, both float32.
    """
    centers, order = sorted_centers(voxels, volume.shape)
    predictions = np.empty((len(voxels), 4), np.float32)
    predictions[order] = predict_centers(volume, centers, network, progress).cpu().numpy()
    return predictions[:, :2], predictions[:, 2:]


def predict_centers(
    volume: np.ndarray, centers: Centers, network: ReadyNetwork, progress: Progress = iter
) -> Tensor:
    """Predict the locations of the patches around centers, without waiting for the network's device.

    Args:
        volume: As of `predict`.
        centers: In the volume.
        network: Network ready for inference.
        progress: As of `predict`.

    Returns:
        (n, 4) float32 on the network's device: mean x, y in percent of the grid, log-variance x, y.
    """
    if not len(centers.x):
        return torch.empty((0, 4), device=network.device)
    (left, front, first), (right, back, last) = (
        [int(of(places)) for places in (centers.x, centers.y, centers.z)] for of in (np.min, np.max)
    )
    if network.one_shape:  # of all scans of a grid
        (left, front), (right, back) = (0, 0), (volume.shape[0] - 1, volume.shape[1] - 1)
    slices = to_device(volume, network.device).permute(2, 0, 1)[first : last + 1]
    padded = patches.pad_slices(slices, network.patch)
    window = padded[:, left : right + network.patch, front : back + network.patch]
    places = DeviceCenters(
        *(
            to_device(voxels - np.int32(begin), network.device)
            for voxels, begin in ((centers.z, first), (centers.x, left), (centers.y, front))
        )
    )
    location = patches.location(torch.arange(first, last + 1, device=network.device), volume.shape[2])
    asked_for = PaddedSlices(window, centers.ends[first : last + 1, left : right + 1], places, location)
    with_patches = np.count_nonzero(np.diff(centers.ends[:, -1], prepend=0))
    if len(centers.x) < network.sparse * with_patches * padded[0].numel():
        return network.predict_few(asked_for)
    return network.predict_slices(asked_for, progress)
