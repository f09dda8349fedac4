"""The score that is given the lesion."""

from pathlib import Path

import numpy as np
from scipy.ndimage import correlate1d

from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import LesionScore, Maps, MethodSettings, State, Volumes


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, None]:
    """Nothing is learnt; the patch is the run's."""
    return {"patch": settings["patch"]}, None


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> LesionScore:
    """Score by the share of lesion in the patch around a voxel; 0 everywhere in a scan without lesion."""

    def score(volume: np.ndarray, mask: np.ndarray, region: np.ndarray, lesion: np.ndarray) -> Maps:
        # The patches of `patch2loc.network.patches`, without torch, whose import takes longer than a scan.
        ones, counts = np.ones(state["patch"], np.float32), lesion.astype(np.float32)
        for axis in (0, 1):
            counts = correlate1d(counts, ones, axis, mode="constant")
        return {"score": np.where(region, counts / state["patch"] ** 2, np.nan).astype(np.float32)}

    return score
