"""Autoencoders of axial slices with a dense bottleneck, plain and variational (Baur et al. 2021)."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.weights import weights_of, with_weights
from patch2loc.method_interface import MethodSettings, Score, State, Volumes
from patch2loc.methods.reconstruction.output_layer import OutputConv2d
from patch2loc.methods.reconstruction.residual import residual_score
from patch2loc.methods.reconstruction.slice_pools import SlicePool
from patch2loc.methods.reconstruction.training import train

SLOPE = 0.3  # of the leaky ReLU
REDUCTION = 8  # the last width over the channels of the bottleneck
FIRST_MOMENT = 0.5  # of Adam


def halving(widths: Sequence[int]) -> list[nn.Module]:
    """Layers of an encoder, each of which halves the sides of a slice."""
    return [
        nn.Sequential(nn.Conv2d(before, after, 5, 2, 2), nn.BatchNorm2d(after), nn.LeakyReLU(SLOPE))
        for before, after in pairwise((1, *widths))
    ]


def doubling(widths: Sequence[int]) -> list[nn.Module]:
    """Layers of a decoder, each of which doubles the sides: `halving` backwards."""
    return [
        nn.Sequential(
            nn.ConvTranspose2d(before, after, 5, 2, 2, 1), nn.BatchNorm2d(after), nn.LeakyReLU(SLOPE)
        )
        for before, after in pairwise((*reversed(widths), widths[0]))
    ]


def reduced_shape(shape: Sequence[int], widths: Sequence[int]) -> tuple[int, int, int]:
    """Shape of a slice where encoder and decoder meet: channels, x, y."""
    return widths[-1] // REDUCTION, *(size // 2 ** len(widths) for size in shape)


def encoder(layers: Sequence[nn.Module], widths: Sequence[int]) -> nn.Sequential:
    """Layers of `halving` as a network: slices (n, 1, x, y) -> features (n, prod of `reduced_shape`)."""
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], widths[-1] // REDUCTION, 1), nn.Flatten())


def decoder(
    layers: Sequence[nn.Module], widths: Sequence[int], reduced: tuple[int, int, int], latent: int
) -> nn.Sequential:
    """Layers of `doubling` as a network: codes (n, latent) -> slices (n, 1, x, y).  reduced: of `reduced_shape`."""
    return nn.Sequential(
        nn.Linear(latent, prod(reduced)),
        nn.Unflatten(1, reduced),
        nn.Conv2d(reduced[0], widths[-1], 1),
        nn.BatchNorm2d(widths[-1]),
        nn.ReLU(),
        *layers,
        OutputConv2d(widths[0], 1, 1),
    )


def random_code(mean: Tensor, log_deviation: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Codes drawn from normal distributions, and the KL divergence of each of these from a standard normal.

    Args:
        mean: (..., latent).
        log_deviation: (..., latent), logarithm of the standard deviation.
        generator: Of the random numbers.

    Returns:
        Codes (..., latent) and divergences (...), float32.
    """
    mean, log_deviation = mean.float(), log_deviation.float()
    deviation = log_deviation.exp()
    divergence = 0.5 * (mean.square() + deviation.square() - 2 * log_deviation - 1).sum(dim=-1)
    noise = torch.randn(mean.shape, generator=generator, device=mean.device)
    return mean + deviation * noise, divergence


class Autoencoder(nn.Module):
    """A slice through a vector and back.

    Args:
        shape: Of a slice, each a multiple of 2 ** len(widths).
        widths: Channels of the encoder's layers, the last one a multiple of 8.
        latent: Length of the vector.
        dropout: Share of it that is dropped in training.
        variational: The encoder gives a mean and the logarithm of a standard deviation.
    """

    def __init__(
        self,
        shape: Sequence[int],
        widths: Sequence[int] = (32, 64, 128, 128),
        latent: int = 128,
        dropout: float = 0.2,
        *,
        variational: bool = False,
    ) -> None:
        super().__init__()
        # The order in which layers are made is that of their random weights.
        down, up = halving(widths), doubling(widths)
        reduced = reduced_shape(shape, widths)
        self.encoder = encoder(down, widths)
        self.mean = nn.Linear(prod(reduced), latent)
        self.log_deviation = nn.Linear(prod(reduced), latent) if variational else None
        self.dropout = nn.Dropout(dropout)
        self.decoder = decoder(up, widths, reduced, latent)

    def forward(self, slices: Tensor) -> Tensor:
        """Reconstructions of slices (n, 1, x, y); of a variational one by the mean of the code."""
        reconstructed: Tensor = self.decoder(self.dropout(self.mean(self.encoder(slices))))
        return reconstructed

    def sample(self, slices: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Reconstructions by a random code, and the KL divergence (n,) of the codes; of a variational one alone."""
        assert self.log_deviation is not None
        encoded = self.encoder(slices)
        code, divergence = random_code(self.mean(encoded), self.log_deviation(encoded), generator)
        return self.decoder(self.dropout(code)), divergence


def loss(network: Autoencoder, slices: Tensor, masks: Tensor, generator: torch.Generator) -> Tensor:
    """Mean over slices of the summed absolute residual, plus the divergence of a variational one."""
    divergence: Tensor | float = 0.0
    if network.log_deviation is None:
        reconstructed = network(slices)
    else:
        reconstructed, divergence = network.sample(slices, generator)
    residual: Tensor = (slices - reconstructed.float()).abs().sum(dim=(1, 2, 3))
    return (residual + divergence).mean()


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
    variational: bool,
) -> tuple[State, pd.DataFrame]:
    """Train an autoencoder on healthy scans.

    Args:
        training: As of a method.
        validation: As of a method.
        settings: Those of `training.train`, and widths, latent, dropout, spacing.
        checkpoint: As of a method.
        device: As of a method.
        variational: As of `Autoencoder`.
    """
    multiple = 2 ** len(settings["widths"])
    pools = [SlicePool(scans, device, settings["spacing"], multiple) for scans in (training, validation)]
    arguments = {
        "shape": list(pools[0].shape),
        "widths": list(settings["widths"]),
        "latent": settings["latent"],
        "dropout": settings["dropout"],
        "variational": variational,
    }
    torch.manual_seed(settings["seed"])
    network = Autoencoder(**arguments).to(device)
    optimizer = torch.optim.Adam(
        network.parameters(), lr=settings["learning_rate"], betas=(FIRST_MOMENT, 0.999), fused=True
    )
    history = train(network, loss, *pools, settings=settings, checkpoint=checkpoint, optimizer=optimizer)
    return {"weights": weights_of(network), "network": arguments, "spacing": settings["spacing"]}, history


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by the absolute residual."""
    network = with_weights(Autoencoder(**state["network"]), state["weights"], device)
    multiple = 2 ** len(state["network"]["widths"])
    return residual_score(network, device, state["spacing"], precision, multiple=multiple)
