"""The network of the SVAE, its training and its score."""

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.weights import weights_of, with_weights
from patch2loc.errors import InputError
from patch2loc.method_interface import MethodSettings, Score, State, Volumes
from patch2loc.methods.reconstruction.autoencoder import (
    decoder,
    doubling,
    encoder,
    halving,
    random_code,
    reduced_shape,
)
from patch2loc.methods.reconstruction.residual import residual_score
from patch2loc.methods.reconstruction.slice_pools import ScanPool
from patch2loc.methods.reconstruction.training import train

ARGUMENTS = (
    "widths",
    "latent",
    "layers",
    "heads",
    "feedforward",
    "dropout",
)  # of the network, from the settings
POSITION = 0.02  # standard deviation of the code of a slice's place before it is learned


class ScanAutoencoder(nn.Module):
    """All slices of a scan through one vector each, and back; the vectors depend on each other.

    Args:
        shape: Of a slice, each a multiple of 2 ** len(widths).
        slices: Number in a scan.
        widths: Channels of the encoder's layers, the last one a multiple of 8.
        latent: Length of a slice's code, a multiple of heads.
        layers: Number of layers of self-attention between the slices of a scan; without any, slices are coded by
            themselves.
        heads: Of the attention.
        feedforward: Width inside these layers.
        dropout: Share dropped in training, in the layers and of the code.
    """

    def __init__(
        self,
        shape: Sequence[int],
        slices: int,
        *,
        widths: Sequence[int],
        latent: int,
        layers: int,
        heads: int,
        feedforward: int,
        dropout: float,
    ) -> None:
        super().__init__()
        reduced = reduced_shape(shape, widths)
        self.encoder = nn.Sequential(encoder(halving(widths), widths), nn.Linear(prod(reduced), latent))
        self.position = nn.Parameter(POSITION * torch.randn(slices, latent))
        # Not nn.TransformerEncoder: its layers are copies of one, with the same random weights.
        attention = [
            nn.TransformerEncoderLayer(latent, heads, feedforward, dropout, batch_first=True)
            for _ in range(layers)
        ]
        self.attention = nn.Sequential(*attention)
        self.mean = nn.Linear(latent, latent)
        self.log_deviation = nn.Linear(latent, latent)
        self.dropout = nn.Dropout(dropout)
        self.decoder = decoder(doubling(widths), widths, reduced, latent)

    def encode(self, scans: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation of the code of each slice, (n, slices, latent).

        scans: (n, slices, x, y), all slices in order of z.
        """
        codes = self.encoder(scans.flatten(0, 1)[:, None]).unflatten(0, scans.shape[:2])
        with sdpa_kernel(SDPBackend.MATH):  # the fused ones add in any order on a GPU
            codes = self.attention(codes + self.position)
        return self.mean(codes), self.log_deviation(codes)

    def decode(self, codes: Tensor) -> Tensor:
        """Scans (n, slices, x, y) from codes (n, slices, latent), each slice from its own alone."""
        slices: Tensor = self.decoder(self.dropout(codes).flatten(0, 1))[:, 0]
        return torch.unflatten(slices, 0, codes.shape[:2])

    def forward(self, scans: Tensor) -> Tensor:
        """Reconstructions of scans (n, slices, x, y) by the means of the codes."""
        return self.decode(self.encode(scans)[0])


def loss(network: ScanAutoencoder, scans: Tensor, beta: float, generator: torch.Generator) -> Tensor:
    """Mean over slices of the summed absolute residual and beta times the KL divergence of the slice's code."""
    codes, divergence = random_code(*network.encode(scans), generator)
    residual = (scans - network.decode(codes).float()).abs().sum(dim=(2, 3))
    return (residual + beta * divergence).mean()


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, pd.DataFrame]:
    """Train on whole healthy scans.

    Raises:
        InputError: When the heads cannot share the code.
    """
    if settings["latent"] % settings["heads"]:
        raise InputError(
            f"method_settings.svae: latent {settings['latent']} found with {settings['heads']} heads; expected a "
            "multiple of heads; change one of them"
        )
    multiple = 2 ** len(settings["widths"])
    pools = [ScanPool(scans, device, settings["spacing"], multiple) for scans in (training, validation)]
    arguments: dict[str, Any] = {"shape": list(pools[0].shape), "slices": pools[0].slices_each}
    arguments |= {name: settings[name] for name in ARGUMENTS}

    def loss_of(network: ScanAutoencoder, scans: Tensor, masks: Tensor, generator: torch.Generator) -> Tensor:
        return loss(network, scans, settings["beta"], generator)

    torch.manual_seed(settings["seed"])
    network = ScanAutoencoder(**arguments).to(device)
    history = train(network, loss_of, *pools, settings=settings, checkpoint=checkpoint)
    return {"weights": weights_of(network), "network": arguments, "spacing": settings["spacing"]}, history


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by the absolute residual of a scan that is reconstructed from the means of its slices' codes."""
    network = with_weights(ScanAutoencoder(**state["network"]), state["weights"], device)

    def reconstruct(slices: Tensor) -> Tensor:
        reconstructed: Tensor = network(slices[None, :, 0])
        return reconstructed[0, :, None]

    multiple = 2 ** len(state["network"]["widths"])
    return residual_score(reconstruct, device, state["spacing"], precision, multiple=multiple, batch=None)
