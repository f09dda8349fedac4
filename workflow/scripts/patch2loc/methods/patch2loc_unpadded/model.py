"""Training, predictions and score of the unpadded network."""

from functools import partial
from pathlib import Path

import pandas as pd

import patch2loc.methods.patch2loc.model as patch2loc
from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.weights import with_weights
from patch2loc.heatmap import EPSILON
from patch2loc.method_interface import MethodSettings, Predictor, Score, State, Volumes
from patch2loc.network.prediction import predict
from patch2loc.network.sampling import PatchPool
from patch2loc.network.training import Settings
from patch2loc.network.unpadded import ReadyUnpadded, UnpaddedNetwork

network_input = patch2loc.network_input


def unpadded(settings: Settings) -> UnpaddedNetwork:
    """The network that is trained, as the settings say; InputError for a patch that it cannot be built for."""
    return UnpaddedNetwork(
        settings.patch, settings.widths, slice_code=settings.slice_code, heads=settings.heads
    )


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, pd.DataFrame]:
    """Train the unpadded network like Patch2Loc's."""
    pools = [PatchPool(scans, settings["patch"], device) for scans in (training, validation)]
    return patch2loc.fit_network(*pools, settings=settings, checkpoint=checkpoint, build=unpadded)


def location_network(state: State) -> UnpaddedNetwork:
    """The network of a model's state, in evaluation mode."""
    network = UnpaddedNetwork(state["patch"], state["widths"], **patch2loc.network_options(state))
    return with_weights(network, state["weights"], "cpu")


def predictor(state: State, device: Device, precision: Precision = "float32") -> Predictor:
    """Predictions at voxels of a scan as the network sees it."""
    return partial(predict, network=ReadyUnpadded(location_network(state), device, precision))


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by location error and predicted variance (paper, equation 5)."""
    network = ReadyUnpadded(location_network(state), device, precision)
    return patch2loc.network_score(network, stride, state.get("epsilon", EPSILON))
