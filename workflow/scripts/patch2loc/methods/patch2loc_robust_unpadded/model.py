"""Training and score of the unpadded network on leveled scans."""

from pathlib import Path

import pandas as pd

import patch2loc.methods.patch2loc_robust.model as patch2loc_robust
import patch2loc.methods.patch2loc_unpadded.model as patch2loc_unpadded
from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import MethodSettings, Score, State, Volumes

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
