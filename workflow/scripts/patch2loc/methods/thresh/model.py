"""The score of Thresh."""

from pathlib import Path

import numpy as np

from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import Maps, MethodSettings, Score, State, Volumes


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, None]:
    """Nothing is learnt."""
    return {}, None


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by the share of the brain that is darker than a voxel."""

    def score(volume: np.ndarray, mask: np.ndarray, region: np.ndarray) -> Maps:
        brain = np.sort(volume[mask])
        equalized = np.full(volume.shape, np.nan, np.float32)
        equalized[region] = np.searchsorted(brain, volume[region], side="right") / len(brain)
        return {"score": equalized}

    return score
