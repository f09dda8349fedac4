"""FAE on the features of Patch2Loc's own network: an autoencoder of what a patch is located by."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from patch2loc.data.volumes import block
from patch2loc.method_interface import Volumes
from patch2loc.methods.patch2loc import location_network
from patch2loc.methods.reconstruction import feature_autoencoder
from patch2loc.methods.reconstruction.slice_features import SliceFeatures
from patch2loc.network import location

ROLE = "addition"
ORDER = 130
NETWORK = True
NEEDS = ("patch2loc",)
AS_PUBLISHED, SETTINGS = feature_autoencoder.AS_PUBLISHED, feature_autoencoder.SETTINGS


def fit(
    training: Volumes, validation: Volumes, settings: dict, checkpoint: Path | None, device: str
) -> tuple[dict, pd.DataFrame]:
    """Train an autoencoder on features of healthy slices, by the encoder of the fold's location network."""
    located = settings["models"]["patch2loc"]
    # The network knows voxels of the grid, slices may have larger ones.
    enlarge = block(settings["spacing"])
    kind = {"of": "patch2loc", "widths": list(located["widths"]), "enlarge": enlarge}
    torch.manual_seed(settings["seed"])
    extractor = SliceFeatures(location_network(located).encoder, enlarge)
    return feature_autoencoder.fit(training, validation, settings, checkpoint, device, extractor, kind)


def scorer(
    state: dict, device: str, stride: int = 1, precision: str = "float32"
) -> Callable[..., dict[str, np.ndarray]]:
    """Score by the dissimilarity of features and what the autoencoder makes of them."""
    kind = state["extractor"]
    extractor = location_features(kind["widths"], kind["enlarge"])
    return feature_autoencoder.scorer(state, device, precision, extractor)


def location_features(widths: Sequence[int], enlarge: int = 1) -> SliceFeatures:
    """Those of the encoder of a location network, with random weights.  widths: of its four layers."""
    return SliceFeatures(location.encoder(widths), enlarge)
