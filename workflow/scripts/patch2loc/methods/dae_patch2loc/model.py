"""The U-Net of the DAE with features of Patch2Loc, its training and its score."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

import patch2loc.methods.dae.model as dae
from patch2loc.data.volumes import block
from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.weights import weights_of, with_weights
from patch2loc.method_interface import MethodSettings, Score, State, Volumes
from patch2loc.methods.patch2loc.model import location_network
from patch2loc.methods.reconstruction.patch_features import PatchFeatures
from patch2loc.network import location

REDUCTION = 8  # voxels of a slice to a place of the bottleneck


class LocatedUNet(dae.UNet):
    """The U-Net of dae, with features of patches added to its bottleneck by a 1 x 1 convolution.

    The convolution starts at zero: the untrained network is that of dae with the same seed.

    Args:
        widths: As of `dae.UNet`.
        features: Of the patches around the places of the bottleneck.
        channels: Of the features.
    """

    def __init__(self, widths: Sequence[int], features: PatchFeatures, channels: int) -> None:
        super().__init__(widths)
        self.mix = nn.Conv2d(channels, widths[-1], 1, bias=False)
        nn.init.zeros_(self.mix.weight)
        self.features = features

    def forward(self, slices: Tensor) -> Tensor:
        """Slices without their noise.  The features are those of the noisy slices: clean ones would tell the answer."""
        *skipped, bottleneck = self.levels(slices)
        return self.restored([*skipped, bottleneck + self.mix(self.features(slices))])


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, pd.DataFrame]:
    """Train a U-Net to take noise off healthy slices, by the encoder of the fold's location network."""
    of_location = settings["models"]["patch2loc"]
    kind = {"widths": list(of_location["widths"]), "patch": of_location["patch"]}
    features = patch_features(location_network(of_location).encoder, kind["patch"], settings["spacing"])
    torch.manual_seed(settings["seed"])
    network = LocatedUNet(settings["widths"], features, kind["widths"][-1]).to(device)
    history = dae.fit_network(
        network, training, validation, settings=settings, checkpoint=checkpoint, device=device
    )
    state = {"weights": weights_of(network), "widths": list(settings["widths"]), "location": kind}
    return state | {"spacing": settings["spacing"]}, history


def patch_features(encoder: nn.Module, patch: int, spacing: float) -> PatchFeatures:
    """Features at the places of the bottleneck, on a grid of a voxel size, mm: slices may have larger voxels."""
    return PatchFeatures(encoder, patch, reduction=REDUCTION, enlarge=block(spacing))


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score as dae does: by the absolute difference of a slice and its foreground as the network restores it."""
    kind, spacing = state["location"], state["spacing"]
    features = patch_features(location.encoder(kind["widths"]), kind["patch"], spacing)
    network = LocatedUNet(state["widths"], features, kind["widths"][-1])
    return dae.network_score(with_weights(network, state["weights"], device), spacing, device, precision)
