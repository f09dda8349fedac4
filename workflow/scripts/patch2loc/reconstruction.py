"""Methods that reconstruct axial slices as if healthy: their slices, their training, and the residual as the score.

Networks see slices of 2 mm, as in the comparisons of Behrendt et al. that Table 1 of the paper quotes; the score is
brought back to the grid.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from patch2loc.dense import PRECISIONS
from patch2loc.errors import InputError
from patch2loc.methods import Volumes
from patch2loc.postprocessing import block
from patch2loc.training_loop import train_in_steps

LEAST_BRAIN = 0.01  # of a slice: emptier ones are not trained on

Loss = Callable[[nn.Module, Tensor, Tensor, torch.Generator], Tensor]
Losses = Callable[[nn.Module, Tensor, Tensor, torch.Generator], Iterable[Tensor]]


def slice_spacing(spacing: float) -> float:
    """Voxel size of the slices that networks see, mm, on a grid of a voxel size: a multiple of it."""
    return spacing * block(spacing)


def slices_of(volume: Tensor, mask: Tensor, spacing: float, multiple: int = 1) -> tuple[Tensor, Tensor]:
    """A standardised scan as networks see it: axial slices of 2 mm with intensities of 0 to 1.

    volume, mask: (x, y, z) on one device.  spacing: of the grid, mm; blocks of round(2 / spacing) voxels along each
    axis become their mean, and a grid of 2 mm or coarser stays as it is.  multiple: slices are padded with zeros at
    their ends to a multiple of so many voxels, as networks need it.
    Returns intensities (slices, x', y') float32, clipped to 0..1 (1 is the 98th percentile of the brain), and the
    brain (slices, x', y') boolean, where it fills at least half of a voxel.
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
    """All axial slices of a cohort in the memory of a device.

    slices: (n, x', y') float16, intensities as of `slices_of`.  masks: (n, x', y') boolean.
    accepted: (m,) places of the slices that are at least 1 % brain, which `draw` takes.
    scans: how many.  slices_each: slices of what is drawn at a time.
    Raises InputError without scans, and when no slice holds brain.
    """

    slices_each = 1

    def __init__(self, scans: Volumes, device: str, spacing: float, multiple: int = 16) -> None:
        if not len(scans):
            raise InputError("no scans to train or validate on; check the roles in the split")
        slices, masks = [], []
        for volume, mask in scans:
            given = torch.from_numpy(volume).to(device), torch.from_numpy(mask).to(device)
            intensities, brain = slices_of(*given, spacing, multiple)
            slices.append(intensities.half())
            masks.append(brain)
        self.scans = len(slices)
        self.slices, self.masks = torch.cat(slices), torch.cat(masks)
        self.accepted = (self.masks.float().mean(dim=(1, 2)) >= LEAST_BRAIN).nonzero()[:, 0]
        if not len(self.accepted):
            raise InputError("no slice of any scan holds 1 % of brain; check the brain masks (qc.png)")

    @property
    def shape(self) -> tuple[int, int]:
        """Width and height of a slice."""
        return tuple(self.slices.shape[1:])

    def generator(self, *seed: int) -> torch.Generator:
        """Random numbers of the pool's device that depend on the seed alone."""
        return torch.Generator(self.slices.device).manual_seed(_number(*seed))

    def draw(self, generator: torch.Generator, n: int) -> tuple[Tensor, Tensor]:
        """n slices, uniformly and with replacement: (n, 1, x', y') float32, and their brain, boolean."""
        place = torch.randint(len(self.accepted), (n,), generator=generator, device=self.slices.device)
        chosen = self.accepted[place]
        return self.slices[chosen, None].float(), self.masks[chosen, None]


class ScanPool(SlicePool):
    """The same of scans on one grid, for networks that see all slices of a scan together: `draw` takes whole scans."""

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
        chosen = torch.cat(orders)[:n]
        slices, masks = (whole.unflatten(0, (self.scans, -1))[chosen] for whole in (self.slices, self.masks))
        return slices.float(), masks


def _number(*seed: int) -> int:
    """One number from several, for generators that take one."""
    return int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> np.uint64(1))


def train(
    network: nn.Module,
    loss: Loss | Losses,
    training: SlicePool,
    validation: SlicePool,
    settings: Mapping[str, Any],
    checkpoint: Path | None,
    optimiser: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None = None,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
    clip: float | None = None,
    progress: Callable[[str], None] = print,
    measure: Loss | None = None,
) -> pd.DataFrame:
    """Train a network in place, to the weights of least validation loss; return its history.

    network: on the pools' device, initialised by the caller after torch.manual_seed(settings["seed"]).
    loss: loss(network, slices, masks, generator) -> scalar; slices (n, 1, x', y') in 0..1, masks boolean, all
    randomness (noise, time) from the generator; asked in training mode, and in evaluation mode of fixed validation
    slices with fixed random numbers.  With a `ScanPool` slices and masks are (n, slices, x', y').
    settings: steps, batch, learning_rate, validations, validation_slices, seed, precision ("bfloat16" computes the
    loss under autocast).  batch is of slices, with a `ScanPool` of scans; validation_slices are slices with both.
    optimiser: of the network's parameters; Adam when None.  Several, each of a part of the network, take turns in
    every step: loss(...) is then an iterator of as many losses, each asked for after the optimiser before has updated
    its part, and computed in float32.  schedule: of the first optimiser, stepped after every step.  clip: greatest
    norm of the gradient.
    measure: what the network is validated by, asked in evaluation mode as the loss would be; the loss when None.
    checkpoint: as of `training_loop.train_in_steps`.
    Returns rows of step, slices (seen), training_loss, validation_loss, learning_rate, slices_per_second.
    Raises FloatingPointError when the validation loss was never finite.
    """
    seed = settings["seed"]
    network.to(memory_format=torch.channels_last).train()
    optimiser = optimiser or torch.optim.Adam(network.parameters(), lr=settings["learning_rate"], fused=True)
    several = isinstance(optimiser, Sequence)
    held = max(1, settings["validation_slices"] // validation.slices_each)
    fixed = validation.draw(validation.generator(seed, 2), held)

    def losses_of(step: int) -> Iterable[Tensor]:
        generator = training.generator(seed, 1, step)
        torch.manual_seed(_number(seed, 4, step))  # of dropout, which takes no generator
        drawn = training.draw(generator, settings["batch"])
        if several:
            return loss(network, *drawn, generator)
        return [_loss(network, loss, *drawn, generator, settings["precision"])]

    def validate(rate: float) -> dict[str, float]:
        reached = _validate(network, measure or loss, fixed, validation.generator(seed, 3), settings)
        return {"validation_loss": reached, "learning_rate": rate}

    history = train_in_steps(
        network,
        optimiser if several else [optimiser],
        schedule,
        losses_of,
        validate,
        steps=settings["steps"],
        batch=settings["batch"] * training.slices_each,
        validations=settings["validations"],
        unit="slices",
        checkpoint=checkpoint,
        progress=progress,
        clip=clip,
    )
    return pd.DataFrame(history)


def _loss(
    network: nn.Module, loss: Loss, slices: Tensor, masks: Tensor, generator: torch.Generator, precision: str
) -> Tensor:
    half = precision != "float32"
    with torch.autocast(slices.device.type, PRECISIONS[precision], enabled=half):
        return loss(network, slices, masks, generator)


def _validate(
    network: nn.Module,
    loss: Loss,
    fixed: tuple[Tensor, Tensor],
    generator: torch.Generator,
    settings: Mapping[str, Any],
) -> float:
    """The mean loss on fixed slices, with the random numbers of a generator that is always the same."""
    network.eval()
    total, (slices, masks) = 0.0, fixed
    with torch.inference_mode():
        for part in zip(slices.split(settings["batch"]), masks.split(settings["batch"]), strict=True):
            value = _loss(network, loss, *part, generator, settings["precision"])
            total += value.item() * len(part[0])
    network.train()
    return total / len(slices)


def slice_score(
    maps_of: Callable[[Tensor, Tensor], Mapping[str, Tensor]],
    device: str,
    spacing: float,
    multiple: int = 16,
    batch: int | None = 32,
) -> Callable[[np.ndarray, np.ndarray, np.ndarray], dict[str, np.ndarray]]:
    """A scorer's function: what slices are scored by, on the grid.

    maps_of: slices (n, 1, x', y') float32 in 0..1, in order of z, n at most `batch`, and their brain (boolean) ->
    {name: as large a map, float32}, "score" among them; called under inference mode.  Slices that are not needed are
    left out, unless batch is None: then it gets all slices of a scan at once.  spacing: of the grid, mm (keep it in
    the state).
    multiple: as the network was trained (`SlicePool`).
    """
    factor = block(spacing)

    @torch.inference_mode()
    def score(volume: np.ndarray, mask: np.ndarray, wanted: np.ndarray) -> dict[str, np.ndarray]:
        given = torch.from_numpy(volume).to(device), torch.from_numpy(mask).to(device)
        slices, brain = slices_of(*given, spacing, multiple)
        needed = np.unique(np.flatnonzero(wanted.any(axis=(0, 1))) // factor)
        # Both neighbours of a needed slice, too: maps are interpolated between them.
        needed = np.unique(np.clip([needed - 1, needed, needed + 1], 0, len(slices) - 1)).tolist()
        if batch is None:
            needed = list(range(len(slices)))
        at_once = batch or len(slices)
        maps = {"score": torch.zeros_like(slices)}
        for start in range(0, len(needed), at_once):
            place = needed[start : start + at_once]
            for name, found in maps_of(slices[place, None], brain[place, None]).items():
                maps.setdefault(name, torch.zeros_like(slices))[place] = found[:, 0]
        return {
            name: np.where(wanted, _on_grid(found, volume.shape, factor), np.nan).astype(np.float32)
            for name, found in maps.items()
        }

    return score


def residual_score(
    reconstruct: Callable[[Tensor], Tensor],
    device: str,
    spacing: float,
    precision: str = "float32",
    multiple: int = 16,
    batch: int | None = 32,
    native: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
) -> Callable[[np.ndarray, np.ndarray, np.ndarray], dict[str, np.ndarray]]:
    """A scorer's function: the absolute residual of reconstructed slices, on the grid.

    reconstruct: (n, 1, x', y') float32 in 0..1, as of `slice_score` -> the same shape; called under autocast where
    precision is "bfloat16".
    native: the score of the method's authors, from slices, their reconstructions and their brain (boolean), each
    (n, 1, x', y'), to as large maps in float32; beside the residual, as the map "native".
    """

    def maps_of(slices: Tensor, brain: Tensor) -> dict[str, Tensor]:
        with torch.autocast(slices.device.type, PRECISIONS[precision], enabled=precision != "float32"):
            reconstructed = reconstruct(slices)
        reconstructed = reconstructed.float()
        maps = {"score": (slices - reconstructed).abs()}
        return maps | {"native": native(slices, reconstructed, brain)} if native else maps

    return slice_score(maps_of, device, spacing, multiple, batch)


def _on_grid(maps: Tensor, shape: tuple[int, int, int], factor: int) -> np.ndarray:
    """Maps of slices (slices, x', y') of `slices_of`, interpolated between their voxels to a grid (x, y, z)."""
    x, y, z = shape
    blocks = maps[:, : -(-x // factor), : -(-y // factor)].permute(1, 2, 0)[None, None]
    if factor > 1:
        blocks = functional.interpolate(blocks, scale_factor=factor, mode="trilinear")
    return blocks[0, 0, :x, :y, :z].cpu().numpy()
