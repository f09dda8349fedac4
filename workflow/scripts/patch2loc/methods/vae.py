"""VAE (Baur et al. 2021): a dense variational autoencoder of axial slices; the residual is the score."""

from pathlib import Path

import pandas as pd

from patch2loc import autoencoder
from patch2loc.methods import Volumes

PAPER = {
    "steps": 19200,
    "batch": 32,
    "learning_rate": 1e-4,
    "widths": [32, 64, 128, 128],
    "latent": 128,
    "dropout": 0.1,
    "validations": 60,
    "validation_slices": 512,
}
SETTINGS = {
    "smoke": PAPER
    | {"steps": 800, "batch": 16, "learning_rate": 1e-3, "widths": [16, 32, 64, 64], "latent": 64}
    | {"validations": 8, "validation_slices": 64},
    "short": PAPER | {"steps": 4800, "learning_rate": 4e-4, "validations": 20},
    "paper": PAPER,
}
NATIVE = {"erosion": 3, "median": 5}


def fit(
    training: Volumes, validation: Volumes, settings: dict, checkpoint: Path | None, device: str
) -> tuple[dict, pd.DataFrame]:
    """Train a variational autoencoder on healthy slices."""
    return autoencoder.fit(training, validation, settings, checkpoint, device, variational=True)


scorer = autoencoder.scorer
