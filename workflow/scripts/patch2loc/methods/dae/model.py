"""The U-Net of the DAE, its training and its score."""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.training_loop import Batch
from patch2loc.engine.weights import weights_of, with_weights
from patch2loc.method_interface import MethodSettings, Score, State, Volumes
from patch2loc.methods.reconstruction.output_layer import OutputConv2d
from patch2loc.methods.reconstruction.residual import residual_score
from patch2loc.methods.reconstruction.slice_pools import SlicePool, slice_spacing
from patch2loc.methods.reconstruction.training import train

CELL = 16.0  # mm between the noise's random values
NOISE = 0.2  # standard deviation of these
FOREGROUND = 0.01  # intensity above which a voxel gets noise
GROUPS = (8, 16, 16, 32)  # of the group normalization of each level
PSEUDO_EPOCH = 32  # steps between changes of the learning rate
WEIGHT_DECAY, CLIP = 1e-5, 0.5


class StandardizedConv(nn.Conv2d):
    """A 3 x 3 convolution whose kernels have mean 0 and standard deviation 1, over maps with reflected edges."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 3)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (n, channels, x, y) to as large ones."""
        # Not by functional.pad, whose gradient on a GPU does not repeat exactly.
        maps = torch.cat([maps[:, :, 1:2], maps, maps[:, :, -2:-1]], dim=2)
        maps = torch.cat([maps[..., 1:2], maps, maps[..., -2:-1]], dim=3)
        deviation, mean = torch.std_mean(self.weight, dim=(1, 2, 3), keepdim=True)
        return functional.conv2d(maps, (self.weight - mean) / (deviation + 1e-5), self.bias)


def _block(before: int, after: int, groups: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (before, after):
        layers += [StandardizedConv(width, after), nn.SiLU(), nn.GroupNorm(groups, after)]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """From noisy slices to clean ones, (n, 1, x, y), x and y multiples of 8.

    widths: channels of the four levels, multiples of `GROUPS`.
    """

    def __init__(self, widths: Sequence[int] = (64, 128, 256, 512)) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            _block(before, after, groups)
            for (before, after), groups in zip(pairwise((1, *widths)), GROUPS, strict=True)
        )
        above = list(zip(widths, widths[1:], GROUPS, strict=False))
        self.widen = nn.ModuleList(nn.ConvTranspose2d(below, width, 2, 2) for width, below, _ in above)
        self.up = nn.ModuleList(_block(2 * width, width, groups) for width, _, groups in above)
        self.last = OutputConv2d(widths[0], 1, 1)

    def forward(self, slices: Tensor) -> Tensor:
        """Slices without their noise."""
        return self.restored(self.levels(slices))

    def levels(self, slices: Tensor) -> list[Tensor]:
        """Maps (n, channels, x, y) of the four levels, each half as large as the one before; the bottleneck is last."""
        levels: list[Tensor] = []
        for block in self.down:
            slices = block(functional.avg_pool2d(slices, 2) if levels else slices)
            levels.append(slices)
        return levels

    def restored(self, levels: Sequence[Tensor]) -> Tensor:
        """Slices (n, 1, x, y) from the maps of `levels`."""
        *skipped, maps = levels
        for widen, block, beside in zip(
            reversed(self.widen), reversed(self.up), reversed(skipped), strict=True
        ):
            maps = block(torch.cat([beside, widen(maps)], dim=1))
        clean: Tensor = self.last(maps)
        return clean


def coarse_noise(slices: Tensor, cell: float, generator: torch.Generator) -> Tensor:
    """Noise for slices (n, 1, x, y) where they are not background: random values `cell` voxels apart, interpolated.

    The pattern of all slices is moved by the same random number of voxels, across the edges.
    """
    sides = slices.shape[2:]
    coarse = (len(slices), 1, *(max(2, round(side / cell)) for side in sides))
    values = NOISE * torch.randn(coarse, generator=generator, device=slices.device)
    noise = functional.interpolate(values, sides, mode="bilinear", align_corners=True)
    for axis, side in enumerate(sides, start=2):
        shift = torch.randint(side, (1,), generator=generator, device=slices.device)
        noise = noise.index_select(axis, (torch.arange(side, device=slices.device) + shift) % side)
    return noise * (slices > FOREGROUND)


def learning_rate_share(step: int, half_period: int) -> float:
    """Share of the highest learning rate before a step: a cosine that goes down and up again, by pseudo-epochs."""
    return (1 + math.cos(math.pi * (step // PSEUDO_EPOCH) * PSEUDO_EPOCH / half_period)) / 2


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, pd.DataFrame]:
    """Train a U-Net to take noise off healthy slices."""
    torch.manual_seed(settings["seed"])
    network = UNet(settings["widths"]).to(device)
    history = fit_network(
        network, training, validation, settings=settings, checkpoint=checkpoint, device=device
    )
    state = {"weights": weights_of(network), "widths": list(settings["widths"])}
    return state | {"spacing": settings["spacing"]}, history


def fit_network(
    network: UNet,
    training: Volumes,
    validation: Volumes,
    *,
    settings: MethodSettings,
    checkpoint: Path | None,
    device: Device,
) -> pd.DataFrame:
    """Train a network in place to take noise off healthy slices; return its history.

    Args:
        network: On the device, initialized after torch.manual_seed(settings["seed"]).
        training: As of `fit`.
        validation: As of `fit`.
        settings: As of `fit`.
        checkpoint: As of `fit`.
        device: As of `fit`.
    """
    pools = [SlicePool(scans, device, settings["spacing"]) for scans in (training, validation)]
    cell = CELL / slice_spacing(settings["spacing"])

    def prepare(slices: Tensor, masks: Tensor, generator: torch.Generator, is_training: bool) -> Batch:
        return slices, coarse_noise(slices, cell, generator)

    def loss(network: nn.Module, slices: Tensor, noise: Tensor) -> Tensor:
        restored = network(slices + noise).float()
        squared: Tensor = (slices > FOREGROUND) * (restored - slices).square()
        return squared.mean()

    optimizer = torch.optim.Adam(
        network.parameters(), settings["learning_rate"], weight_decay=WEIGHT_DECAY, amsgrad=True, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_share(step, settings["half_period"])
    )
    return train(
        network,
        loss,
        *pools,
        settings=settings,
        checkpoint=checkpoint,
        prepare=prepare,
        optimizer=optimizer,
        schedule=schedule,
        clip=CLIP,
    )


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by the absolute difference of a slice, without noise, and its foreground as the network restores it."""
    network = with_weights(UNet(state["widths"]), state["weights"], device)
    return network_score(network, state["spacing"], device, precision)


def network_score(network: UNet, spacing: float, device: Device, precision: Precision) -> Score:
    """The score of a network in evaluation mode, on a grid of a voxel size, mm."""

    def reconstruct(slices: Tensor) -> Tensor:
        # The loss says nothing of the background, where the network's output is arbitrary.
        return torch.where(slices > FOREGROUND, network(slices).float(), slices)

    return residual_score(reconstruct, device, spacing, precision)
