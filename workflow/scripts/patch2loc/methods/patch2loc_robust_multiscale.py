"""Patch2Loc at several patch sizes for other scanners, not the paper's: the mean of patch2loc_robust_unpadded's scores.

Each size has a network of its own; the scans of all are leveled to the same reference.
"""

from functools import partial
from pathlib import Path

import pandas as pd

from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import MethodSettings, Predictor, Score, State, StateKinds, Volumes
from patch2loc.methods import patch2loc_multiscale, patch2loc_robust, patch2loc_unpadded

ROLE = "variant"
ORDER = 56
LOCATES = True
NETWORK = True
CALIBRATED = True
OWN_SETTINGS = patch2loc_multiscale.OWN_SETTINGS | patch2loc_robust.OWN_SETTINGS
CHOICES = patch2loc_robust.CHOICES
STATE = patch2loc_multiscale.STATE
OPTIONAL_STATE: StateKinds = {"reference": "map", "spacing": "spacing"}  # of leveling, for all networks

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
    patch2loc_robust.check_changes(name, settings)
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
