"""Slices that reconstruction methods are trained on, drawn from pools of scans."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from patch2loc.data.volumes import block
from patch2loc.engine.choices import Device
from patch2loc.engine.pools import joined
from patch2loc.errors import InputError
from patch2loc.method_interface import Volumes

LEAST_BRAIN = 0.01  # of a slice: emptier ones are not trained on


def slice_spacing(spacing: float) -> float:
    """Voxel size of the slices that networks see, mm, on a grid of a voxel size: a multiple of it."""
    return spacing * block(spacing)


def slices_of(volume: Tensor, mask: Tensor, spacing: float, multiple: int = 1) -> tuple[Tensor, Tensor]:
    """A standardized scan as networks see it: axial slices of 2 mm with intensities of 0 to 1.

    Args:
        volume: (x, y, z), standardized.
        mask: (x, y, z), the brain, on the same device.
        spacing: Voxel size of the grid, mm; blocks of round(2 / spacing) voxels along each axis become their mean, and
            a grid of 2 mm or coarser stays as it is.
        multiple: Slices are padded with zeros at their ends to a multiple of so many voxels, as networks need it.

    Returns:
        Intensities (slices, x', y') float32, clipped to 0..1 (1 is the 98th percentile of the brain), and the brain
        (slices, x', y') boolean, where it fills at least half of a voxel.
    """
    factor = block(spacing)
    stacked = torch.stack([volume.float().clamp(0, 1), mask.float()]).permute(0, 3, 1, 2)
    blocks = functional.avg_pool3d(_padded(stacked, (factor,) * 3), factor)
    intensities, brain = _padded(blocks, (1, multiple, multiple))
    return intensities, brain >= 0.5


def _padded(array: Tensor, multiples: tuple[int, int, int]) -> Tensor:
    """(..., slices, x, y) with zeros at the end of each axis up to a multiple."""
    missing = [-size % multiple for size, multiple in zip(array.shape[-3:], multiples, strict=True)]
    return functional.pad(array, [amount for last in reversed(missing) for amount in (0, last)])


class SlicePool:
    """All axial slices of a cohort in the memory of a device; while they are read, they are in main memory.

    Args:
        scans: Standardized scans and their brain masks.
        device: "cpu" or "cuda".
        spacing: Voxel size of the grid, mm.
        multiple: As of `slices_of`.

    Attributes:
        slices: (n, x', y') float16, intensities as of `slices_of`.
        masks: (n, x', y') boolean.
        accepted: (m,) places of the slices that are at least 1 % brain, which `draw` takes.
        scans: Number of scans.

    Raises:
        InputError: Without scans, when no slice holds brain, and when the device has too little memory.
    """

    def __init__(self, scans: Volumes, device: Device, spacing: float, multiple: int = 16) -> None:
        if not len(scans):
            raise InputError("no scans to train or validate on; check the roles in the split")
        slices, masks, shares = [], [], []
        for volume, mask in scans:
            intensities, brain = slices_of(
                torch.from_numpy(volume).to(device), torch.from_numpy(mask).to(device), spacing, multiple
            )
            slices.append(intensities.half().cpu())
            masks.append(brain.cpu())
            shares.append(brain.float().mean(dim=(1, 2)))
        self.scans = len(slices)
        self.slices, self.masks = joined(slices, device), joined(masks, device)
        self.accepted = (torch.cat(shares) >= LEAST_BRAIN).nonzero()[:, 0]
        if not len(self.accepted):
            raise InputError("no slice of any scan holds 1 % of brain; check the brain masks (qc.png)")

    @property
    def slices_each(self) -> int:
        """Slices of what is drawn at a time."""
        return 1

    @property
    def shape(self) -> tuple[int, int]:
        """Width and height of a slice."""
        width, height = self.slices.shape[1:]
        return width, height

    def generator(self, *seed: int) -> torch.Generator:
        """Random numbers of the pool's device that depend on the seed alone."""
        return torch.Generator(self.slices.device).manual_seed(generator_seed(*seed))

    def draw(self, generator: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
        """n slices, uniformly and with replacement: (n, 1, x', y') float32, and their brain, boolean."""
        place = torch.randint(len(self.accepted), (n,), generator=generator, device=self.slices.device)
        drawn = self.accepted[place]
        return self.slices[drawn, None].float(), self.masks[drawn, None]


class ScanPool(SlicePool):
    """A `SlicePool` of scans on one grid, for networks that see all slices of a scan together; draws whole scans."""

    @property
    def slices_each(self) -> int:
        """Slices of a scan."""
        return len(self.slices) // self.scans

    def draw(self, generator: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
        """n scans, none again before all were drawn: (n, slices, x', y') float32 in order of z, and their brain.

        Slices without brain are among them.
        """
        device, rounds = self.slices.device, -(-n // self.scans)
        orders = [torch.randperm(self.scans, generator=generator, device=device) for _ in range(rounds)]
        drawn = torch.cat(orders)[:n]
        slices, masks = (
            torch.unflatten(stack, 0, (self.scans, -1))[drawn] for stack in (self.slices, self.masks)
        )
        return slices.float(), masks


def generator_seed(*seed: int) -> int:
    """One number from several, for generators that take one."""
    return int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> np.uint64(1))
