"""A variational autoencoder of patches that is told where they are (Kingma and Welling 2014; paper, section 6).

The encoder turns a patch and its location into a Gaussian over a latent vector, the decoder a latent vector and the
location into a Gaussian over every voxel of the patch.  What the location tells, the latent vector need not.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from patch2loc.network.location import slice_code
from patch2loc.network.unpadded import encoder

AXES = 3  # of a location: x and y in the slice, and the slice
# Least standard deviation of a voxel, of the 98th percentile: that of the voxelwise z-score.  Outside the brain all
# voxels are 0, and without a bound their density has none either.
LEAST_SPREAD = 0.05


class Gaussian(NamedTuple):
    """A Gaussian without correlations.

    Attributes:
        mean: (n, ...).
        log_variance: (n, ...).
    """

    mean: Tensor
    log_variance: Tensor


def negative_log_likelihood(patches: Tensor, expected: Gaussian) -> Tensor:
    """Negative log-density of patches, nats, summed over their voxels: (n, 1, p, p) -> (n,)."""
    squared_z = (patches - expected.mean).square() / expected.log_variance.exp()
    return 0.5 * (squared_z + expected.log_variance + math.log(2 * math.pi)).flatten(1).sum(dim=1)


def divergence(posterior: Gaussian) -> Tensor:
    """Kullback-Leibler divergence of Gaussians over latent vectors (n, latent) from the standard normal, nats: (n,)."""
    mean, log_variance = posterior
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(dim=1)


def location_code(location: Tensor, size: int) -> Tensor:
    """Code of locations: for each coordinate that which the location network has for a slice.

    Args:
        location: (n, 3), percent of the grid.
        size: Size of the code of a coordinate, even.

    Returns:
        (n, 3 * size) float32.
    """
    return slice_code(location.flatten(), size).view(len(location), -1).float()


class PlacedLayer(nn.Module):
    """A layer, normalized and rectified, of vectors and of the codes of their locations.

    Args:
        width_in: Size of a vector.
        size: Size of the code of a coordinate.
        width: Size of the result.
    """

    def __init__(self, width_in: int, size: int, width: int) -> None:
        super().__init__()
        self.size = size
        self.linear = nn.Linear(width_in + AXES * size, width, bias=False)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, vectors: Tensor, codes: Tensor) -> Tensor:
        """(n, width_in) and codes (n, 3 * size) -> (n, width)."""
        normalized: Tensor = self.norm(self.linear(torch.cat([vectors, codes], dim=1)))
        return normalized.relu()


class PatchVAE(nn.Module):
    """Autoencoder of patches given their location.

    The convolutions are those of `unpadded`, so that a slice is one dense pass, the codes those of the location
    network.

    Args:
        patch: Width p of a patch, voxels.
        widths: Channels of the last four convolutions; the last is the size of all vectors but the latent one.
        latent: Size of the latent vector.

    Raises:
        InputError: For a patch that the convolutions cannot be built for.
    """

    def __init__(self, patch: int, widths: Sequence[int], latent: int) -> None:
        super().__init__()
        self.patch, self.size = patch, widths[-1]
        self.encoder = encoder(patch, widths)
        self.posterior_layer = PlacedLayer(self.size, self.size, self.size)
        self.posterior_head = nn.Linear(self.size, 2 * latent)
        self.decoder_layer = PlacedLayer(latent, self.size, self.size)
        self.decoder_head = nn.Sequential(
            nn.Linear(self.size, self.size, bias=False),
            nn.BatchNorm1d(self.size),
            nn.ReLU(),
            nn.Linear(self.size, 2 * patch**2),
        )

    def forward(self, patches: Tensor, location: Tensor, noise: Tensor) -> tuple[Gaussian, Gaussian]:
        """Encode patches, draw their latent vectors and decode these.

        Args:
            patches: (n, 1, p, p) float32, intensity over the 98th percentile, 0 outside the brain.
            location: Of their centers, (n, 3), percent of the grid.
            noise: (n, latent), standard normal; 0 for the mean of the latent vectors.

        Returns:
            The posterior, over latent vectors (n, latent), and what is expected of the patches, (n, 1, p, p).
        """
        return self.reconstruct(self.encoder(patches), location, noise)

    def reconstruct(self, features: Tensor, location: Tensor, noise: Tensor) -> tuple[Gaussian, Gaussian]:
        """As `forward`, from the features of patches, (n, size)."""
        codes = location_code(location, self.size)
        posterior = self.posterior(self.posterior_layer(features, codes))
        latent = posterior.mean + noise * (0.5 * posterior.log_variance).exp()
        return posterior, self.expected(self.decoder_layer(latent, codes))

    def posterior(self, hidden: Tensor) -> Gaussian:
        """The Gaussian over latent vectors, from the output of `posterior_layer`."""
        return Gaussian(*self.posterior_head(hidden).chunk(2, dim=1))

    def expected(self, hidden: Tensor) -> Gaussian:
        """The Gaussian over the voxels of patches, (n, 1, p, p), from the output of `decoder_layer`."""
        mean, raw = self.decoder_head(hidden).unflatten(1, (2, 1, self.patch, self.patch)).unbind(dim=1)
        # The logarithm of the bound's variance and that of the network, added.
        least = 2 * math.log(LEAST_SPREAD)
        return Gaussian(mean, least + functional.softplus(raw - least))
