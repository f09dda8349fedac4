"""The location network rewritten for every voxel of a slice: the same numbers for a fraction of the work.

Batch normalizations are folded into the layers before them.  The first convolution and the pool are computed once a
slice instead of once a patch (`stem`).  Convolutions on maps of 2 x 2 voxels or fewer are matrix products that leave
the zeros out.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.cuda_graph import recorded
from patch2loc.network.fast_convolution import with_fast_convolutions
from patch2loc.network.fused_convolution import with_fused_convolutions
from patch2loc.network.location import LocationNetwork, for_inference
from patch2loc.network.ready import DeviceCenters, PaddedSlices, Progress, ReadyNetwork
from patch2loc.network.stem import Stem

# MB of activations at once.  A thread of a processor is fastest with about what its caches hold.
MEMORY_MB: dict[Device, float] = {"cpu": 8, "cuda": 4096}
MAPS = 5  # of the first layer's size that are in memory together
LARGEST_BATCH = 32768  # patches; more at once are no faster on any device
STEM_SHARE = 0.25  # of the memory, for the stem's maps of the slices that are computed together


class _Piece(NamedTuple):
    """Patches of a batch whose slices were computed together.

    Attributes:
        part: Their part of all patches.
        first: Index of the first of these slices.
        maps: Of the stem, for these slices.
    """

    part: slice
    first: int
    maps: Tensor


class _Recorded:
    """Layers and heads on a batch of one size in memory of its own, recorded so that one launch computes it.

    Args:
        located: `DenseNetwork._located`.
        pooled: Inputs of the layers, (batch, channels, size, size).
        code: Codes of the patches' slices, (batch, latent size).
    """

    def __init__(self, located: Callable[[Tensor, Tensor], Tensor], pooled: Tensor, code: Tensor) -> None:
        self.pooled, self.code = pooled, code
        self.predictions = torch.empty((len(pooled), 4), device=code.device)
        self.compute = recorded(lambda: self.predictions.copy_(located(pooled, code)))


class DenseNetwork(ReadyNetwork):
    """A location network made ready to predict many patches of a slice.

    Args:
        network: Network in evaluation mode.
        patch: Width p of a patch, voxels, even.
        device: Device that the network computes on.
        precision: Precision of the encoder.
        memory_mb: Bound on the activations, MB, see `ReadyNetwork`; None for MEMORY_MB.
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
        super().__init__(folded, patch, device, precision, memory_mb=memory_mb or MEMORY_MB[device])
        encoder = folded.encoder.to(self.dtype)
        self.stem = Stem(encoder.conv1, patch)
        self.layers = nn.Sequential(encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4)
        # On other devices, or in half precision, multiplications are not what takes the time.
        if device == "cpu" and self.dtype == torch.float32:
            with_fast_convolutions(self.layers, torch.zeros(1, self.stem.channels, *[self.stem.size] * 2))
        if device == "cuda":
            with_fused_convolutions(self.layers)
        bytes_each = MAPS * self.stem.size**2 * self.stem.channels * self.dtype.itemsize
        self.batch = max(1, min(LARGEST_BATCH, int(self.memory / bytes_each)))
        self.of_one_shape: _Recorded | None = None

    def _most_at_once(self, slices: PaddedSlices) -> int:
        """Patches of a batch."""
        return self.batch

    def _take_no_more_than(self, at_once: int) -> None:
        self.batch = at_once

    def _predict_into(
        self, predictions: Tensor, slices: PaddedSlices, codes: Tensor, at_once: int, progress: Progress
    ) -> None:
        """The patches of all slices are one sequence, which is cut into batches of one size."""

        @torch.inference_mode()
        def one(pieces: list[_Piece]) -> None:
            part = slice(pieces[0].part.start, pieces[-1].part.stop)
            predictions[part] = self._predict_batch(pieces, slices.centers, codes, at_once)

        self._compute_each(one, self._batches(slices.padded, slices.ends[:, -1], at_once, progress))

    def _batches(
        self, padded: Tensor, ends: np.ndarray, at_once: int, progress: Progress
    ) -> Iterator[list[_Piece]]:
        """Batches of patches in turn, with the stem's maps of their slices.  ends: of the patches of each slice."""
        together = max(1, int(STEM_SHARE * self.memory / self.stem.bytes_of_maps(padded.shape[1:])))
        pieces: list[_Piece] = []
        begin, n = 0, int(ends[-1])
        for first in progress(range(0, len(padded), together)):
            last = min(first + together, len(padded))
            end = int(ends[last - 1])
            if begin == end:
                continue
            maps = self.stem.maps(padded[first:last].to(self.dtype))
            while begin < end:
                stop = min(end, (begin // at_once + 1) * at_once)
                pieces.append(_Piece(slice(begin, stop), first, maps))
                begin = stop
                if stop % at_once == 0 or stop == n:
                    yield pieces
                    pieces = []

    def _predict_batch(
        self, pieces: list[_Piece], centers: DeviceCenters, codes: Tensor, at_once: int
    ) -> Tensor:
        """Predict the locations of one batch: (n, 4)."""
        part = slice(pieces[0].part.start, pieces[-1].part.stop)
        n = part.stop - part.start
        if self.one_shape:
            if self.of_one_shape is None or len(self.of_one_shape.code) != at_once:
                self.of_one_shape = None  # before there is another
                self.of_one_shape = _Recorded(self._located, *self._inputs(at_once, codes.device))
            pooled, code = self.of_one_shape.pooled, self.of_one_shape.code
        else:
            pooled, code = self._inputs(n, codes.device)
        for piece in pieces:
            begin = piece.part.start - part.start
            z, x, y = (of_all[piece.part] for of_all in centers)
            self.stem.gather(piece.maps, z - piece.first, x, y, out=pooled[begin : begin + len(x)])
        torch.index_select(codes, 0, centers.z[part], out=code[:n])
        if self.of_one_shape is None:
            return self._located(pooled, code)
        self.of_one_shape.compute()
        return self.of_one_shape.predictions[:n]

    def _inputs(self, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Memory for what the layers and the heads take for n patches."""
        size = self.stem.size
        pooled = torch.empty((n, size, size, self.stem.channels), dtype=self.dtype, device=device)
        return pooled.permute(0, 3, 1, 2), torch.empty((n, self.latent_size), device=device)

    @torch.inference_mode()
    def predict_patches(self, cut: Tensor, code: Tensor) -> Tensor:
        """Predict the locations of patches that were cut out, see `ReadyNetwork.predict_patches`."""
        return self._located(self.stem.pooled(cut), code)

    def _located(self, pooled: Tensor, code: Tensor) -> Tensor:
        """Layers and both heads: (n, channels, size, size), (n, latent size) -> (n, 4)."""
        return self._headed(self.layers(pooled).float().mean((2, 3)) + code)
