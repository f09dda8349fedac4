"""A network made ready for inference: both heads in one, batches that fit memory, and threads that share the work."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from patch2loc.data.prefetch import prefetched
from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.halving import halved_until_it_fits
from patch2loc.engine.precision import PRECISIONS
from patch2loc.network import patches
from patch2loc.network.location import PatchNetwork

Part = TypeVar("Part")
# Goes through the numbers of slices in turn, as tqdm does.
Progress = Callable[[Sequence[int]], Iterable[int]]


class DeviceCenters(NamedTuple):
    """Where patches begin, (n,) int32 each, on the network's device: the slice among the padded ones, x and y."""

    z: Tensor
    x: Tensor
    y: Tensor


class PaddedSlices(NamedTuple):
    """Slices of a scan, and the patches of them that are asked for.

    Attributes:
        padded: (slices, width + p - 1, height + p - 1), on the network's device as all but `ends`.
        ends: (slices, width), on the host: number of patches up to the end of each row along y.
        centers: Where the patches begin, in order of slice and x.
        location: Locations of the slices, (slices,), percent of the grid's height.
    """

    padded: Tensor
    ends: np.ndarray
    centers: DeviceCenters
    location: Tensor


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

    sparse = 0.1  # share of the slices' voxels below which single patches are quicker than whole slices

    def __init__(
        self, folded: PatchNetwork, patch: int, device: Device, precision: Precision, *, memory_mb: float
    ) -> None:
        self.patch, self.device, self.dtype = patch, device, PRECISIONS[precision]
        self.latent_size, self.codes = folded.widths[-1], folded.codes
        branches = [
            [layer for layer in (*folded.trunk, *branch) if isinstance(layer, nn.Linear)]
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

    @torch.inference_mode()
    def predict_slices(self, slices: PaddedSlices, progress: Progress = iter) -> Tensor:
        """Predict mean and log-variance of the locations of many patches of padded slices.

        Args:
            slices: With the places of their patches.
            progress: Goes through the slices.

        Returns:
            (n, 4) float32: mean x, y in percent of the grid, log-variance x, y.
        """
        codes, most = self._codes(slices.location), self._most_at_once(slices)

        def compute(at_once: int) -> Tensor:
            predictions = self._empty(int(slices.ends[-1, -1]))
            self._predict_into(predictions, slices, codes, at_once, progress)
            return predictions

        predictions, at_once = halved_until_it_fits(compute, most)
        if at_once < most:
            self._take_no_more_than(at_once)
        return predictions

    @abstractmethod
    def _most_at_once(self, slices: PaddedSlices) -> int:
        """How much of the slices the memory is expected to hold at once, in a unit of the network's own."""

    @abstractmethod
    def _take_no_more_than(self, at_once: int) -> None:
        """Expect of the memory what it was found to hold, for all further slices."""

    @abstractmethod
    def _predict_into(
        self, predictions: Tensor, slices: PaddedSlices, codes: Tensor, at_once: int, progress: Progress
    ) -> None:
        """Write what `predict_slices` returns, from the codes of the slices, (slices, latent size)."""

    @abstractmethod
    def predict_patches(self, cut: Tensor, code: Tensor) -> Tensor:
        """Predict as `predict_slices` does, for patches that were cut out: each is computed by itself.

        Args:
            cut: (n, 1, p, p), on the network's device, in its precision.
            code: Codes of their slices, (n, latent size) float32.
        """

    @torch.inference_mode()
    def predict_few(self, slices: PaddedSlices) -> Tensor:
        """Predict as `predict_slices` does, for a few patches, which are cut out."""
        n, codes = len(slices.centers.x), self._codes(slices.location)

        def compute(at_once: int) -> Tensor:
            predictions = self._empty(n)

            @torch.inference_mode()
            def one(part: slice) -> None:
                z, x, y = (of_all[part] for of_all in slices.centers)
                cut = patches.cut(slices.padded, z, x, y, patch=self.patch).to(self.dtype)
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
        return self.codes(location).float()

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
