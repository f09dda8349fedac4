"""Training, predictions and score of the paper's location network."""

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.weights import weights_of, with_weights
from patch2loc.errors import InputError
from patch2loc.heatmap import EPSILON, score_maps
from patch2loc.method_interface import Maps, MethodSettings, Predictor, Score, State, Volumes
from patch2loc.network.inference import DenseNetwork
from patch2loc.network.location import LocationNetwork, PatchNetwork
from patch2loc.network.prediction import predict
from patch2loc.network.ready import ReadyNetwork
from patch2loc.network.sampling import PatchPool
from patch2loc.network.training import Settings, paper_network, train

SETTINGS_OF_TRAINING = {field.name for field in fields(Settings)}
NAME_OF_NETWORK = "network"  # in the configuration's `training`, for tables and figures


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, pd.DataFrame]:
    """Train the location network on healthy scans."""
    pools = [PatchPool(scans, settings["patch"], device) for scans in (training, validation)]
    return fit_network(*pools, settings=settings, checkpoint=checkpoint)


def fit_network(
    training: PatchPool,
    validation: PatchPool,
    *,
    settings: MethodSettings,
    checkpoint: Path | None,
    build: Callable[[Settings], PatchNetwork] = paper_network,
) -> tuple[State, pd.DataFrame]:
    """Train a location network on pools of patches; return state and history, as of `fit`.

    Args:
        training: Patches to learn from.
        validation: Patches to choose by.
        settings: Those of `network.training.Settings`.
        checkpoint: As of `fit`.
        build: Makes the network that is trained.

    Raises:
        InputError: For a setting that the training does not have.
    """
    unknown = sorted(set(settings) - SETTINGS_OF_TRAINING - {NAME_OF_NETWORK})
    if unknown:
        raise InputError(
            f"training: {', '.join(unknown)} found, of {', '.join(sorted(SETTINGS_OF_TRAINING))} expected; correct "
            "the names"
        )
    training_settings = Settings(
        **{name: value for name, value in settings.items() if name != NAME_OF_NETWORK}
    )
    network, history = train(training, validation, training_settings, checkpoint, build=build)
    return {
        "weights": weights_of(network),
        "widths": list(training_settings.widths),
        "patch": training_settings.patch,
        "slice_code": training_settings.slice_code,
        "heads": training_settings.heads,
    }, pd.DataFrame(history)


def network_input(state: State, volume: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A standardized scan as the network sees it, (x, y, z) float32: unchanged."""
    return volume


def location_network(state: State) -> LocationNetwork:
    """The network of a model's state, in evaluation mode."""
    return with_weights(LocationNetwork(state["widths"], **network_options(state)), state["weights"], "cpu")


def network_options(state: State) -> dict[str, Any]:
    """How the network of a model's state differs from the paper's besides its widths: arguments of `PatchNetwork`."""
    return {name: state[name] for name in ("slice_code", "heads") if state.get(name) is not None}


def predictor(state: State, device: Device, precision: Precision = "float32") -> Predictor:
    """Predictions at voxels of a scan as the network sees it, for the patch analysis."""
    return partial(predict, network=_ready(state, device, precision))


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by location error and predicted variance (paper, equation 5)."""
    return network_score(_ready(state, device, precision), stride, state.get("epsilon", EPSILON))


def network_score(network: ReadyNetwork, stride: int, epsilon: float = EPSILON) -> Score:
    """The score of a location network that is ready to predict."""

    def score(volume: np.ndarray, mask: np.ndarray, region: np.ndarray) -> Maps:
        return score_maps(volume, region, network, stride, epsilon=epsilon)

    return score


def _ready(state: State, device: Device, precision: Precision) -> DenseNetwork:
    return DenseNetwork(location_network(state), state["patch"], device, precision)
