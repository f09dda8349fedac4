"""VAE (Baur et al. 2021): a dense variational autoencoder of axial slices; the residual is the score."""

from pathlib import Path

import pandas as pd

from patch2loc.method_interface import Volumes
from patch2loc.methods.reconstruction import autoencoder

ROLE = "table1"
ORDER = 90
NETWORK = True
SETTINGS = {budget: chosen | {"dropout": 0.1} for budget, chosen in autoencoder.SETTINGS.items()}
AS_PUBLISHED = autoencoder.AS_PUBLISHED


def fit(
    training: Volumes, validation: Volumes, settings: dict, checkpoint: Path | None, device: str
) -> tuple[dict, pd.DataFrame]:
    """Train a variational autoencoder on healthy slices."""
    return autoencoder.fit(training, validation, settings, checkpoint, device, variational=True)


scorer = autoencoder.scorer
