"""The statistics of the local texture, and its score."""

from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

import patch2loc.methods.zscore.model as zscore
from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import Maps, MethodSettings, Score, State, Volumes

WINDOW_MM = 4.0  # standard deviation of the Gaussian window
MINIMUM_SPREAD = 0.01  # of the 98th percentile; a fifth of that of the intensities


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, None]:
    """Mean and standard deviation of the texture of the training scans at every voxel."""
    window = WINDOW_MM / settings["spacing"]
    textures = (local_spread(volume, mask, window) for volume, mask in training)
    return {**zscore.mean_and_spread(textures, MINIMUM_SPREAD), "window": window}, None


def local_spread(volume: np.ndarray, mask: np.ndarray, window: float) -> np.ndarray:
    """Standard deviation of the intensities in a Gaussian window around each voxel, those of the brain alone.

    Args:
        volume: (x, y, z) float32.
        mask: The brain, (x, y, z) boolean.
        window: Standard deviation of the window, voxels.

    Returns:
        (x, y, z) float32, 0 far from the brain.
    """
    share = gaussian_filter(mask.astype(np.float32), window, mode="constant")
    inside = np.where(mask, volume, 0).astype(np.float32)
    mean, mean_square = (
        gaussian_filter(values, window, mode="constant") / np.maximum(share, 1e-3)
        for values in (inside, inside**2)
    )
    return np.where(share > 1e-3, np.sqrt(np.maximum(mean_square - mean**2, 0)), 0).astype(np.float32)


def signed_scorer(state: State, sign: int) -> Score:
    """Score by the z-score of the texture, times a sign: 1 more texture, -1 less texture is abnormal."""
    return _of_texture(zscore.signed_scorer(state, sign), state["window"])


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by the absolute z-score of the texture."""
    return _of_texture(zscore.scorer(state, device), state["window"])


def _of_texture(of_intensities: Score, window: float) -> Score:
    """A score of intensities, applied to the texture of a scan."""

    def score(volume: np.ndarray, mask: np.ndarray, region: np.ndarray) -> Maps:
        return of_intensities(local_spread(volume, mask, window), mask, region)

    return score
