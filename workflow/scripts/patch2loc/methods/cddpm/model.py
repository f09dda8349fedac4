"""Training and score of the cDDPM."""

from pathlib import Path

import pandas as pd

from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import MethodSettings, Score, State, Volumes
from patch2loc.methods.reconstruction import diffusion

TIME_STEPS = (249, 499, 749)  # of 1,000


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, pd.DataFrame]:
    """Train a network that takes noise off healthy slices, and an encoder that tells it what they look like."""
    return diffusion.fit(training, validation, settings, checkpoint, device=device)


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by the residual of the mean of three reconstructions, each one step from another time step."""
    return diffusion.scorer(state, device, precision, steps=TIME_STEPS)
