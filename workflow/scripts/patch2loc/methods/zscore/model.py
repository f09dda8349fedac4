"""The statistics of the z-score, and its score."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import Maps, MethodSettings, Score, State, Volumes

MINIMUM_SPREAD = 0.05  # of the 98th percentile; keeps places that few training brains reach from dominating


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, None]:
    """Mean and standard deviation of the training scans at every voxel."""
    return mean_and_spread((volume for volume, _ in training), MINIMUM_SPREAD), None


def mean_and_spread(maps: Iterable[np.ndarray], minimum_spread: float) -> State:
    """Mean and standard deviation at every voxel, in one pass (Welford).

    Args:
        maps: Maps on one grid, (x, y, z) float32, at least one.
        minimum_spread: Standard deviation at least.

    Returns:
        mean and spread, (x, y, z) float32.
    """
    mean: np.ndarray = np.zeros((), np.float32)
    squares: np.ndarray = np.zeros((), np.float32)
    count = 0
    for count, values in enumerate(maps, start=1):
        difference = values - mean
        mean = mean + difference / count
        squares = squares + difference * (values - mean)
    spread = np.sqrt(squares / max(count - 1, 1))
    return {
        "mean": mean.astype(np.float32),
        "spread": np.maximum(spread, minimum_spread).astype(np.float32),
    }


def signed_scorer(state: State, sign: int) -> Score:
    """Score by (intensity - mean) / standard deviation at the voxel, times a sign: 1 bright, -1 dark is abnormal."""
    mean, spread = state["mean"], state["spread"]

    def score(volume: np.ndarray, mask: np.ndarray, region: np.ndarray) -> Maps:
        return {"score": np.where(region, sign * (volume - mean) / spread, np.nan).astype(np.float32)}

    return score


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by |intensity - mean| / standard deviation at the voxel."""
    bright = signed_scorer(state, 1)

    def score(volume: np.ndarray, mask: np.ndarray, region: np.ndarray) -> Maps:
        return {"score": np.abs(bright(volume, mask, region)["score"])}

    return score
