"""DDPM (Wyatt et al. 2022, as in Behrendt et al. 2024): what one step of denoising does not give back is abnormal."""

from pathlib import Path

import pandas as pd

from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import MethodSettings, Score, State, StateKinds, Volumes
from patch2loc.methods.reconstruction import diffusion

ROLE = "table1"
ORDER = 160
NETWORK = True
STEP = 499  # of 1,000: half of the slice's variance is left
PAPER = {
    "widths": [128, 256, 256],
    "blocks": 3,
    "noise_fields": 64,
    "steps": 19200,
    "batch": 32,
    "learning_rate": 1e-4,
    "validations": 40,
    "validation_slices": 256,
}
SETTINGS = {
    "smoke": PAPER
    | {
        "widths": [8, 16, 32],
        "blocks": 1,
        "noise_fields": 4,
        "steps": 200,
        "batch": 4,
        "learning_rate": 3e-3,
        "validations": 5,
        "validation_slices": 16,
    },
    "short": PAPER | {"steps": 4800, "validations": 20},
    "paper": PAPER,
}
AS_PUBLISHED = {"erosion": 3, "median": 5}
STATE: StateKinds = {"weights": "weights", "network": "dictionary", "spacing": "spacing", "noise": "array"}


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
