"""Median filters of maps on the device that computed them."""

import numpy as np
import torch
from torch import Tensor

from patch2loc.engine.choices import Device
from patch2loc.engine.halving import halved_until_it_fits
from patch2loc.engine.transfer import to_device

# Of the cubes that are gathered at once, whatever their width: 46,000 of 7 voxels, a thread block each, which is more
# than a GPU runs together, and little beside the activations of a network (`network.inference.MEMORY_MB`).
MEMORY_MB = 64


def medians_at(values: Tensor, mask: np.ndarray, size: int) -> Tensor:
    """Medians of the cubes of a map around the voxels of a mask; the edge of the grid is reflected.

    Args:
        values: (x, y, z) float32.
        mask: (x, y, z) boolean, on the host.
        size: Width of the cubes, voxels.

    Returns:
        (x, y, z) float32, NaN outside the mask, on the device of the map, which may still compute them.
    """
    device: Device = "cpu" if values.device.type == "cpu" else "cuda"
    windows = values
    for axis, length in enumerate(mask.shape):
        reflected = np.pad(np.arange(length), size // 2, mode="symmetric")
        windows = windows.index_select(axis, to_device(reflected, device))
    for axis in range(3):
        windows = windows.unfold(axis, size, 1)
    place = to_device(np.flatnonzero(mask), device)
    _, height, depth = mask.shape
    x, y, z = place // (height * depth), place // depth % height, place % depth

    def compute(at_once: int) -> Tensor:
        parts = zip(*(torch.split(of_all, at_once) for of_all in (x, y, z)), strict=True)
        return torch.cat([windows[part].flatten(1).median(dim=1).values for part in parts])

    filtered = values.new_full((mask.size,), float("nan"))
    if len(place):
        at_once = max(1, int(MEMORY_MB * 1e6) // (size**3 * values.itemsize))
        medians, _ = halved_until_it_fits(compute, min(at_once, len(place)))
        filtered.scatter_(0, place, medians)
    return filtered.view(mask.shape)


def published_of_blocks(
    blocks: Tensor, kept: np.ndarray, needed: np.ndarray, mask: np.ndarray, *, factor: int, median: int
) -> Tensor:
    """Filter a map of blocks and bring it to the grid, as `postprocessing.as_published` does.

    Args:
        blocks: (x', y', z') float32.
        kept: Blocks of the eroded brain, outside of which the map is 0.
        needed: Blocks that hold a voxel of the brain.
        mask: (x, y, z) boolean, the brain.
        factor: Voxels along the edge of a block.
        median: Width of the filter, blocks.
    """
    device: Device = "cpu" if blocks.device.type == "cpu" else "cuda"
    filtered = medians_at(torch.where(to_device(kept, device), blocks, 0), needed, median)
    for axis in range(3):
        filtered = filtered.repeat_interleave(factor, axis)
    x, y, z = mask.shape
    return torch.where(to_device(mask, device), filtered[:x, :y, :z], float("nan"))
