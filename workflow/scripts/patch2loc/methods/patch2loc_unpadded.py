"""Patch2Loc by a network that never pads inside a patch, not the paper's: a slice is one dense pass."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from patch2loc.engine.weights import with_weights
from patch2loc.method_interface import Volumes
from patch2loc.methods import patch2loc
from patch2loc.network.inference import predict
from patch2loc.network.sampling import PatchPool
from patch2loc.network.training import Settings
from patch2loc.network.unpadded import ReadyUnpadded, UnpaddedNetwork

ROLE = "variant"
ORDER = 40
LOCATES = True
NETWORK = True
CALIBRATED = True

network_input = patch2loc.network_input


def unpadded(settings: Settings) -> UnpaddedNetwork:
    """The network that is trained, as the settings say; InputError for a patch that it cannot be built for."""
    return UnpaddedNetwork(settings.patch, settings.widths)


def fit(
    training: Volumes, validation: Volumes, settings: dict, checkpoint: Path | None, device: str
) -> tuple[dict, pd.DataFrame]:
    """Train the unpadded network as Patch2Loc trains the published one."""
    pools = [PatchPool(scans, settings["patch"], device) for scans in (training, validation)]
    return patch2loc.fit_network(*pools, settings, checkpoint, unpadded)


def location_network(state: dict) -> UnpaddedNetwork:
    """The network of a model's state, in evaluation mode."""
    return with_weights(UnpaddedNetwork(state["patch"], state["widths"]), state["weights"], "cpu")


def predictor(
    state: dict, device: str, precision: str = "float32"
) -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Predictions at voxels of a scan as the network sees it."""
    return partial(predict, network=ReadyUnpadded(location_network(state), device, precision))


def scorer(
    state: dict, device: str, stride: int = 1, precision: str = "float32"
) -> Callable[..., dict[str, np.ndarray]]:
    """Score by location error and predicted variance (paper, equation 5)."""
    return patch2loc.scorer_of(ReadyUnpadded(location_network(state), device, precision), stride)
