"""The autoencoder of patches at every voxel of a slice: the numbers of patch by patch for a fraction of the work.

The convolutions are computed once a slice.  A pool is taken at every place, so that the neighbors of the convolution
after it are two places apart, and it is dilated.  What the layers that see the location make of it is a sum of one
vector each for x, y and the slice, computed once a scan.  Nothing is drawn: the latent vector is the posterior's mean.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.halving import halved_until_it_fits
from patch2loc.engine.precision import PRECISIONS
from patch2loc.engine.transfer import to_device
from patch2loc.network import patches
from patch2loc.network.centers import Centers
from patch2loc.network.location import for_inference
from patch2loc.network.patch_vae import (
    AXES,
    Gaussian,
    PatchVAE,
    PlacedLayer,
    location_code,
    negative_log_likelihood,
)
from patch2loc.network.ready import Progress
from patch2loc.network.unpadded import layout

# MB of patches and what is expected of them at once.
MEMORY_MB: dict[Device, float] = {"cpu": 8, "cuda": 1024}
MAPS = 6  # of the size of a patch that are in memory together


class Places(NamedTuple):
    """Places of patches of a slice.

    Attributes:
        padded: The slice, (width + p, height + p).
        number: Its number.
        x: Of the patches' centers, (n,) int32.
        y: (n,) int32.
    """

    padded: Tensor
    number: int
    x: Tensor
    y: Tensor


# From the posterior of patches and their places to a number for each, (n,).
Measure = Callable[[Gaussian, Places], Tensor]


class ReadyLayer:
    """A `PlacedLayer` whose normalization is folded in, for the locations of a grid."""

    def __init__(self, layer: PlacedLayer) -> None:
        linear = layer.linear
        of_vectors = linear.in_features - AXES * layer.size
        self.weight, *self.of_axes = torch.split(linear.weight, [of_vectors, *[layer.size] * AXES], dim=1)
        self.bias, self.size = linear.bias, layer.size

    def tables(self, shape: Sequence[int]) -> list[Tensor]:
        """What the locations along each axis of a grid add: (size of the axis, width)."""
        tables = []
        for weight, voxels in zip(self.of_axes, shape, strict=True):
            location = patches.location(torch.arange(voxels, device=weight.device), voxels)
            tables.append(location_code(location[:, None], self.size) @ weight.T)
        return tables

    def __call__(self, vectors: Tensor, tables: Sequence[Tensor], places: Places) -> Tensor:
        """(n, width_in) -> (n, width).  tables: of the grid."""
        of_x, of_y, of_slice = tables
        hidden = functional.linear(vectors, self.weight, self.bias + of_slice[places.number])
        return hidden.add_(of_x[places.x]).add_(of_y[places.y]).relu_()


class ReadyPatchVAE:
    """An autoencoder of patches made ready to measure many patches of a scan.

    Args:
        network: Network in evaluation mode.
        device: Device that the network computes on.
        precision: Precision of the convolutions; all else is float32.
        memory_mb: Bound on what is decoded at once, MB, not on the result; None for MEMORY_MB.
    """

    def __init__(
        self,
        network: PatchVAE,
        device: Device = "cpu",
        precision: Precision = "float32",
        *,
        memory_mb: float | None = None,
    ) -> None:
        # It folds any network's normalizations that follow what they normalize, whatever its annotation says.
        self.network: PatchVAE = for_inference(cast(Any, network)).to(device)
        self.device, self.dtype, self.patch = device, PRECISIONS[precision], network.patch
        self.layers = layout(network.patch)
        encoder = self.network.encoder.to(self.dtype)
        self.convolutions = [part for part in encoder if isinstance(part, nn.Conv2d)]
        self.posterior_layer = ReadyLayer(self.network.posterior_layer)
        self.decoder_layer = ReadyLayer(self.network.decoder_layer)
        bytes_each = MAPS * self.patch**2 * torch.float32.itemsize
        self.at_once = max(1, int(1e6 * (memory_mb or MEMORY_MB[device]) / bytes_each))

    @torch.inference_mode()
    def reconstruction_error(self, volume: np.ndarray, centers: Centers, progress: Progress = iter) -> Tensor:
        """Negative log-likelihood of the patches around centers, nats a voxel of a patch.

        Args:
            volume: (x, y, z) float32, standardized, 0 outside the brain.
            centers: In the volume.
            progress: Goes through the numbers of the slices.

        Returns:
            (n,) float32 on the network's device, which may still compute it.
        """
        tables = self.decoder_layer.tables(volume.shape)

        def error(posterior: Gaussian, places: Places) -> Tensor:
            expected = self.network.expected(self.decoder_layer(posterior.mean, tables, places))
            in_slice = torch.zeros_like(places.x)
            cut = patches.cut(places.padded[None], in_slice, places.x, places.y, patch=self.patch)
            return negative_log_likelihood(cut, expected) / self.patch**2

        return self._measured(volume, centers, error, progress)

    @torch.inference_mode()
    def latent_log_variance(self, volume: np.ndarray, centers: Centers, progress: Progress = iter) -> Tensor:
        """Mean log-variance of the latent vectors of the patches around centers; see `reconstruction_error`."""

        def log_variance(posterior: Gaussian, places: Places) -> Tensor:
            return posterior.log_variance.mean(dim=1)

        return self._measured(volume, centers, log_variance, progress)

    def _measured(self, volume: np.ndarray, centers: Centers, measure: Measure, progress: Progress) -> Tensor:
        """Measure the patches around centers, slice by slice."""
        padded = patches.pad_slices(to_device(volume, self.device).permute(2, 0, 1), self.patch)
        tables = self.posterior_layer.tables(volume.shape)
        x, y = (to_device(places, self.device) for places in (centers.x, centers.y))
        measured = torch.empty(len(x), device=self.device)
        ends = [0, *centers.ends[:, -1].tolist()]
        for number in progress(range(len(padded))):
            part = slice(ends[number], ends[number + 1])
            if part.start == part.stop:
                continue
            (left, right), (front, back) = (
                (int(of[part].min()), int(of[part].max())) for of in (centers.x, centers.y)
            )
            window = padded[number, left : right + self.patch, front : back + self.patch]
            places = Places(padded[number], number, x[part], y[part])
            row = (places.x - left) * (back - front + 1) + places.y - front
            features = self._features(window).index_select(0, row).float()
            measured[part] = self._in_parts(features, tables, places, measure)
        return measured

    def _in_parts(
        self, features: Tensor, tables: Sequence[Tensor], places: Places, measure: Measure
    ) -> Tensor:
        """Measure patches, as many at once as the memory holds.  features: (n, size); tables: of the posterior."""

        def compute(at_once: int) -> Tensor:
            found = []
            for begin in range(0, len(features), at_once):
                part = slice(begin, begin + at_once)
                some = places._replace(x=places.x[part], y=places.y[part])
                hidden = self.posterior_layer(features[part], tables, some)
                found.append(measure(self.network.posterior(hidden), some))
            return torch.cat(found)

        most = min(self.at_once, len(features))
        measured, at_once = halved_until_it_fits(compute, most)
        if at_once < most:
            self.at_once = at_once
        return measured

    def _features(self, window: Tensor) -> Tensor:
        """Features of all patches of a part of a slice: (w + p - 1, h + p - 1) -> (w * h, size)."""
        maps, apart = window[None, None].to(self.dtype), 1
        for convolution, layer in zip(self.convolutions, self.layers, strict=True):
            maps = functional.conv2d(maps, convolution.weight, convolution.bias, dilation=apart).relu_()
            if layer.pooled:
                rows = torch.maximum(maps[:, :, :-apart], maps[:, :, apart:])
                maps = torch.maximum(rows[:, :, :, :-apart], rows[:, :, :, apart:])
                apart *= 2
        return maps[0].flatten(1).T
