"""Methods that reconstruct axial slices as if healthy: their slices, their training, and the residual as the score.

Networks see slices of 2 mm, as in the comparisons of Behrendt et al. that Table 1 of the paper quotes; the score is
brought back to the grid.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from patch2loc.engine.precision import PRECISIONS
from patch2loc.engine.training_loop import train_in_steps
from patch2loc.methods.reconstruction.slice_pools import SlicePool, generator_seed

Loss = Callable[[nn.Module, Tensor, Tensor, torch.Generator], Tensor]
Losses = Callable[[nn.Module, Tensor, Tensor, torch.Generator], Iterable[Tensor]]


def train(
    network: nn.Module,
    loss: Loss | Losses,
    training: SlicePool,
    validation: SlicePool,
    settings: Mapping[str, Any],
    checkpoint: Path | None,
    optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None = None,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
    clip: float | None = None,
    progress: Callable[[str], None] = print,
    measure: Loss | None = None,
) -> pd.DataFrame:
    """Train a network in place, to the weights of least validation loss; return its history.

    network: on the pools' device, initialized by the caller after torch.manual_seed(settings["seed"]).
    loss: loss(network, slices, masks, generator) -> scalar; slices (n, 1, x', y') in 0..1, masks boolean, all
    randomness (noise, time) from the generator; asked in training mode, and in evaluation mode of fixed validation
    slices with fixed random numbers.  With a `ScanPool` slices and masks are (n, slices, x', y').
    settings: steps, batch, learning_rate, validations, validation_slices, seed, precision ("bfloat16" computes the
    loss under autocast).  batch is of slices, with a `ScanPool` of scans; validation_slices are slices with both.
    optimizer: of the network's parameters; Adam when None.  Several, each of a part of the network, take turns in
    every step: loss(...) is then an iterator of as many losses, each asked for after the optimizer before has updated
    its part, and computed in float32.  schedule: of the first optimizer, stepped after every step.  clip: greatest
    norm of the gradient.
    measure: what the network is validated by, asked in evaluation mode as the loss would be; the loss when None.
    checkpoint: as of `training_loop.train_in_steps`.
    Returns rows of step, slices (seen), training_loss, validation_loss, learning_rate, slices_per_second.
    Raises FloatingPointError when the validation loss was never finite.
    """
    seed = settings["seed"]
    network.to(memory_format=torch.channels_last).train()
    optimizer = optimizer or torch.optim.Adam(network.parameters(), lr=settings["learning_rate"], fused=True)
    several = isinstance(optimizer, Sequence)
    held = max(1, settings["validation_slices"] // validation.slices_each)
    fixed = validation.draw(validation.generator(seed, 2), held)

    def losses_of(step: int) -> Iterable[Tensor]:
        generator = training.generator(seed, 1, step)
        torch.manual_seed(generator_seed(seed, 4, step))  # of dropout, which takes no generator
        drawn = training.draw(generator, settings["batch"])
        if several:
            return loss(network, *drawn, generator)
        return [_loss(network, loss, *drawn, generator, settings["precision"])]

    def validate(rate: float) -> dict[str, float]:
        reached = _validate(network, measure or loss, fixed, validation.generator(seed, 3), settings)
        return {"validation_loss": reached, "learning_rate": rate}

    history = train_in_steps(
        network,
        optimizer if several else [optimizer],
        schedule,
        losses_of,
        validate=validate,
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
