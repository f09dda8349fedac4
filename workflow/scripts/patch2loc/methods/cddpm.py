"""cDDPM (Behrendt et al. 2025): as ddpm, with a description of the clean slice as a hint."""

from pathlib import Path

import pandas as pd

from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import MethodSettings, Score, State, Volumes
from patch2loc.methods import ddpm
from patch2loc.methods.ddpm import AS_PUBLISHED, STATE
from patch2loc.methods.reconstruction import diffusion

ROLE = "table1"
ORDER = 180
NETWORK = True

__all__ = ["AS_PUBLISHED", "SETTINGS", "STATE", "fit", "scorer"]

TIME_STEPS = (249, 499, 749)  # of 1,000
ENCODER = {"encoder_widths": [64, 128, 256, 512]}
SETTINGS = {
    "smoke": ddpm.SETTINGS["smoke"] | {"encoder_widths": [8, 16, 32, 64], "pretraining_steps": 60},
    "short": ddpm.SETTINGS["short"] | ENCODER | {"steps": 3600, "pretraining_steps": 3600},
    "paper": ddpm.SETTINGS["paper"] | ENCODER | {"steps": 14400, "pretraining_steps": 14400},
}


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
