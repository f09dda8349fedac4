"""Training and score of the FAE on features of Patch2Loc."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from patch2loc.data.volumes import block
from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import MethodSettings, Score, State, Volumes
from patch2loc.methods.patch2loc.model import location_network
from patch2loc.methods.reconstruction import feature_autoencoder
from patch2loc.methods.reconstruction.slice_features import SliceFeatures
from patch2loc.network import location


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, pd.DataFrame]:
    """Train an autoencoder on features of healthy slices, by the encoder of the fold's location network."""
    location_state = settings["models"]["patch2loc"]
    # The network knows voxels of the grid, slices may have larger ones.
    enlarge = block(settings["spacing"])
    kind = {"of": "patch2loc", "widths": list(location_state["widths"]), "enlarge": enlarge}
    torch.manual_seed(settings["seed"])
    extractor = SliceFeatures(location_network(location_state).encoder, enlarge)
    return feature_autoencoder.fit(
        training, validation, settings, checkpoint, device=device, extractor=extractor, kind=kind
    )


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by the dissimilarity of features and their reconstructions."""
    kind = state["extractor"]
    extractor = location_features(kind["widths"], kind["enlarge"])
    return feature_autoencoder.scorer(state, device, precision, extractor)


def location_features(widths: Sequence[int], enlarge: int = 1) -> SliceFeatures:
    """Features of the encoder of a location network, with random weights.  widths: of its four layers."""
    return SliceFeatures(location.encoder(widths), enlarge)
