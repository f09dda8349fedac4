"""The location network rewritten for every voxel of a slice: the same numbers for a fraction of the work.

Batch normalizations are folded into the layers before them.  The first convolution and the pool are computed once a
slice instead of once a patch (`stem`).  Convolutions on maps of 2 x 2 voxels or fewer are matrix products that leave
the zeros out.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.precision import PRECISIONS
from patch2loc.network import patches
from patch2loc.network.fast_convolution import with_fast_convolutions
from patch2loc.network.location import LocationNetwork, PatchNetwork, for_inference, slice_code
from patch2loc.network.stem import Stem

# MB of activations at once.  A processor is fastest with about what its caches hold.
MEMORY_MB: dict[Device, float] = {"cpu": 32, "cuda": 4096}
MAPS = 5  # of the first layer's size that are in memory together
SPARSE = 0.1  # share of the slices' voxels below which single patches are quicker than whole slices


class ReadyNetwork(ABC):
    """Base of inference networks: fuses both heads, splits batches to fit memory.

    Args:
        folded: From `for_inference`, on the device.
        patch: Width p of a patch, voxels, even.
        device: Device that the network computes on.
        precision: Precision of the encoder; the heads are always float32, as a location has more digits than half
            precision.
        memory_mb: Bound on the activations, MB: on how many patches are computed at once, not on the result; a GPU
            that has less memory gets fewer.  None for MEMORY_MB.
    """

    def __init__(
        self,
        folded: PatchNetwork,
        patch: int,
        device: Device,
        precision: Precision,
        *,
        memory_mb: float | None,
    ) -> None:
        self.patch, self.device, self.dtype = patch, device, PRECISIONS[precision]
        self.latent_size = folded.widths[-1]
        branches = [
            [layer for layer in branch if isinstance(layer, nn.Linear)]
            for branch in (folded.mean_branch, folded.logvariance_branch)
        ]
        self.heads = [
            (
                torch.stack([layer.weight.T for layer in pair]),
                torch.stack([layer.bias for layer in pair])[:, None],
            )
            for pair in zip(*branches, strict=True)
        ]
        self.memory = (memory_mb or MEMORY_MB[device]) * 1e6
        self.batch = 1  # patches at once

    @abstractmethod
    def predict_slice(self, padded: Tensor, x: Tensor, y: Tensor, slice_location: float) -> Tensor:
        """Predict mean and log-variance of the locations of patches of a padded slice.

        Args:
            padded: (width + p, height + p), on the network's device as the next two.
            x: Where the patches begin, (n,) integers.
            y: (n,) integers.
            slice_location: Percent of the grid's height.

        Returns:
            (n, 4) float32: mean x, y in percent of the grid, log-variance x, y.
        """

    @abstractmethod
    def predict_patches(
        self, padded: Tensor, index: Tensor, x: Tensor, y: Tensor, *, location: Tensor
    ) -> Tensor:
        """Predict as `predict_slice` does, for a few patches of many slices: each is cut out and computed by itself.

        Args:
            padded: (slices, width + p, height + p), on the network's device as all others.
            index: Slice of each patch, (n,) integers.
            x: Where the patches begin, (n,) integers.
            y: (n,) integers.
            location: Locations of their slices, (n,), percent of the grid's height.

        Returns:
            (n, 4) float32: mean x, y in percent of the grid, log-variance x, y.
        """

    def _in_parts(self, n: int, compute: Callable[[slice], Tensor], device: torch.device) -> Tensor:
        """compute(part) of n patches, as many at once as the memory holds: (n, 4)."""
        predictions = torch.empty((n, 4), device=device)
        begin = 0
        while begin < n:
            part = slice(begin, begin + self.batch)
            try:
                predictions[part] = compute(part)
            except torch.OutOfMemoryError:
                if self.batch == 1:
                    raise
                self.batch //= 2
                torch.cuda.empty_cache()
                continue
            begin = part.stop
        return predictions

    def _headed(self, latent: Tensor) -> Tensor:
        """Both heads: (n, latent size), the slice's code added, -> (n, 4)."""
        values = latent.expand(2, *latent.shape)
        for weight, bias in self.heads[:-1]:
            values = torch.baddbmm(bias, values, weight).relu_()
        weight, bias = self.heads[-1]
        return torch.baddbmm(bias, values, weight).permute(1, 0, 2).flatten(1)


class DenseNetwork(ReadyNetwork):
    """A location network made ready to predict many patches of a slice.

    Args:
        network: Network in evaluation mode.
        patch: Width p of a patch, voxels, even.
        device: Device that the network computes on.
        precision: Precision of the encoder.
        memory_mb: Bound on the activations, MB, see `ReadyNetwork`.
    """

    def __init__(
        self,
        network: LocationNetwork,
        patch: int = 24,
        device: Device = "cpu",
        precision: Precision = "float32",
        *,
        memory_mb: float | None = None,
    ) -> None:
        folded = for_inference(network).to(device)
        super().__init__(folded, patch, device, precision, memory_mb=memory_mb)
        encoder = folded.encoder.to(self.dtype)
        self.stem = Stem(encoder.conv1, patch)
        self.layers = nn.Sequential(encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4)
        # On other devices, or in half precision, multiplications are not what takes the time.
        if device == "cpu" and self.dtype == torch.float32:
            with_fast_convolutions(self.layers, torch.zeros(1, self.stem.channels, *[self.stem.size] * 2))
        bytes_each = MAPS * self.stem.size**2 * self.stem.channels * self.dtype.itemsize
        self.batch = max(1, int(self.memory / bytes_each))

    @torch.inference_mode()
    def predict_slice(self, padded: Tensor, x: Tensor, y: Tensor, slice_location: float) -> Tensor:
        """Predict the locations of patches of a padded slice, see `ReadyNetwork.predict_slice`."""
        maps = self.stem.maps(padded.to(self.dtype))
        code = slice_code(torch.tensor([slice_location], device=padded.device), self.latent_size).float()
        return self._in_parts(
            len(x), lambda part: self._located(self.stem.gather(maps, x[part], y[part]), code), padded.device
        )

    @torch.inference_mode()
    def predict_patches(
        self, padded: Tensor, index: Tensor, x: Tensor, y: Tensor, *, location: Tensor
    ) -> Tensor:
        """Predict the locations of a few patches of many slices, see `ReadyNetwork.predict_patches`."""

        def compute(part: slice) -> Tensor:
            cut = patches.cut(padded, index[part], x[part], y[part], patch=self.patch).to(self.dtype)
            code = slice_code(location[part], self.latent_size).float()
            return self._located(self.stem.pooled(cut), code)

        return self._in_parts(len(x), compute, padded.device)

    def _located(self, pooled: Tensor, code: Tensor) -> Tensor:
        """Layers and both heads: (n, channels, size, size), (n or 1, latent size) -> (n, 4)."""
        return self._headed(self.layers(pooled).float().mean((2, 3)) + code)


def predict(
    volume: np.ndarray,
    voxels: np.ndarray,
    network: ReadyNetwork,
    progress: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> tuple[np.ndarray, np.ndarray]:
    """Predict the locations of the patches around voxels.

    Args:
        volume: (x, y, z) float32, standardized, 0 outside the brain.
        voxels: (n, 3) integers.
        network: Network ready for inference.
        progress: Wraps the numbers of the slices in turn, as tqdm does.

    Returns:
        Mean (n, 2), percent of the grid, and log-variance (n, 2), log percent squared, both float32.
    """
    if not len(voxels):
        return np.empty((0, 2), np.float32), np.empty((0, 2), np.float32)
    order = np.argsort(voxels[:, 2], kind="stable")
    slices, first, index = np.unique(voxels[order, 2], return_index=True, return_inverse=True)
    padded = patches.pad_slices(torch.from_numpy(volume[:, :, slices]).permute(2, 0, 1), network.patch)
    padded = padded.contiguous().to(network.device)
    places = voxels[order, :2]
    x, y = torch.from_numpy(places.T.copy()).to(network.device)
    location = patches.location(torch.from_numpy(slices), volume.shape[2])
    if len(voxels) < SPARSE * padded.numel():
        slice_index = torch.from_numpy(index).to(network.device)
        slice_location = location.to(network.device)[slice_index]
        ordered = network.predict_patches(padded, slice_index, x, y, location=slice_location)
    else:
        parts = []
        end = [*first[1:], len(order)]
        for number in progress(range(len(slices))):
            here = slice(first[number], end[number])
            (left, front), (right, back) = places[here].min(axis=0), places[here].max(axis=0)
            window = padded[number, left : right + network.patch, front : back + network.patch]
            parts.append(
                network.predict_slice(window, x[here] - left, y[here] - front, location[number].item())
            )
        ordered = torch.cat(parts)
    predictions = np.empty((len(voxels), 4), np.float32)
    predictions[order] = ordered.cpu().numpy()
    return predictions[:, :2], predictions[:, 2:]
