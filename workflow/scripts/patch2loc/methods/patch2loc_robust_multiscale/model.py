"""Training of unpadded networks on leveled scans, and the mean of their scores."""

from functools import partial
from pathlib import Path

import pandas as pd

import patch2loc.methods.patch2loc_multiscale.model as patch2loc_multiscale
import patch2loc.methods.patch2loc_robust.model as patch2loc_robust
import patch2loc.methods.patch2loc_unpadded.model as patch2loc_unpadded
from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import MethodSettings, Predictor, Score, State, Volumes

network_input = patch2loc_robust.network_input


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, pd.DataFrame]:
    """Train the unpadded networks as patch2loc_multiscale trains the paper's, on leveled scans and changed patches."""
    name = "patch2loc_robust_multiscale"
    settings_of_networks = patch2loc_multiscale.network_settings(settings, name)
    leveling = patch2loc_robust.leveling_of(training, settings)
    networks, history = patch2loc_multiscale.fit_networks(
        patch2loc_robust.leveled_scans(training, leveling),
        patch2loc_robust.leveled_scans(validation, leveling),
        settings_of_networks,
        checkpoint,
        device=device,
        fit_one=partial(patch2loc_robust.fit_changed, build=patch2loc_unpadded.unpadded),
    )
    return {"networks": networks, "patch": settings["patch"]} | leveling, history


def predictor(state: State, device: Device, precision: Precision = "float32") -> Predictor:
    """Mean predictions of the networks at voxels of a scan as they see it."""
    networks = patch2loc_multiscale.by_width(state)
    return patch2loc_multiscale.mean_predictor(
        [patch2loc_unpadded.predictor(network, device, precision) for network in networks]
    )


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score scans as the networks see them, by the mean of the networks' maps."""
    networks = patch2loc_multiscale.by_width(state)
    score = patch2loc_multiscale.mean_score(
        [patch2loc_unpadded.scorer(network, device, stride, precision) for network in networks]
    )
    return patch2loc_robust.with_network_input(score, state)
