"""Patch2Loc for other scanners by the network of patch2loc_unpadded, not the paper's."""

from pathlib import Path

import pandas as pd

from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import MethodSettings, Score, State, Volumes
from patch2loc.methods import patch2loc_robust, patch2loc_unpadded

ROLE = "variant"
ORDER = 50
LOCATES = True
NETWORK = True
CALIBRATED = True
OWN_SETTINGS, CHOICES = patch2loc_robust.OWN_SETTINGS, patch2loc_robust.CHOICES
STATE, OPTIONAL_STATE = patch2loc_robust.STATE, patch2loc_robust.OPTIONAL_STATE

network_input = patch2loc_robust.network_input
predictor = patch2loc_unpadded.predictor


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, pd.DataFrame]:
    """Train the unpadded network as patch2loc_robust trains the paper's."""
    return patch2loc_robust.fit_robust(
        "patch2loc_robust_unpadded",
        training,
        validation,
        settings=settings,
        checkpoint=checkpoint,
        device=device,
        build=patch2loc_unpadded.unpadded,
    )


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score scans as the network sees them, as patch2loc_unpadded does."""
    return patch2loc_robust.with_network_input(
        patch2loc_unpadded.scorer(state, device, stride, precision), state
    )
