"""RA (Bercea et al. 2023): reversed autoencoders; what they do not reconstruct, and networks see, is abnormal."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from patch2loc.engine.weights import weights_of, with_weights
from patch2loc.method_interface import Volumes
from patch2loc.methods.reconstruction.residual import residual_score
from patch2loc.methods.reconstruction.reversed_autoencoder import (
    ReversedAutoencoder,
    losses,
    mean_squared_error,
    moved,
    optimizers,
)
from patch2loc.methods.reconstruction.saliency import (
    Perception,
    clahe,
    kind_of,
    perception,
    perception_weights,
    saliency,
    smoothed,
)
from patch2loc.methods.reconstruction.slice_pools import SlicePool
from patch2loc.methods.reconstruction.training import train

ROLE = "table1"
ORDER = 140
NETWORK = True
PRETRAINED = ("squeezenet1_1_imagenet",)
PAPER = {
    "steps": 72000,
    "batch": 8,
    "learning_rate": 5e-5,
    "widths": [64, 128, 256, 512, 512],
    "latent": 128,
    "validations": 60,
    "validation_slices": 512,
}
SETTINGS = {
    "smoke": PAPER
    | {"steps": 240, "batch": 4, "learning_rate": 1e-3, "widths": [8, 16, 32, 64, 64], "latent": 64}
    | {"validations": 5, "validation_slices": 64},
    "short": PAPER | {"steps": 18000, "validations": 20},
    "paper": PAPER,
}
AS_PUBLISHED = {"erosion": 0, "median": 1}  # the authors' score, as it is


def anomaly(perceived: Perception | None, slices: Tensor, reconstructed: Tensor, brain: Tensor) -> Tensor:
    """The authors' score: the absolute difference after equalized contrast, times the saliency of before and after it.

    All (n, 1, x, y); 0 outside the brain (boolean).  perceived: of `saliency.perception`; with None, where there are no
    perceptual distances, the difference times itself smoothed.
    """
    equalized, others = clahe(slices, brain), clahe(reconstructed, brain)
    residual = (equalized - others).abs()
    if perceived is None:
        return residual * smoothed(residual)
    return residual * saliency(perceived, slices, reconstructed) * saliency(perceived, equalized, others)


def fit(
    training: Volumes, validation: Volumes, settings: dict, checkpoint: Path | None, device: str
) -> tuple[dict, pd.DataFrame]:
    """Train a reversed autoencoder on healthy slices."""
    perceived = perception_weights(settings["pretrained"])
    multiple = multiple_of(settings)
    pools = [SlicePool(scans, device, settings["spacing"], multiple) for scans in (training, validation)]
    built = {"shape": list(pools[0].shape), "widths": list(settings["widths"]), "latent": settings["latent"]}
    torch.manual_seed(settings["seed"])
    network = ReversedAutoencoder(**built).to(device)

    def turns(
        network: nn.Module, slices: Tensor, masks: Tensor, generator: torch.Generator
    ) -> Iterator[Tensor]:
        return losses(network, moved(slices, generator), masks, generator)

    own = {**settings, "precision": "float32"}  # the exponentials of the encoder's loss need it
    adams = optimizers(network, settings["learning_rate"])
    history = train(network, turns, *pools, own, checkpoint, adams, measure=mean_squared_error)
    state = {
        "weights": weights_of(network),
        "network": built,
        "perception": perceived,
        "spacing": settings["spacing"],
    }
    return state, history.assign(saliency=kind_of(perceived))


def scorer(
    state: dict, device: str, stride: int = 1, precision: str = "float32"
) -> Callable[..., dict[str, np.ndarray]]:
    """Score by the absolute residual of reconstructions by the mean code; as published by `anomaly`."""
    network = with_weights(ReversedAutoencoder(**state["network"]), state["weights"], device)
    perceived = perception(state["perception"], device)

    def as_published(slices: Tensor, reconstructed: Tensor, brain: Tensor) -> Tensor:
        return anomaly(perceived, slices, reconstructed, brain)

    multiple = multiple_of(state["network"])
    return residual_score(network, device, state["spacing"], precision, multiple, as_published=as_published)


def multiple_of(network: Mapping[str, Any]) -> int:
    """What the sides of slices are multiples of, voxels.  network: with widths of `ReversedAutoencoder`."""
    return 2 ** len(network["widths"])
