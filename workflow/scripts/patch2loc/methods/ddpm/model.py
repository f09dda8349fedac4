"""Training and score of the DDPM."""

from pathlib import Path

import pandas as pd

from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import MethodSettings, Score, State, Volumes
from patch2loc.methods.reconstruction import diffusion

STEP = 499  # of 1,000: half of the slice's variance is left


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, pd.DataFrame]:
    """Train a network that takes noise off healthy slices."""
    return diffusion.fit(training, validation, settings, checkpoint, device=device)


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by the residual after one step from the middle of the schedule."""
    return diffusion.scorer(state, device, precision, steps=(STEP,))
