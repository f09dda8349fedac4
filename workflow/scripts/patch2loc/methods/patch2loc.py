"""Patch2Loc (paper, section 2): a patch that is hard to place is abnormal."""

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from patch2loc.engine.weights import weights_of, with_weights
from patch2loc.heatmap import score_voxels
from patch2loc.method_interface import Volumes
from patch2loc.network.inference import DenseNetwork, ReadyNetwork, predict
from patch2loc.network.location import LocationNetwork, PatchNetwork
from patch2loc.network.sampling import PatchPool
from patch2loc.network.training import Settings, paper_network, train

ROLE = "table1"
ORDER = 10
LOCATES = True
NETWORK = True
CALIBRATED = True
FIELDS = {field.name for field in fields(Settings)}


def fit(
    training: Volumes, validation: Volumes, settings: dict, checkpoint: Path | None, device: str
) -> tuple[dict, pd.DataFrame]:
    """Train the location network on healthy scans."""
    pools = [PatchPool(scans, settings["patch"], device) for scans in (training, validation)]
    return fit_network(*pools, settings, checkpoint)


def fit_network(
    training: PatchPool,
    validation: PatchPool,
    settings: dict,
    checkpoint: Path | None,
    build: Callable[[Settings], PatchNetwork] = paper_network,
) -> tuple[dict, pd.DataFrame]:
    """Train a location network on pools of patches: state and history, as of `fit`; build: as of `train`."""
    chosen = Settings(**{name: value for name, value in settings.items() if name in FIELDS})
    network, history = train(training, validation, chosen, checkpoint, build=build)
    return {
        "weights": weights_of(network),
        "widths": list(chosen.widths),
        "patch": chosen.patch,
    }, pd.DataFrame(history)


def network_input(state: dict, volume: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A standardized scan as the network sees it, (x, y, z) float32: as it is."""
    return volume


def location_network(state: dict) -> LocationNetwork:
    """The network of a model's state, in evaluation mode."""
    return with_weights(LocationNetwork(state["widths"]), state["weights"], "cpu")


def predictor(
    state: dict, device: str, precision: str = "float32"
) -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Predictions at voxels of a scan as the network sees it, for the patch analysis."""
    return partial(predict, network=DenseNetwork(location_network(state), state["patch"], device, precision))


def scorer(
    state: dict, device: str, stride: int = 1, precision: str = "float32"
) -> Callable[..., dict[str, np.ndarray]]:
    """Score by location error and predicted variance (paper, equation 5)."""
    return scorer_of(DenseNetwork(location_network(state), state["patch"], device, precision), stride)


def scorer_of(network: ReadyNetwork, stride: int) -> Callable[..., dict[str, np.ndarray]]:
    """The function that `scorer` returns, of a network that is ready."""

    def score(volume: np.ndarray, mask: np.ndarray, wanted: np.ndarray) -> dict[str, np.ndarray]:
        return score_voxels(volume, wanted, network, stride)

    return score
