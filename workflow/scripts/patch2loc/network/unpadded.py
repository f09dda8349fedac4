"""A location network that never pads inside a patch, so that the map of a slice is one dense pass.  Not in the paper.

The convolutions are valid ones and the pools do not overlap.  The output of a layer at a place then depends only on
the voxels in its receptive field, not on where the patch ends, and neighboring patches share everything but the heads.
The dense pass computes each layer once a slice: a pool is taken at every place, and places that are two apart after it
form a map of their own (four of them a pool), on which the next convolution is an ordinary one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from patch2loc.engine.choices import Device, Precision
from patch2loc.errors import InputError
from patch2loc.network.first_convolution import FirstConv2d
from patch2loc.network.location import PAPER_WIDTHS, Heads, PatchNetwork, for_inference
from patch2loc.network.ready import PaddedSlices, Progress, ReadyNetwork

SMALLEST = 8  # voxels of a patch
# MB of activations at once.  Strips share no voxels near their edges, and are computed by all threads of a processor.
MEMORY_MB: dict[Device, float] = {"cpu": 32, "cuda": 4096}
# Share of the voxels below which single patches are quicker, over that below which they have fewer multiplications:
# whole slices keep a processor busier.  Measured at patches of 8 to 24 voxels: 0.4 to 0.9.
SPARSE = 0.5
WIDEST_LAST = 4  # voxels of a map that is not pooled any more
# Latent vectors in memory together: those that are asked for, the inputs of both heads and their outputs.
HEAD_MAPS = 5


@dataclass(frozen=True)
class Layer:
    """A convolution, normalized and rectified, and the pool after it, if any.

    Attributes:
        kernel: Width of the convolution, voxels.
        pooled: A 2 x 2 pool follows.
        size: Voxels of the resulting map along one axis, after the pool.
    """

    kernel: int
    pooled: bool
    size: int


def layout(patch: int) -> list[Layer]:
    """Plan the layers from a patch to one vector.

    While the map is wider than 4 voxels: two 3 x 3 convolutions, or one where this leaves an even half, and a pool.
    Then a 3 x 3 convolution where the map has 4 voxels, and one of 2 x 2 over all that is left.

    Args:
        patch: Width of a patch, voxels.

    Raises:
        InputError: The patch is not even, or below 8 voxels.
    """
    if patch < SMALLEST or patch % 2:
        raise InputError(
            f"patch: {patch} found, an even number of {SMALLEST} voxels or more expected by a network without padding; "
            "change it"
        )
    layers, size = [], patch
    while size > WIDEST_LAST:
        if size % 4 == 0:
            size -= 2
            layers.append(Layer(3, False, size))
        size = (size - 2) // 2
        layers.append(Layer(3, True, size))
    if size == WIDEST_LAST:
        size -= 2
        layers.append(Layer(3, False, size))
    return [*layers, Layer(2, False, 1)]


def layer_widths(patch: int, widths: Sequence[int]) -> list[int]:
    """Channels of each layer of `layout`: the last of `widths`, preceded by its first as often as needed."""
    count = len(layout(patch))
    return [*[widths[0]] * (count - len(widths)), *widths][-count:]


def encoder(patch: int, widths: Sequence[int]) -> nn.Sequential:
    """Build the encoder, from patches (n, 1, p, p) to latent vectors (n, size).

    Args:
        patch: Width p of a patch, voxels.
        widths: Channels, see `layer_widths`; the last is the size of the latent vector.
    """
    parts: list[nn.Module] = []
    before = 1
    for layer, width in zip(layout(patch), layer_widths(patch, widths), strict=True):
        kind = nn.Conv2d if parts else FirstConv2d
        convolution = kind(before, width, layer.kernel, bias=False)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        parts += [convolution, nn.BatchNorm2d(width), nn.ReLU()]
        if layer.pooled:
            parts.append(nn.MaxPool2d(2))
        before = width
    return nn.Sequential(*parts, nn.Flatten())


class UnpaddedNetwork(PatchNetwork):
    """Valid convolutions, with the slice's code and the heads of the paper's network.

    Args:
        patch: Width of a patch, voxels.
        widths: Channels of the last four convolutions; the last is the size of the latent vector.
        slice_code: As of `PatchNetwork`.
        heads: As of `PatchNetwork`.
    """

    encoder: nn.Sequential

    def __init__(
        self,
        patch: int,
        widths: Sequence[int] = PAPER_WIDTHS,
        *,
        slice_code: bool = True,
        heads: Heads = "separate",
    ) -> None:
        super().__init__(encoder(patch, widths), widths, slice_code=slice_code, heads=heads)
        self.patch = patch


def pooled_apart(maps: Tensor) -> Tensor:
    """Take the 2 x 2 pool at every place; places that are two apart form a map of their own.

    Args:
        maps: (n, channels, h, w), h and w odd.

    Returns:
        (4 n, channels, (h - 1) / 2, (w - 1) / 2), channels last: the pool that begins at (x, y) of map i is at
        (x // 2, y // 2) of map (2 (y % 2) + x % 2) n + i.
    """
    x = maps.permute(0, 2, 3, 1)
    n, height, width, channels = x.shape
    rows = x.new_empty((2, n, height // 2, width, channels))
    torch.maximum(x[:, :-1:2], x[:, 1::2], out=rows[0])
    torch.maximum(x[:, 1::2], x[:, 2::2], out=rows[1])
    rows = rows.flatten(0, 1)
    pooled = x.new_empty((2, 2 * n, height // 2, width // 2, channels))
    torch.maximum(rows[:, :, :-1:2], rows[:, :, 1::2], out=pooled[0])
    torch.maximum(rows[:, :, 1::2], rows[:, :, 2::2], out=pooled[1])
    return pooled.flatten(0, 1).permute(0, 3, 1, 2)


class ReadyUnpadded(ReadyNetwork):
    """An unpadded network made ready to predict many patches of a slice; its patch is the network's.

    A slice is computed in strips whose activations memory_mb bounds, but for strips of as few rows as there are maps of
    places along one axis.

    Args:
        network: Network in evaluation mode.
        device: Device that the network computes on.
        precision: Precision of the encoder.
        memory_mb: Bound on the activations, MB, see `ReadyNetwork`.
    """

    def __init__(
        self,
        network: UnpaddedNetwork,
        device: Device = "cpu",
        precision: Precision = "float32",
        memory_mb: float | None = None,
    ) -> None:
        folded = for_inference(network).to(device)
        super().__init__(folded, network.patch, device, precision, memory_mb=memory_mb or MEMORY_MB[device])
        self.encoder = folded.encoder.to(self.dtype)
        self.layers = layout(network.patch)
        self.convolutions = [part for part in self.encoder if isinstance(part, nn.Conv2d)]
        self.sparse = SPARSE * self._shared_work()
        self.pools = sum(layer.pooled for layer in self.layers)
        self.apart: int = 2**self.pools  # places of one map after all pools, along one axis
        self.batch = max(1, int(self.memory / self._bytes(1, 1)))
        self.most_steps: int | None = (
            None  # rows of a strip that fit, in steps of `apart`, if that was not all
        )

    def _shared_work(self) -> float:
        """Multiplications of all convolutions for a voxel of the dense pass, over those for a single patch."""
        dense, single, size = 0, 0, self.patch
        for convolution, layer in zip(self.convolutions, self.layers, strict=True):
            weights = convolution.weight.numel()
            dense += weights
            single += weights * (size - layer.kernel + 1) ** 2
            size = layer.size
        return dense / single

    def _most_at_once(self, slices: PaddedSlices) -> int:
        """Rows of a strip, in steps of `apart`."""
        width, height = (size - self.patch + 1 for size in slices.padded.shape[1:])
        steps = min(self._rows(height), _whole(width, self.apart)) // self.apart
        return min(steps, self.most_steps or steps)

    def _take_no_more_than(self, at_once: int) -> None:
        self.most_steps = at_once

    def _predict_into(
        self, predictions: Tensor, slices: PaddedSlices, codes: Tensor, at_once: int, progress: Progress
    ) -> None:
        """Slice by slice, strip by strip."""
        padded, ends, centers, _ = slices
        width, done = padded.shape[1] - self.patch + 1, 0
        for number in progress(range(len(padded))):
            for begin in range(0, width, at_once * self.apart):
                end = min(begin + at_once * self.apart, width)
                part = slice(done, int(ends[number, end - 1]))
                done = part.stop
                strip = padded[number, begin : end + self.patch - 1].to(self.dtype)
                x, y = centers.x[part] - begin, centers.y[part]
                predictions[part] = self._strip(strip, x, y, codes[number])

    @torch.inference_mode()
    def predict_patches(self, cut: Tensor, code: Tensor) -> Tensor:
        """Predict the locations of patches that were cut out, see `ReadyNetwork.predict_patches`."""
        return self._headed(self.encoder(cut).float() + code)

    def _strip(self, strip: Tensor, x: Tensor, y: Tensor, code: Tensor) -> Tensor:
        """Encode all patches of a strip, and apply both heads to those that begin at (x, y): (n, 4)."""
        if not len(x):
            return strip.new_empty((0, 4), dtype=torch.float32)
        # Zeros after the end, for as many places as maps that are apart have together.
        width, height = (_whole(size - self.patch + 1, self.apart) + self.patch - 1 for size in strip.shape)
        maps = functional.pad(strip, (0, height - strip.shape[1], 0, width - strip.shape[0]))[None, None]
        for convolution, layer in zip(self.convolutions, self.layers, strict=True):
            maps = convolution(maps).relu_()
            if layer.pooled:
                maps = pooled_apart(maps)
        number = torch.zeros_like(x)
        for pool in range(self.pools):
            number += (2 * (y >> pool & 1) + (x >> pool & 1)) << 2 * pool
        place = (number * maps.shape[2] + (x >> self.pools)) * maps.shape[3] + (y >> self.pools)
        latents = maps.permute(0, 2, 3, 1).flatten(0, 2)
        return self._headed(latents.index_select(0, place).float() + code)

    def _rows(self, height: int) -> int:
        """Rows of places whose activations fit the memory, together with all columns."""
        columns, rows = _whole(height, self.apart), self.apart
        while self._bytes(2 * rows, columns) <= self.memory:
            rows *= 2
        return rows

    def _bytes(self, width: int, height: int) -> int:
        """Bytes of inputs and outputs of the layer or head that needs most, for width * height places together."""
        size, channels, most = self.patch, 1, 0
        for convolution, layer in zip(self.convolutions, self.layers, strict=True):
            before = channels * (width + size - 1) * (height + size - 1)
            size, channels = size - layer.kernel + 1, convolution.out_channels
            after = channels * (width + size - 1) * (height + size - 1)
            # A pool at every place gives as much as it reads, by way of as much.
            most = max(most, before + after, 3 * after if layer.pooled else 0)
            size = layer.size
        voxel_bytes: int = self.dtype.itemsize
        heads: int = HEAD_MAPS * self.latent_size * width * height * torch.float32.itemsize
        return max(most * voxel_bytes, channels * width * height * voxel_bytes + heads)


def _whole(count: int, step: int) -> int:
    """The next multiple of a step."""
    return -(-count // step) * step
