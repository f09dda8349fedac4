"""VAE (Baur et al. 2021): a dense variational autoencoder of axial slices; the residual is the score."""

from pathlib import Path

import pandas as pd

from patch2loc.engine.choices import Device
from patch2loc.method_interface import MethodSettings, State, Volumes
from patch2loc.methods.reconstruction import autoencoder

ROLE = "table1"
ORDER = 90
NETWORK = True
SETTINGS = {budget: settings | {"dropout": 0.1} for budget, settings in autoencoder.SETTINGS.items()}
AS_PUBLISHED = autoencoder.AS_PUBLISHED
STATE = autoencoder.STATE


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, pd.DataFrame]:
    """Train a variational autoencoder on healthy slices."""
    return autoencoder.fit(training, validation, settings, checkpoint, device=device, variational=True)


scorer = autoencoder.scorer
