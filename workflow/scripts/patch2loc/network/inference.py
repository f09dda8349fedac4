"""The location network rewritten for every voxel of a slice: the same numbers for a fraction of the work.

Batch normalizations are folded into the layers before them.  The first convolution and the pool are computed once a
slice instead of once a patch (`stem`).  Convolutions on maps of 2 x 2 voxels or fewer are matrix products that leave
the zeros out.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from patch2loc.data.prefetch import prefetched
from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.cuda_graph import recorded
from patch2loc.engine.halving import halved_until_it_fits
from patch2loc.engine.precision import PRECISIONS
from patch2loc.engine.transfer import to_device
from patch2loc.network import patches
from patch2loc.network.centers import Centers, sorted_centers
from patch2loc.network.fast_convolution import with_fast_convolutions
from patch2loc.network.fused_convolution import with_fused_convolutions
from patch2loc.network.location import LocationNetwork, PatchNetwork, for_inference, slice_code
from patch2loc.network.stem import Stem

# MB of activations at once.  A thread of a processor is fastest with about what its caches hold.
MEMORY_MB: dict[Device, float] = {"cpu": 8, "cuda": 4096}
MAPS = 5  # of the first layer's size that are in memory together
LARGEST_BATCH = 32768  # patches; more at once are no faster on any device
STEM_SHARE = 0.25  # of the memory, for the stem's maps of the slices that are computed together
SPARSE = 0.1  # share of the slices' voxels below which single patches are quicker than whole slices

Part = TypeVar("Part")
# Goes through the numbers of slices in turn, as tqdm does.
Progress = Callable[[Sequence[int]], Iterable[int]]


class DeviceCenters(NamedTuple):
    """Where patches begin, (n,) int32 each, on the network's device: the slice among the padded ones, x and y."""

    z: Tensor
    x: Tensor
    y: Tensor


class ReadyNetwork(ABC):
    """Base of inference networks: fuses both heads, splits batches to fit memory.

    Args:
        folded: From `for_inference`, on the device.
        patch: Width p of a patch, voxels, even.
        device: Device that the network computes on.
        precision: Precision of the encoder; the heads are always float32, as a location has more digits than half
            precision.
        memory_mb: Bound on the activations, MB, of each thread on a processor: on how many patches are computed at
            once, not on the result; a GPU that has less memory gets fewer.
    """

    def __init__(
        self, folded: PatchNetwork, patch: int, device: Device, precision: Precision, *, memory_mb: float
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
        self.memory = memory_mb * 1e6
        self.batch = 1  # patches at once
        # Kernels are planned and recorded once for inputs of one shape, where they are launched on another device.
        self.one_shape = device != "cpu"

    @abstractmethod
    def predict_slices(
        self, padded: Tensor, ends: np.ndarray, centers: DeviceCenters, location: Tensor, progress: Progress
    ) -> Tensor:
        """Predict mean and log-variance of the locations of many patches of padded slices.

        Args:
            padded: (slices, width + p - 1, height + p - 1), on the network's device as all but `ends`.
            ends: (slices, width), on the host: number of patches up to the end of each row along y.
            centers: Where the patches begin, in order of slice and x.
            location: Locations of the slices, (slices,), percent of the grid's height.
            progress: Goes through the slices.

        Returns:
            (n, 4) float32: mean x, y in percent of the grid, log-variance x, y.
        """

    @abstractmethod
    def predict_patches(self, cut: Tensor, code: Tensor) -> Tensor:
        """Predict as `predict_slices` does, for patches that were cut out: each is computed by itself.

        Args:
            cut: (n, 1, p, p), on the network's device, in its precision.
            code: Codes of their slices, (n, latent size) float32.
        """

    @torch.inference_mode()
    def predict_few(self, padded: Tensor, centers: DeviceCenters, location: Tensor) -> Tensor:
        """Predict as `predict_slices` does, for a few patches, which are cut out."""
        n, codes = len(centers.x), self._codes(location)

        def compute(at_once: int) -> Tensor:
            predictions = self._empty(n)

            @torch.inference_mode()
            def one(part: slice) -> None:
                z, x, y = (of_all[part] for of_all in centers)
                cut = patches.cut(padded, z, x, y, patch=self.patch).to(self.dtype)
                predictions[part] = self.predict_patches(cut, codes[z])

            self._compute_each(one, (slice(begin, begin + at_once) for begin in range(0, n, at_once)))
            return predictions

        predictions, _ = halved_until_it_fits(compute, min(self.batch, n))
        return predictions

    def _compute_each(self, compute: Callable[[Part], None], parts: Iterable[Part]) -> None:
        """Compute parts of a result, in as many threads as torch has on a processor, each part in one.

        Small parts are faster so than one after the other by all threads, and do not depend on how many these are.
        """
        threads = torch.get_num_threads() if self.device == "cpu" else 1
        if threads == 1:
            for part in parts:
                compute(part)
            return

        def compute_alone(part: Part) -> None:
            torch.get_num_threads()  # or the first operator of the thread takes the number of the main thread
            torch.set_num_threads(1)  # of this thread
            compute(part)

        try:
            for _ in prefetched(compute_alone, parts, threads):
                pass
        finally:
            torch.set_num_threads(threads)

    def _codes(self, location: Tensor) -> Tensor:
        """Codes of slices, (slices, latent size) float32, from their locations."""
        return slice_code(location, self.latent_size).float()

    def _empty(self, n: int) -> Tensor:
        """Predictions of n patches, (n, 4), each kind of number in one piece."""
        return torch.empty((4, n), device=self.device).T

    def _headed(self, latent: Tensor) -> Tensor:
        """Both heads: (n, latent size), the slice's code added, -> (n, 4)."""
        values = latent.expand(2, *latent.shape)
        for weight, bias in self.heads[:-1]:
            values = torch.baddbmm(bias, values, weight).relu_()
        weight, bias = self.heads[-1]
        return torch.baddbmm(bias, values, weight).permute(1, 0, 2).flatten(1)


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

    @torch.inference_mode()
    def predict_slices(
        self,
        padded: Tensor,
        ends: np.ndarray,
        centers: DeviceCenters,
        location: Tensor,
        progress: Progress = iter,
    ) -> Tensor:
        """Predict the locations of many patches of slices, see `ReadyNetwork.predict_slices`.

        The patches of all slices are one sequence, which is cut into batches of one size.
        """
        codes = self._codes(location)

        def compute(at_once: int) -> Tensor:
            predictions = self._empty(int(ends[-1, -1]))

            @torch.inference_mode()
            def one(pieces: list[_Piece]) -> None:
                part = slice(pieces[0].part.start, pieces[-1].part.stop)
                predictions[part] = self._predict_batch(pieces, centers, codes, at_once)

            self._compute_each(one, self._batches(padded, ends[:, -1], at_once, progress))
            return predictions

        predictions, self.batch = halved_until_it_fits(compute, self.batch)
        return predictions

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


def predict(
    volume: np.ndarray, voxels: np.ndarray, network: ReadyNetwork, progress: Progress = iter
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
    centers, order = sorted_centers(voxels, volume.shape)
    predictions = np.empty((len(voxels), 4), np.float32)
    predictions[order] = predict_centers(volume, centers, network, progress).cpu().numpy()
    return predictions[:, :2], predictions[:, 2:]


def predict_centers(
    volume: np.ndarray, centers: Centers, network: ReadyNetwork, progress: Progress = iter
) -> Tensor:
    """Predict the locations of the patches around centers, without waiting for the network's device.

    Args:
        volume: As of `predict`.
        centers: In the volume.
        network: Network ready for inference.
        progress: As of `predict`.

    Returns:
        (n, 4) float32 on the network's device: mean x, y in percent of the grid, log-variance x, y.
    """
    if not len(centers.x):
        return torch.empty((0, 4), device=network.device)
    (left, front, first), (right, back, last) = (
        [int(of(places)) for places in (centers.x, centers.y, centers.z)] for of in (np.min, np.max)
    )
    if network.one_shape:  # of all scans of a grid
        (left, front), (right, back) = (0, 0), (volume.shape[0] - 1, volume.shape[1] - 1)
    slices = to_device(volume, network.device).permute(2, 0, 1)[first : last + 1]
    padded = patches.pad_slices(slices, network.patch)
    window = padded[:, left : right + network.patch, front : back + network.patch]
    places = DeviceCenters(
        *(
            to_device(voxels - np.int32(begin), network.device)
            for voxels, begin in ((centers.z, first), (centers.x, left), (centers.y, front))
        )
    )
    location = patches.location(torch.arange(first, last + 1, device=network.device), volume.shape[2])
    with_patches = np.count_nonzero(np.diff(centers.ends[:, -1], prepend=0))
    if len(centers.x) < SPARSE * with_patches * padded[0].numel():
        return network.predict_few(window, places, location)
    ends = centers.ends[first : last + 1, left : right + 1]
    return network.predict_slices(window, ends, places, location, progress)
