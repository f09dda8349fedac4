"""Patch2Loc for other scanners by the network of patch2loc_unpadded, not the paper's."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from patch2loc.method_interface import Volumes
from patch2loc.methods import patch2loc_robust, patch2loc_unpadded

ROLE = "variant"
ORDER = 50
LOCATES = True
NETWORK = True
CALIBRATED = True
OWN_SETTINGS, CHOICES = patch2loc_robust.OWN_SETTINGS, patch2loc_robust.CHOICES

network_input = patch2loc_robust.network_input
predictor = patch2loc_unpadded.predictor


def fit(
    training: Volumes, validation: Volumes, settings: dict, checkpoint: Path | None, device: str
) -> tuple[dict, pd.DataFrame]:
    """Train the unpadded network as patch2loc_robust trains the published one."""
    return patch2loc_robust.fit_robust(
        "patch2loc_robust_unpadded",
        training,
        validation,
        settings,
        checkpoint,
        device,
        patch2loc_unpadded.unpadded,
    )


def scorer(
    state: dict, device: str, stride: int = 1, precision: str = "float32"
) -> Callable[..., dict[str, np.ndarray]]:
    """Score scans as the network sees them, as patch2loc_unpadded does."""
    return patch2loc_robust.scoring_seen(patch2loc_unpadded.scorer(state, device, stride, precision), state)
