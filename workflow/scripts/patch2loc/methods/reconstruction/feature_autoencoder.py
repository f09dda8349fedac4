"""Autoencoders of a slice's features (Meissen et al. 2022): features that are not reconstructed are abnormal."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.precision import PRECISIONS
from patch2loc.engine.weights import weights_of, with_weights
from patch2loc.method_interface import MethodSettings, Score, State, Volumes
from patch2loc.methods.reconstruction.output_layer import OutputConv2d
from patch2loc.methods.reconstruction.residual import slice_score
from patch2loc.methods.reconstruction.slice_features import SliceFeatures
from patch2loc.methods.reconstruction.slice_pools import SlicePool
from patch2loc.methods.reconstruction.structural_similarity import structural_similarity
from patch2loc.methods.reconstruction.training import train

SLOPE, DROPOUT = 0.01, 0.1


class FeatureAutoencoder(nn.Module):
    """Feature maps through a bottleneck of a sixteenth of their size and back, (n, channels, x, y).

    Args:
        channels: Of the features.
        widths: Channels of the four layers of the encoder.
    """

    def __init__(self, channels: int, widths: Sequence[int] = (100, 150, 200, 300)) -> None:
        super().__init__()

        def activated(layer: nn.Module, width: int) -> nn.Sequential:
            return nn.Sequential(layer, nn.BatchNorm2d(width), nn.LeakyReLU(SLOPE), nn.Dropout2d(DROPOUT))

        self.down = nn.ModuleList(
            activated(nn.Conv2d(before, after, 5, 2, 2, bias=False), after)
            for before, after in pairwise((channels, *widths))
        )
        self.bottleneck = nn.Conv2d(widths[-1], widths[-1], 5, padding=2)
        self.up = nn.ModuleList(
            activated(nn.ConvTranspose2d(before, after, 6, 2, 2, bias=False), after)
            for before, after in pairwise((*reversed(widths), channels))
        )
        self.last = OutputConv2d(channels, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Reconstructions of feature maps."""
        sizes = []
        for layer in self.down:
            sizes.append(maps.shape[2:])
            maps = layer(maps)
        maps = self.bottleneck(maps)
        for layer, (x, y) in zip(self.up, reversed(sizes), strict=True):
            maps = layer(maps)[..., :x, :y]  # of an odd size the encoder has rounded the half up
        reconstructed: Tensor = self.last(maps)
        return reconstructed


def dissimilarity(network: FeatureAutoencoder, features: Tensor) -> Tensor:
    """1 less the structural similarity of features and their reconstructions, mean over channels, (n, 1, x, y)."""
    reconstructed = network(features)
    # The variances are differences of means: half precision has too few digits for them.
    with torch.autocast(features.device.type, enabled=False):
        similarity = structural_similarity(reconstructed.float(), features.float())
    return (1 - similarity.mean(dim=1, keepdim=True)).clamp(min=0)  # what is alike, but for rounding


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
    extractor: SliceFeatures,
    kind: Mapping[str, Any],
) -> tuple[State, pd.DataFrame]:
    """Train an autoencoder on features of healthy slices.

    Args:
        training: As of a method.
        validation: As of a method.
        settings: Those of `training.train`, and widths and spacing.
        checkpoint: As of a method.
        device: As of a method.
        extractor: Initialized after torch.manual_seed(settings["seed"]), as the autoencoder is after it.
        kind: Description of the extractor for the state: `of`, which the history says too, and what builds it again.
    """
    pools = [SlicePool(scans, device, settings["spacing"]) for scans in (training, validation)]
    extractor = extractor.to(device).to(memory_format=torch.channels_last)

    def loss(
        network: FeatureAutoencoder, slices: Tensor, masks: Tensor, generator: torch.Generator
    ) -> Tensor:
        return dissimilarity(network, extractor(slices)).mean()

    arguments = {"channels": extractor.channels, "widths": list(settings["widths"])}
    network = FeatureAutoencoder(**arguments).to(device)
    history = train(network, loss, *pools, settings=settings, checkpoint=checkpoint)
    state = {
        "weights": weights_of(network),
        "network": arguments,
        "extractor": {**kind, "weights": weights_of(extractor)},
        "spacing": settings["spacing"],
    }
    return state, history.assign(extractor=kind["of"])


def scorer(state: State, device: Device, precision: Precision, extractor: SliceFeatures) -> Score:
    """Score by the dissimilarity of features, interpolated to the slice: 0 to 2.

    extractor: built as the state's `extractor` says; gets its weights.
    """
    network = with_weights(FeatureAutoencoder(**state["network"]), state["weights"], device)
    extractor = with_weights(extractor, state["extractor"]["weights"], device)

    def maps_of(slices: Tensor, brain: Tensor) -> dict[str, Tensor]:
        with torch.autocast(slices.device.type, PRECISIONS[precision], enabled=precision != "float32"):
            places = dissimilarity(network, extractor(slices))
        return {
            "score": functional.interpolate(places, slices.shape[2:], mode="bilinear", align_corners=True)
        }

    return slice_score(maps_of, device, state["spacing"])
