"""Patches: where they may be taken, how they are cut out, and their locations (paper, sections 2.1 and 4.1).

A patch of p x p voxels centered on voxel (x, y) of an axial slice holds rows x - p/2 .. x + p/2 - 1 and
columns y - p/2 .. y + p/2 - 1; slices are padded with p/2 zeros.
"""

import torch
from torch import Tensor
from torch.nn import functional

MINIMUM_BRAIN_FRACTION = 0.2


def pad_slices(slices: Tensor, patch: int) -> Tensor:
    """Pad slices, (slices, x, y), with patch/2 zeros on every side of x and y."""
    half = patch // 2
    return functional.pad(slices, (half, half, half, half))


def cut(padded: Tensor, index: Tensor, x: Tensor, y: Tensor, *, patch: int) -> Tensor:
    """Cut the patches centered on voxels (x, y) out of padded slices.

    Args:
        padded: (slices, x + p, y + p), from `pad_slices`.
        index: Slice of each patch, (n,) integers.
        x: (n,) integers.
        y: (n,) integers.
        patch: Width p of a patch, voxels.

    Returns:
        The patches, (n, 1, p, p).
    """
    windows = padded.unfold(1, patch, 1).unfold(2, patch, 1)
    return windows[index, x, y].unsqueeze(1)


def share(masks: Tensor, patch: int) -> Tensor:
    """Share of the mask in the patch around every voxel: (slices, x, y) boolean -> (slices, x, y) float32."""
    # Differences of sums up to each corner: a mean over each window would read every voxel p * p times.
    sums = functional.pad(
        pad_slices(masks, patch).cumsum(1, dtype=torch.int32).cumsum(2, dtype=torch.int32), (1, 0, 1, 0)
    )
    total = sums[:, patch:] - sums[:, :-patch]
    total = total[:, :, patch:] - total[:, :, :-patch]
    return total[:, : masks.shape[1], : masks.shape[2]] / patch**2


def accepted(masks: Tensor, patch: int) -> Tensor:
    """Voxels whose patch holds at least 20 % of brain (paper, section 4.1): (slices, x, y) boolean."""
    # Half a voxel of slack: the share is rounded in float32.
    return share(masks, patch) >= MINIMUM_BRAIN_FRACTION - 0.5 / patch**2


def location(index: Tensor, size: int) -> Tensor:
    """Location of voxels along an axis, in percent of the grid: 100 * index / size (paper, section 2.1)."""
    return 100.0 * index.to(torch.float32) / size
