"""Reversed autoencoders of axial slices (Bercea et al. 2023), of ra and phanes.

A soft-introspective variational autoencoder (Daniel and Tamar 2021), whose encoder also learns to see the same features
in a slice and in its reconstruction.  Encoder and decoder have an optimizer each and make a step in turn.
Slices are (n, 1, x, y) float32 in 0..1; codes are (n, latent).

    network = ReversedAutoencoder(shape)
    train_in_turns(network, losses, *pools, optimizers=optimizers(network, rate), measure=mean_squared_error, ...)
    network(slices)     their reconstructions by the means of their codes: the same at every call
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from patch2loc.methods.reconstruction.output_layer import OutputConv2d

WIDTHS = (64, 128, 256, 512, 512)
SLOPE = 0.2  # of the leaky ReLU
RECONSTRUCTION, DIVERGENCE, INTROSPECTION, REPEATED = 0.5, 1.0, 128.0, 1e-8  # weights of the losses' parts
REVERSED_EMBEDDING = 0.005
DEGREES, SHIFT, SCALE = 10.0, 0.1, (0.9, 1.1)  # of training slices; shift: share of a side


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, which is a 1 x 1 convolution where the number of channels changes."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        same = before == after
        self.shortcut = nn.Identity() if same else nn.Conv2d(before, after, 1, bias=False)
        self.layers = nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (n, before, x, y) -> (n, after, x, y)."""
        return functional.leaky_relu(self.layers(maps) + self.shortcut(maps), SLOPE)


class Encoder(nn.Module):
    """From slices to the means and the logarithms of the variances of their codes.

    Args:
        shape: Of a slice, each a multiple of 2 ** len(widths).
        widths: Channels of the levels, each half as large as the one before.
        latent: Length of a code.
    """

    def __init__(self, shape: Sequence[int], widths: Sequence[int] = WIDTHS, latent: int = 128) -> None:
        super().__init__()
        first = nn.Sequential(
            nn.Conv2d(1, widths[0], 5, padding=2, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.LeakyReLU(SLOPE),
        )
        self.levels = nn.ModuleList([first, *(ResidualBlock(*widths_of) for widths_of in pairwise(widths))])
        self.last = ResidualBlock(widths[-1], widths[-1])
        self.code = nn.Linear(widths[-1] * math.prod(_coarsest(shape, widths)), 2 * latent)

    def forward(self, slices: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Means and log-variances, each (n, latent), and the features: pooled maps of every level, finest first."""
        maps, features = slices, []
        for level in self.levels:
            maps = functional.avg_pool2d(level(maps), 2)
            features.append(maps)
        mean, log_variance = self.code(self.last(maps).flatten(1)).chunk(2, dim=1)
        return mean, log_variance, features


class Decoder(nn.Module):
    """From codes to slices in 0..1.  Arguments as those of `Encoder`."""

    def __init__(self, shape: Sequence[int], widths: Sequence[int] = WIDTHS, latent: int = 128) -> None:
        super().__init__()
        coarsest = (widths[-1], *_coarsest(shape, widths))
        doubling = [
            nn.Sequential(ResidualBlock(before, after), nn.Upsample(scale_factor=2))
            for before, after in pairwise((widths[-1], *reversed(widths)))
        ]
        self.layers = nn.Sequential(
            nn.Linear(latent, math.prod(coarsest)),
            nn.ReLU(),
            nn.Unflatten(1, coarsest),
            *doubling,
            ResidualBlock(widths[0], widths[0]),
            OutputConv2d(widths[0], 1, 5, padding=2),
            nn.Sigmoid(),
        )

    def forward(self, codes: Tensor) -> Tensor:
        """Codes (n, latent) -> slices (n, 1, x, y)."""
        slices: Tensor = self.layers(codes)
        return slices


def _coarsest(shape: Sequence[int], widths: Sequence[int]) -> tuple[int, int]:
    x, y = (size // 2 ** len(widths) for size in shape)
    return x, y


class ReversedAutoencoder(nn.Module):
    """An encoder and a decoder; arguments as those of `Encoder`.

    With the widths of the paper 29,430,785 parameters on slices of 128 x 128 (encoder 16,360,896, decoder
    13,069,889), and 28,050,945 on slices of 96 x 96.
    """

    def __init__(self, shape: Sequence[int], widths: Sequence[int] = WIDTHS, latent: int = 128) -> None:
        super().__init__()
        self.latent = latent
        self.encoder = Encoder(shape, widths, latent)
        self.decoder = Decoder(shape, widths, latent)

    def forward(self, slices: Tensor) -> Tensor:
        """Reconstructions of slices by the means of their codes."""
        reconstructed: Tensor = self.decoder(self.encoder(slices)[0])
        return reconstructed


def optimizers(network: ReversedAutoencoder, learning_rate: float) -> list[torch.optim.Optimizer]:
    """Adam for the encoder and Adam for the decoder, in the order of `losses`."""
    return [
        torch.optim.Adam(part.parameters(), learning_rate, fused=True)
        for part in (network.encoder, network.decoder)
    ]


def losses(
    network: ReversedAutoencoder, slices: Tensor, masks: Tensor | None, generator: torch.Generator
) -> Iterator[Tensor]:
    """The encoder's loss, and when it is asked for next, after the encoder's step, the decoder's.

    Arguments as of `training.train_in_turns`; masks are not needed. Each loss has gradients for its own part alone.
    """
    shape = (6, len(slices), network.latent)
    noise = torch.randn(shape, generator=generator, device=slices.device)
    network.encoder.requires_grad_(True)
    network.decoder.requires_grad_(False)
    loss, codes = encoder_loss(network, slices, noise[:4])
    yield loss
    network.encoder.requires_grad_(False)
    network.decoder.requires_grad_(True)
    # Not by a list of indices, which would be copied to the device, for which the host waits.
    yield decoder_loss(network, slices, codes.detach(), torch.stack([noise[1], *noise[4:]]))
    network.encoder.requires_grad_(True)


def encoder_loss(network: ReversedAutoencoder, slices: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Loss of the encoder, a scalar, and the random codes of the slices.

    Reconstruction error and divergence of slices; introspection, which is small where reconstructions, and slices
    decoded from noise, are told from real ones by a high divergence; and the reversed embedding.

    Args:
        network: Encoder and decoder.
        slices: (n, 1, x, y).
        noise: (4, n, latent) standard normal: for the codes of slices, as codes of generated slices, for the codes of
            reconstructions and for those of generated slices.
    """
    scale = 1 / slices[0].numel()
    mean, log_variance, features = network.encoder(slices)
    codes = sampled(mean, log_variance, noise[0])
    reconstructed = network.decoder(codes)
    with torch.no_grad():
        generated = network.decoder(noise[1])
    real = RECONSTRUCTION * squared_error(slices, reconstructed) + DIVERGENCE * divergence(mean, log_variance)
    loss = scale * real.mean()
    for fakes, second_noise in ((reconstructed, noise[2]), (generated, noise[3])):
        mean, log_variance, fake_features = network.encoder(fakes.detach())
        repeated = network.decoder(sampled(mean, log_variance, second_noise))
        unlike = RECONSTRUCTION * squared_error(fakes, repeated)
        unlike = unlike + INTROSPECTION * divergence(mean, log_variance)
        loss = loss + 0.25 * (-2 * scale * unlike).exp().mean()
        if fakes is reconstructed:
            loss = loss + REVERSED_EMBEDDING * reversed_embedding(features, fake_features)
    return loss, codes


def decoder_loss(network: ReversedAutoencoder, slices: Tensor, codes: Tensor, noise: Tensor) -> Tensor:
    """Loss of the decoder, a scalar.

    Reconstruction error of slices; divergence of what it decodes from their codes and from noise; and, of next to no
    weight, the error of reconstructing both once more.

    Args:
        network: Encoder and decoder.
        slices: (n, 1, x, y).
        codes: (n, latent) of the slices, of `encoder_loss`.
        noise: (3, n, latent) standard normal: codes of generated slices, for the codes of reconstructions and for
            those of generated slices.
    """
    scale = 1 / slices[0].numel()
    generated, reconstructed = network.decoder(noise[0]), network.decoder(codes)
    loss = RECONSTRUCTION * squared_error(slices, reconstructed)
    for fakes, second_noise in ((reconstructed, noise[1]), (generated, noise[2])):
        mean, log_variance, _ = network.encoder(fakes)
        repeated = network.decoder(sampled(mean, log_variance, second_noise).detach())
        loss = loss + 0.5 * DIVERGENCE * divergence(mean, log_variance)
        loss = loss + REPEATED * 0.5 * RECONSTRUCTION * squared_error(fakes.detach(), repeated)
    return scale * loss.mean()


def sampled(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Random codes, all (n, latent)."""
    return mean + (0.5 * log_variance).exp() * noise


def squared_error(slices: Tensor, others: Tensor) -> Tensor:
    """Sum over the voxels of each slice, (n,)."""
    return (slices - others).square().flatten(1).sum(dim=1)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence of codes from a standard normal distribution, (n,)."""
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(dim=1)


def reversed_embedding(features: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """Dissimilarity of the features of slices and of their reconstructions, summed over the encoder's levels.

    features, others: (n, channels, x, y) of each level.  Half of the mean squared difference, plus the mean over
    slices of 1 less the cosine of the angle between all features of a level.
    """
    unlike = []
    for one, other in zip(features, others, strict=True):
        cosine = functional.cosine_similarity(one.flatten(1), other.flatten(1))
        unlike.append(0.5 * functional.mse_loss(one, other) + (1 - cosine).mean())
    return torch.stack(unlike).sum()


def mean_squared_error(
    network: ReversedAutoencoder, slices: Tensor, masks: Tensor | None, generator: torch.Generator
) -> Tensor:
    """MSE of reconstructions from the mean code; the validation loss."""
    return functional.mse_loss(network(slices).float(), slices)


def moved(slices: Tensor, generator: torch.Generator) -> Tensor:
    """Slices (n, 1, x, y), each turned, shifted and scaled at random, and mirrored left to right (x) or not.

    Zeros come in from outside.
    """
    device, count = slices.device, len(slices)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand((count, *shape), generator=generator, device=device)

    angle = torch.deg2rad(uniform(-DEGREES, DEGREES))
    scale = uniform(*SCALE)
    shift = uniform(-2 * SHIFT, 2 * SHIFT, 2)  # both sides go from -1 to 1
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    x, y = slices.shape[2:]
    # From voxels of the result to places in the slice; the last axis, y, comes first.
    cosine, sine = angle.cos() / scale, angle.sin() / scale
    rows = [
        torch.stack([cosine, -sine * x / y, shift[:, 0]], dim=1),
        torch.stack([mirror * sine * y / x, mirror * cosine, shift[:, 1]], dim=1),
    ]
    places = functional.affine_grid(torch.stack(rows, dim=1), list(slices.shape), align_corners=False)
    return functional.grid_sample(slices, places, align_corners=False)
