"""Structural similarity of maps at every place (Wang et al. 2004)."""

import torch
from torch import Tensor

C1, C2 = 0.01**2, 0.03**2  # of maps of 0 to 1, used for others too


def structural_similarity(first: Tensor, second: Tensor, window: int = 5, deviation: float = 1.5) -> Tensor:
    """Structural similarity of maps (n, channels, x, y), place by place, with a Gaussian window; zeros are around.

    Wang et al. 2004, equation 13, with constants that do not depend on the maps' range.

    Args:
        first: (n, channels, x, y).
        second: Of the same shape.
        window: Places along each axis, odd.
        deviation: Standard deviation of the Gaussian, places.
    """
    rows, columns = (_gaussian(size, window, deviation, first) for size in first.shape[2:])

    def local_mean(maps: Tensor) -> Tensor:
        return rows @ maps @ columns

    mean, other = local_mean(first), local_mean(second)
    variances = local_mean(first.square()) - mean.square() + local_mean(second.square()) - other.square()
    covariance = local_mean(first * second) - mean * other
    luminance = (2 * mean * other + C1) / (mean.square() + other.square() + C1)
    return luminance * (2 * covariance + C2) / (variances + C2)


def _gaussian(size: int, window: int, deviation: float, like: Tensor) -> Tensor:
    """A matrix whose product with maps is their convolution with the window along one axis, (size, size)."""
    place = torch.arange(size, dtype=like.dtype, device=like.device)
    reach = torch.arange(-(window // 2), window // 2 + 1, dtype=like.dtype, device=like.device)
    distance = place[:, None] - place
    weights = torch.exp(-distance.square() / (2 * deviation**2)) * (distance.abs() <= window // 2)
    return weights / torch.exp(-reach.square() / (2 * deviation**2)).sum()
