"""Training and score of the pDDPM, with the step of the DDPM."""

from pathlib import Path

import pandas as pd

from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import MethodSettings, Score, State, Volumes
from patch2loc.methods.ddpm.model import STEP
from patch2loc.methods.reconstruction import diffusion


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, pd.DataFrame]:
    """Train a network that takes noise off a quarter of a healthy slice."""
    return diffusion.fit(
        training, validation, settings, checkpoint, device=device, masks_of=diffusion.quarters
    )


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by the residual of a mosaic of the four quarters, each after one step with noise in it alone."""
    return diffusion.scorer(state, device, precision, steps=(STEP,), masks_of=diffusion.quarters)
