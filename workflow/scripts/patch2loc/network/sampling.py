"""Random training patches, drawn where the network is (paper, sections 2.1 and 4.1)."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from patch2loc.engine.choices import Device
from patch2loc.engine.halving import halved_until_it_fits
from patch2loc.engine.pools import allocated, joined
from patch2loc.errors import InputError
from patch2loc.method_interface import Volumes
from patch2loc.network import patches

TRIES = 8  # draws of one slice a subject, of which the first that holds an accepted patch is taken


class PatchPool:
    """All axial slices of a cohort in the memory of a device, and every place that a patch may be taken from.

    A third of the voxels are accepted as centers of patches, so 3.3 bytes a voxel are needed: 1.3 GB for 100 scans of
    192 x 192 x 100.  While they are read, one scan is held besides, and the places are in main memory.

    Args:
        scans: Standardized volumes and masks, (x, y, z).
        patch: Width p of a patch, voxels.
        device: Device that holds the slices and draws patches.
        change: Applied to drawn patches, from (n, 1, p + 2 m, p + 2 m) and a generator to (n, 1, p, p); None leaves
            them as they are.
        margin: m, voxels that are cut at each edge besides the patch, for the change.

    Attributes:
        volumes: (subjects, slices, x, y) float16, 2 bytes a voxel.
        places: The accepted voxels, slice after slice, as int32 indices into their slice, 4 bytes each.

    Raises:
        InputError: There are no scans, no patch is accepted anywhere, or the device has too little memory.
    """

    def __init__(
        self,
        scans: Volumes,
        patch: int,
        device: Device,
        *,
        change: Callable[[Tensor, torch.Generator], Tensor] | None = None,
        margin: int = 0,
    ) -> None:
        if not len(scans):
            raise InputError("no scans to train or validate on; check the roles in the split")
        self.patch, self.change, self.cut = patch, change, patch + 2 * margin
        places, counts = [], []
        for subject, (volume, mask) in enumerate(scans):
            if subject == 0:
                shape = (len(scans), volume.shape[2], *volume.shape[:2])
                self.volumes = allocated(shape, torch.float16, device, len(scans))
            self.volumes[subject] = torch.from_numpy(volume).permute(2, 0, 1)
            accepted = patches.accepted(torch.from_numpy(mask).permute(2, 0, 1).to(device), patch).flatten(1)
            places.append(accepted.nonzero()[:, 1].int().cpu())
            counts.append(accepted.sum(dim=1))
        self.count = torch.cat(counts)  # (subjects * slices,) accepted places of each slice
        self.places = joined(places, device)
        if not len(self.places):
            raise InputError("no patch of any scan holds 20 % of brain; check the brain masks (qc.png)")
        self.first = self.count.cumsum(0) - self.count
        subjects, depth = self.volumes.shape[:2]
        self.fullest = self.count.view(subjects, depth).argmax(dim=1)

    def generator(self, *seed: int) -> torch.Generator:
        """Random number generator on the pool's device that depends on the seed alone."""
        state = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
        return torch.Generator(self.volumes.device).manual_seed(int(state >> np.uint64(1)))

    def one_slice_each(self, generator: torch.Generator) -> Tensor:
        """Draw a slice of each subject, (subjects,), as `draw` takes them; one at least has an accepted place."""
        subjects, depth = self.volumes.shape[:2]
        return self._first_with_a_place(
            torch.randint(depth, (TRIES, subjects), generator=generator, device=self.volumes.device)
        )

    def _first_with_a_place(self, tries: Tensor) -> Tensor:
        """The first row of slices, (tries, subjects) from 0, that holds an accepted place, or the fullest slices."""
        depth = self.volumes.shape[1]
        tries = torch.cat([tries, self.fullest[None]])
        tries += depth * torch.arange(tries.shape[1], device=tries.device)
        # The first try with a place. An index without dimensions would be read by the host, which would have to wait.
        first = (self.count[tries].sum(dim=1) > 0).int().argmax(dim=0, keepdim=True)
        return tries.index_select(0, first)[0]

    def slices_in_turn(self, seed: int, step: int) -> Tensor:
        """A slice of each subject, (subjects,), as `one_slice_each`, but each slice once before any comes again.

        Args:
            seed: Of the orders, one for each subject, which change when all slices were taken.
            step: Number of the batch, from 1.
        """
        subjects, depth = self.volumes.shape[:2]
        turn, position = divmod(step - 1, depth)
        shares = torch.rand(
            subjects, depth, generator=self.generator(seed, 3, turn), device=self.volumes.device
        )
        return self._first_with_a_place(shares.argsort(dim=1).roll(-position, 1)[:, :TRIES].T)

    def accepted_candidates(self, generator: torch.Generator, n: int, slices: Tensor) -> int:
        """Draw how many of n candidates, voxels of some slices, are accepted; two at least, for batch normalization.

        Args:
            generator: From `generator`.
            n: Candidates, drawn uniformly and with replacement.
            slices: (k,) indices into all subjects' slices.
        """
        _, _, width, height = self.volumes.shape
        share = self.count[slices].sum().double() / (len(slices) * width * height)
        accepted = torch.binomial(torch.full_like(share, n), share, generator=generator)
        return max(2, int(accepted.item()))

    def draw(
        self, generator: torch.Generator, n: int, slices: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw accepted patches uniformly, with replacement: what rejection of the others would give.

        Args:
            generator: From `generator`.
            n: Patches to draw.
            slices: (k,) indices into all subjects' slices, to draw from; None for all.

        Returns:
            Patches (n, 1, p, p) float32, their locations (n, 2) and slice locations (n,), percent of the grid.
        """
        _, depth, width, height = self.volumes.shape
        count = self.count if slices is None else self.count[slices]
        end = count.cumsum(0)
        share = torch.rand(n, generator=generator, device=end.device, dtype=torch.float64)
        number = torch.minimum((share * end[-1]).long(), end[-1] - 1)
        row = torch.searchsorted(end, number, right=True)
        slice_index = row if slices is None else slices[row]
        place = self.places[self.first[slice_index] + number - (end - count)[row]].long()
        x, y = place // height, place % height
        if slices is None:
            cut, _ = halved_until_it_fits(lambda at_once: self._cut_out(slice_index, x, y, at_once), n)
        else:
            cut = self._cut_of(slices, row, x, y)
        if self.change:
            cut = self.change(cut, generator)
        location = torch.stack([patches.location(x, width), patches.location(y, height)], dim=1)
        return cut, location, patches.location(slice_index % depth, depth)

    def _cut_out(self, slice_index: Tensor, x: Tensor, y: Tensor, at_once: int) -> Tensor:
        """Patches of any slices, (n, 1, p, p): of so many at once the slices are held, padded, besides."""
        cut = torch.empty((len(x), 1, self.cut, self.cut), device=x.device)
        for begin in range(0, len(x), at_once):
            part = slice(begin, begin + at_once)
            slices, row = torch.unique(slice_index[part], return_inverse=True)
            cut[part] = self._cut_of(slices, row, x[part], y[part])
        return cut

    def _cut_of(self, slices: Tensor, row: Tensor, x: Tensor, y: Tensor) -> Tensor:
        padded = patches.pad_slices(self.volumes.flatten(0, 1)[slices], self.cut)
        return patches.cut(padded, row, x, y, patch=self.cut).float()
