"""First convolution, ReLU and pool of the encoder, computed once a slice instead of once a patch.

Neighboring patches share them but for the zeros around a patch, which make few variants.
"""

from collections.abc import Callable, Sequence
from functools import partial, reduce

import torch
from torch import Tensor, nn
from torch.nn import functional

Taps = tuple[int, ...]


def pool_windows(patch: int) -> list[tuple[Taps | None, ...]]:
    """Receptive fields of the places of a patch's pooled map, along one axis.

    The first convolution (kernel 3, stride 2, padding 3) gives patch/2 + 2 places; the pool (kernel 3, stride 2,
    padding 1) takes the largest of three of them.

    Returns:
        For each pooled place its three places of the convolution: which of the kernel's rows meet the patch; None
        where the pool's own padding is.
    """
    places = [tuple(tap for tap in range(3) if 0 <= 2 * k - 3 + tap < patch) for k in range(patch // 2 + 2)]
    padded = [None, *places, None]
    return [tuple(padded[k : k + 3]) for k in range(0, len(places), 2)]


class Stem:
    """First convolution, ReLU and pool of the patches of slices.

    Args:
        convolution: The first layer with its batch normalization folded in, (channels, 1, 3, 3).
        patch: Width p of a patch, voxels.
    """

    def __init__(self, convolution: nn.Conv2d, patch: int) -> None:
        if convolution.bias is None:
            raise ValueError(
                "a convolution without bias found, one with its normalization folded in expected"
            )
        self.convolution = convolution
        windows = pool_windows(patch)
        self.kinds = list(dict.fromkeys(windows))
        self.cuts = sorted({taps for window in windows for taps in window if taps})
        self.patch, self.size, self.channels = patch, len(windows), convolution.out_channels
        rows = torch.zeros(len(self.cuts), 3)
        for row, taps in zip(rows, self.cuts, strict=True):
            row[list(taps)] = 1
        masks = (rows[:, None, :, None] * rows[None, :, None, :]).to(convolution.weight)
        self.kernels = (masks[:, :, None, None] * convolution.weight).flatten(0, 2)
        self.bias = convolution.bias.repeat(len(self.cuts) ** 2)
        self.constant = convolution.bias.relu()  # where the kernel meets nothing of the patch
        self.kind = torch.tensor(
            [self.kinds.index(window) for window in windows], dtype=torch.int32, device=self.bias.device
        )

    def maps(self, windows: Tensor) -> Tensor:
        """Compute every kind of pooled place, for all patches of a part of some slices.

        Args:
            windows: (slices, x + p - 1, y + p - 1), each of which holds x * y patches.

        Returns:
            (slices, kinds, kinds, x + 4 s, y + 4 s, channels), s the pooled map's size less 1: the place (m, n) of the
            patch that begins at (x, y) is at (x + 4 m, y + 4 n).
        """
        # The middle one of a place's three convolutions begins 3 voxels before it, its neighbors 2 more and 2 less.
        reach = 4 * (self.size - 1)
        after = reach + 2 - self.patch
        padded = functional.pad(windows, (5, after, 5, after))[:, None]
        kernels = self.kernels.to(memory_format=torch.channels_last)
        convolved = functional.conv2d(padded, kernels, self.bias).relu_().permute(0, 2, 3, 1)
        cut_maps = torch.unflatten(convolved, 3, (len(self.cuts), len(self.cuts), self.channels))
        width, height = self._places(windows.shape[1:])
        maps = windows.new_empty(
            (len(windows), len(self.kinds), len(self.kinds), width, height, self.channels)
        )

        def part_of_rows(column_cut: int, row_cut: int, begin: int) -> Tensor:
            return cut_maps[:, begin : begin + width, :, row_cut, column_cut]

        def part_of_columns(pooled: list[Tensor], column_cut: int, begin: int) -> Tensor:
            return pooled[column_cut][:, :, begin : begin + height]

        for number, rows in enumerate(self.kinds):
            pooled = [self._largest(rows, partial(part_of_rows, j)) for j in range(len(self.cuts))]
            for other, columns in enumerate(self.kinds):
                maps[:, number, other].copy_(self._largest(columns, partial(part_of_columns, pooled)))
        return maps

    def bytes_of_maps(self, window: Sequence[int]) -> int:
        """Bytes of `maps` of one slice.  window: its shape, (x + p - 1, y + p - 1)."""
        width, height = self._places(window)
        return len(self.kinds) ** 2 * width * height * self.channels * self.bias.element_size()

    def _places(self, window: Sequence[int]) -> tuple[int, int]:
        """Places along both axes of the maps of a window."""
        width, height = (size - self.patch + 1 + 4 * (self.size - 1) for size in window)
        return width, height

    def _largest(self, window: tuple[Taps | None, ...], part: Callable[[int, int], Tensor]) -> Tensor:
        """The pool along one axis; part: from the index of a cut and a first place to the convolution there."""
        parts = [
            part(self.cuts.index(taps), 2 * step) if taps else self.constant
            for step, taps in enumerate(window)
            if taps is not None
        ]
        return reduce(torch.maximum, parts)

    def gather(self, maps: Tensor, index: Tensor, x: Tensor, y: Tensor, *, out: Tensor) -> None:
        """Gather the pooled maps of the patches that begin at (x, y).

        Args:
            maps: From `maps`.
            index: Slice of each patch among those of the maps, (n,) int32.
            x: (n,) int32.
            y: (n,) int32.
            out: Where to put them, (n, channels, size, size), channels last.
        """
        _, kinds, _, width, height, channels = maps.shape
        step = 4 * torch.arange(self.size, dtype=torch.int32, device=maps.device)
        place = (self.kind[:, None] * kinds + self.kind) * (width * height) + step[:, None] * height + step
        first = (index * (kinds**2 * width) + x) * height + y
        rows = (first[:, None] + place.flatten()).flatten()
        torch.index_select(maps.view(-1, channels), 0, rows, out=out.permute(0, 2, 3, 1).view(-1, channels))

    def pooled(self, cut: Tensor) -> Tensor:
        """Compute the same for patches that were cut out: (n, 1, p, p) -> (n, channels, size, size)."""
        return functional.max_pool2d(self.convolution(cut).relu_(), kernel_size=3, stride=2, padding=1)
