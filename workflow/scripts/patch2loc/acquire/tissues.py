"""Fluid, gray and white matter of a healthy T1 scan, told by a mixture of three Gaussians of its intensities."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.cluster.vq import kmeans2

from patch2loc.errors import InputError

TISSUES = ("fluid", "gray", "white")  # ascending in T1, descending in T2
SHADING_MM = 30.0  # standard deviation of the Gaussian that makes the shading of a scan
LEAST_WEIGHT = 0.01  # of a tissue in the brain
MOST_VOXELS = 100_000  # of which the mixture is fitted


class Mixture(NamedTuple):
    """Gaussians of a T1 scan's intensities, in the order of TISSUES.

    Attributes:
        means: (3,), ascending.
        spreads: Standard deviations, (3,).
        weights: Shares of the brain, (3,), 1 in all.
    """

    means: np.ndarray
    spreads: np.ndarray
    weights: np.ndarray

    def probabilities(self, intensities: np.ndarray) -> np.ndarray:
        """Probability of each tissue, (3, n) float32, at intensities, (n,)."""
        standardized = (intensities - self.means[:, None]) / self.spreads[:, None]
        log_density = np.log(self.weights / self.spreads)[:, None] - standardized**2 / 2
        density = np.exp(log_density - log_density.max(axis=0))
        probabilities: np.ndarray = (density / density.sum(axis=0)).astype(np.float32)
        return probabilities

    def shares(self, intensities: np.ndarray, kept: float) -> np.ndarray:
        """Share of each tissue in voxels of some intensities, (3, n) float32.

        Between two means a voxel has shares of both tissues, in proportion. A part of these differences is texture:
        where less of it is kept, shares are nearer to 0 and 1, with a half where it was.

        Args:
            intensities: (n,).
            kept: Share of the texture that is kept, 0 to 1.
        """
        position = np.interp(intensities, self.means, np.arange(3))
        lower = np.minimum(position.astype(int), 1)
        share = position - lower
        share = kept * share + (1 - kept) * share**2 * (3 - 2 * share)
        shares = np.zeros((3, len(intensities)), np.float32)
        voxels = np.arange(len(intensities))
        shares[lower, voxels] = 1 - share
        shares[lower + 1, voxels] = share
        return shares


def fit_tissues(
    volume: np.ndarray, brain: np.ndarray, voxel: np.ndarray, scan_path: str | Path
) -> tuple[np.ndarray, Mixture]:
    """Fit the tissues of a T1 scan, and take its own shading off.

    Args:
        volume: (x, y, z) float32.
        brain: (x, y, z) bool.
        voxel: Edges of a voxel, mm, (3,).
        scan_path: Named in the error.

    Returns:
        The scan without shading, (x, y, z) float32, and the mixture of its intensities.

    Raises:
        InputError: There are no three tissues.
    """
    evened = np.maximum(volume, 0)
    mixture = _mixture(evened[brain], scan_path)
    for _ in range(2):
        probabilities = mixture.probabilities(evened[brain])
        # Fluid is dark, and its logarithm mostly noise.
        ratio = np.log(np.maximum(evened[brain], 1e-3 * mixture.means[1]) / (mixture.means @ probabilities))
        weight, weighted = np.zeros_like(evened), np.zeros_like(evened)
        weight[brain] = 1 - probabilities[0]
        weighted[brain] = weight[brain] * ratio
        shading = gaussian_mean(weighted, SHADING_MM / voxel) / np.maximum(
            gaussian_mean(weight, SHADING_MM / voxel), 1e-3
        )
        evened = np.where(brain, evened * np.exp(-shading), evened)
        mixture = _mixture(evened[brain], scan_path)
    return evened, mixture


def _mixture(intensities: np.ndarray, scan_path: str | Path) -> Mixture:
    """Mixture of three Gaussians by expectation maximization, from the three classes of k-means.

    Raises:
        InputError: There are not three tissues.
    """
    sample = intensities[:: max(1, len(intensities) // MOST_VOXELS)].astype(float)
    if len(sample) >= len(TISSUES) and sample.std() > 0:
        start = np.percentile(sample, [5, 40, 80])
        levels, nearest = kmeans2(sample, start, minit="matrix", missing="warn")
        counts = np.bincount(nearest, minlength=3)
        if counts.min() > 0 and (np.diff(levels) > 0).all():
            spreads = np.array([sample[nearest == tissue].std() for tissue in range(3)])
            # Not narrower than steps of the stored numbers, which would be a tissue each.
            narrowest = 0.02 * (levels[2] - levels[0])
            mixture = Mixture(levels, np.maximum(spreads, narrowest), counts / len(sample))
            for _ in range(50):
                standardized = (sample - mixture.means[:, None]) / mixture.spreads[:, None]
                density = (mixture.weights / mixture.spreads)[:, None] * np.exp(-(standardized**2) / 2)
                shares = density / np.maximum(density.sum(axis=0), 1e-300)
                total = np.maximum(shares.sum(axis=1), 1e-9)
                means = (shares * sample).sum(axis=1) / total
                variances = (shares * (sample - means[:, None]) ** 2).sum(axis=1) / total
                mixture = Mixture(means, np.maximum(np.sqrt(variances), narrowest), total / total.sum())
            if (np.diff(mixture.means) > 2 * narrowest).all() and mixture.weights.min() >= LEAST_WEIGHT:
                return mixture
    low, high = np.percentile(intensities, [1, 99]) if len(intensities) else (0.0, 0.0)
    raise InputError(
        f"{scan_path}: no three tissues found in the intensities of its brain, {low:g} to {high:g}, fluid, gray and "
        "white matter of a T1 scan expected, each brighter than the one before; look at the scan and its brain mask"
    )


def gaussian_mean(volume: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Gaussian mean, sigma in voxels along each axis."""
    mean: np.ndarray = ndimage.gaussian_filter(volume, sigma, truncate=3.0)
    return mean
