"""Training and score of the RA, on a reversed autoencoder."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.weights import weights_of, with_weights
from patch2loc.method_interface import MethodSettings, Score, State, Volumes
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
    perception,
    perception_weights,
    saliency,
    saliency_kind,
    smoothed,
)
from patch2loc.methods.reconstruction.slice_pools import SlicePool
from patch2loc.methods.reconstruction.training import train_in_turns


def anomaly(perceived: Perception | None, slices: Tensor, reconstructed: Tensor, brain: Tensor) -> Tensor:
    """The authors' score: the absolute difference after equalized contrast, times the saliency of before and after it.

    Args:
        perceived: Network of `saliency.perception`; with None, where there are no perceptual distances, the difference
            is multiplied with itself smoothed.
        slices: (n, 1, x, y).
        reconstructed: (n, 1, x, y).
        brain: (n, 1, x, y) boolean.

    Returns:
        (n, 1, x, y), 0 outside the brain.
    """
    equalized, others = clahe(slices, brain), clahe(reconstructed, brain)
    residual = (equalized - others).abs()
    if perceived is None:
        return residual * smoothed(residual)
    return residual * saliency(perceived, slices, reconstructed) * saliency(perceived, equalized, others)


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, pd.DataFrame]:
    """Train a reversed autoencoder on healthy slices."""
    saliency_weights = perception_weights(settings["pretrained"])
    multiple = multiple_of(settings)
    pools = [SlicePool(scans, device, settings["spacing"], multiple) for scans in (training, validation)]
    arguments = {
        "shape": list(pools[0].shape),
        "widths": list(settings["widths"]),
        "latent": settings["latent"],
    }
    torch.manual_seed(settings["seed"])
    network = ReversedAutoencoder(**arguments).to(device)

    def turns(
        network: ReversedAutoencoder, slices: Tensor, masks: Tensor, generator: torch.Generator
    ) -> Iterator[Tensor]:
        return losses(network, moved(slices, generator), masks, generator)

    history = train_in_turns(
        network,
        turns,
        *pools,
        settings={**settings, "precision": "float32"},  # the exponentials of the encoder's loss need it
        checkpoint=checkpoint,
        optimizers=optimizers(network, settings["learning_rate"]),
        measure=mean_squared_error,
    )
    state = {
        "weights": weights_of(network),
        "network": arguments,
        "perception": saliency_weights,
        "spacing": settings["spacing"],
    }
    return state, history.assign(saliency=saliency_kind(saliency_weights))


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by the absolute residual of reconstructions by the mean code; as published by `anomaly`."""
    network = with_weights(ReversedAutoencoder(**state["network"]), state["weights"], device)
    perceived = perception(state["perception"], device)

    def as_published(slices: Tensor, reconstructed: Tensor, brain: Tensor) -> Tensor:
        return anomaly(perceived, slices, reconstructed, brain)

    multiple = multiple_of(state["network"])
    return residual_score(
        network, device, state["spacing"], precision, multiple=multiple, as_published=as_published
    )


def multiple_of(network: Mapping[str, Any]) -> int:
    """Voxels that the sides of slices are multiples of.  network: with widths of `ReversedAutoencoder`."""
    return 1 << len(network["widths"])
