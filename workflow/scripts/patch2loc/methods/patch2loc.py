"""Patch2Loc (paper, section 2): a patch that is hard to place is abnormal."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from patch2loc.dense import DenseNetwork, ReadyNetwork
from patch2loc.heatmap import score_voxels
from patch2loc.methods import Volumes
from patch2loc.network import LocationNetwork, PatchNetwork
from patch2loc.sampling import PatchPool
from patch2loc.train import Settings, published, train

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
    build: Callable[[Settings], PatchNetwork] = published,
) -> tuple[dict, pd.DataFrame]:
    """Train a location network on pools of patches: state and history, as of `fit`; build: as of `train`."""
    chosen = Settings(**{name: value for name, value in settings.items() if name in FIELDS})
    network, history = train(training, validation, chosen, checkpoint, build=build)
    weights = {name: value.cpu().numpy() for name, value in network.state_dict().items()}
    return {"weights": weights, "widths": list(chosen.widths), "patch": chosen.patch}, pd.DataFrame(history)


def as_seen(state: dict, volume: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A standardised scan as the network sees it, (x, y, z) float32: as it is."""
    return volume


def location_network(state: dict) -> LocationNetwork:
    """The network of a model's state, in evaluation mode."""
    return with_weights(LocationNetwork(state["widths"]), state)


def with_weights(network: PatchNetwork, state: dict) -> PatchNetwork:
    """The network with the weights of a model's state, in evaluation mode."""
    network.load_state_dict({name: torch.from_numpy(value) for name, value in state["weights"].items()})
    return network.eval()


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
