"""AE (Baur et al. 2021): a dense autoencoder of axial slices; what it does not reconstruct is abnormal."""

from pathlib import Path

import pandas as pd

from patch2loc.method_interface import Volumes
from patch2loc.methods.reconstruction import autoencoder

ROLE = "table1"
ORDER = 80
NETWORK = True
AS_PUBLISHED, SETTINGS = autoencoder.AS_PUBLISHED, autoencoder.SETTINGS


def fit(
    training: Volumes, validation: Volumes, settings: dict, checkpoint: Path | None, device: str
) -> tuple[dict, pd.DataFrame]:
    """Train a dense autoencoder on healthy slices."""
    return autoencoder.fit(training, validation, settings, checkpoint, device, variational=False)


scorer = autoencoder.scorer
