"""The random score."""

import hashlib
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
    """Nothing is learnt; the seed is the run's."""
    return {"seed": settings["seed"]}, None


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by independent uniform numbers that follow from the seed and the scan's own intensities.

    A scan has the same ones whichever scans are scored before it.
    """

    def score(volume: np.ndarray, mask: np.ndarray, region: np.ndarray) -> Maps:
        content = hashlib.sha256(np.ascontiguousarray(volume).data).digest()
        generator = np.random.default_rng([state["seed"], *content])
        numbers = generator.random(volume.shape, np.float32)
        return {"score": np.where(region, numbers, np.float32(np.nan))}

    return score
