"""Training and score of the AE, on a dense autoencoder of slices."""

from pathlib import Path

import pandas as pd

from patch2loc.engine.choices import Device
from patch2loc.method_interface import MethodSettings, State, Volumes
from patch2loc.methods.reconstruction import autoencoder


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, pd.DataFrame]:
    """Train a dense autoencoder on healthy slices."""
    return autoencoder.fit(training, validation, settings, checkpoint, device=device, variational=False)


scorer = autoencoder.scorer
