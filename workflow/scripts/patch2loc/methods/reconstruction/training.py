"""Training of networks that reconstruct axial slices as if healthy.

Networks see slices of 2 mm, as in the comparisons of Behrendt et al. that Table 1 of the paper quotes; the score is
brought back to the grid (`residual`).
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import torch
from torch import Tensor, nn

from patch2loc.engine.choices import Precision
from patch2loc.engine.halving import halved_until_it_fits
from patch2loc.engine.precision import PRECISIONS
from patch2loc.engine.training_loop import Batch, train_in_steps
from patch2loc.method_interface import MethodSettings
from patch2loc.methods.reconstruction.slice_pools import SlicePool, generator_seed

Network = TypeVar("Network", bound=nn.Module)
# From slices (n, 1, x', y') in 0..1, their brain masks (boolean), a generator, from which all randomness (noise, time)
# comes, and True in training, to the batch that a loss is of. Of a `ScanPool` slices and masks are (n, slices, x', y').
Prepare = Callable[[Tensor, Tensor, torch.Generator, bool], Batch]
# From a network and a batch, as arguments, to a scalar.
Loss = Callable[..., Tensor]
# The same to one scalar for each optimizer, each asked for after the optimizer before has updated its part.
Losses = Callable[..., Iterable[Tensor]]


def as_drawn(slices: Tensor, masks: Tensor, generator: torch.Generator, is_training: bool) -> Batch:
    """The batch of a loss that draws its random numbers itself."""
    return slices, masks, generator


def train(
    network: Network,
    loss: Loss,
    training: SlicePool,
    validation: SlicePool,
    *,
    settings: MethodSettings,
    checkpoint: Path | None,
    prepare: Prepare = as_drawn,
    optimizer: torch.optim.Optimizer | None = None,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
    clip: float | None = None,
    progress: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Train a network in place, to the weights of least validation loss; return its history.

    Args:
        network: On the pools' device, initialized by the caller after torch.manual_seed(settings["seed"]).
        loss: Asked in training mode, and in evaluation mode of fixed validation slices with fixed random numbers. Where
            `prepare` returns tensors alone, it is a mean over samples, and of parts of a batch where a batch does not
            fit the device.
        training: Slices or scans that training draws from.
        validation: Those that validation draws from, once.
        settings: steps, batch, learning_rate, validations, validation_slices, seed, precision ("bfloat16" computes the
            loss under autocast). batch is of slices, with a `ScanPool` of scans; validation_slices is of slices.
        checkpoint: As of `training_loop.train_in_steps`.
        prepare: Draws what is random in a batch, in float32.
        optimizer: Of the network's parameters; Adam when None.
        schedule: Of the optimizer, stepped after every step.
        clip: Greatest norm of the gradient.
        progress: Takes lines on how far the training is.

    Returns:
        Rows of step, slices (seen), training_loss, validation_loss, learning_rate, slices_per_second.

    Raises:
        FloatingPointError: When the validation loss was never finite.
    """

    def losses(network: Network, *batch: Any) -> list[Tensor]:
        return [_loss(network, loss, batch, settings["precision"])]

    return _train(
        network,
        losses,
        training,
        validation,
        settings=settings,
        checkpoint=checkpoint,
        optimizers=[
            optimizer or torch.optim.Adam(network.parameters(), lr=settings["learning_rate"], fused=True)
        ],
        schedule=schedule,
        clip=clip,
        prepare=prepare,
        measure=loss,
        progress=progress,
    )


def train_in_turns(
    network: Network,
    losses: Losses,
    training: SlicePool,
    validation: SlicePool,
    *,
    settings: MethodSettings,
    checkpoint: Path | None,
    optimizers: Sequence[torch.optim.Optimizer],
    measure: Loss,
    progress: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Train parts of a network in turn in every step, each by its own optimizer; otherwise like `train`.

    Args:
        network: As of `train`.
        losses: As many as optimizers; computed in float32.
        training: As of `train`.
        validation: As of `train`.
        settings: As of `train`; precision is that of the measure.
        checkpoint: As of `train`.
        optimizers: Each of a part of the network.
        measure: Validates the network, asked in evaluation mode.
        progress: As of `train`.
    """
    return _train(
        network,
        losses,
        training,
        validation,
        settings=settings,
        checkpoint=checkpoint,
        optimizers=optimizers,
        schedule=None,
        clip=None,
        prepare=as_drawn,
        measure=measure,
        progress=progress,
    )


def _train(
    network: Network,
    losses: Losses,
    training: SlicePool,
    validation: SlicePool,
    *,
    settings: MethodSettings,
    checkpoint: Path | None,
    optimizers: Sequence[torch.optim.Optimizer],
    schedule: torch.optim.lr_scheduler.LRScheduler | None,
    clip: float | None,
    prepare: Prepare,
    measure: Loss,
    progress: Callable[[str], None],
) -> pd.DataFrame:
    seed = settings["seed"]
    network.to(memory_format=torch.channels_last).train()
    validation_draws = max(1, settings["validation_slices"] // validation.slices_each)
    fixed = validation.draw(validation.generator(seed, 2), validation_draws)

    def draw(step: int) -> Batch:
        generator = training.generator(seed, 1, step)
        torch.manual_seed(generator_seed(seed, 4, step))  # of dropout, which takes no generator
        slices, masks = training.draw(generator, settings["batch"])
        return prepare(slices, masks, generator, True)

    def validate(rate: float) -> dict[str, float]:
        validation_loss = _validate(
            network, measure, prepare, fixed, generator=validation.generator(seed, 3), settings=settings
        )
        return {"validation_loss": validation_loss, "learning_rate": rate}

    history = train_in_steps(
        network,
        optimizers,
        schedule,
        draw,
        lambda *batch: losses(network, *batch),
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


def _loss(network: nn.Module, loss: Loss, batch: Batch, precision: Precision) -> Tensor:
    device = next(network.parameters()).device
    with torch.autocast(device.type, PRECISIONS[precision], enabled=precision != "float32"):
        return loss(network, *batch)


def _validate(
    network: nn.Module,
    loss: Loss,
    prepare: Prepare,
    fixed: tuple[Tensor, Tensor],
    *,
    generator: torch.Generator,
    settings: MethodSettings,
) -> float:
    """The mean loss on fixed slices, with the random numbers of a generator that is always the same."""
    network.eval()
    total, (slices, masks) = 0.0, fixed
    with torch.inference_mode():
        for part, its_masks in zip(
            *(torch.split(values, settings["batch"]) for values in (slices, masks)), strict=True
        ):
            batch = prepare(part, its_masks, generator, False)
            total += _summed_loss(network, loss, batch, settings["precision"], len(part))
    network.train()
    return total / len(slices)


def _summed_loss(network: nn.Module, loss: Loss, batch: Batch, precision: Precision, n: int) -> float:
    """The loss of a batch, times its n samples; of fewer at once where they do not fit the GPU.

    A batch that is more than tensors has random numbers that its loss draws, which would be others for parts of it.
    """
    if not all(isinstance(values, Tensor) and values.shape[:1] == (n,) for values in batch):
        return _loss(network, loss, batch, precision).item() * n

    def summed(at_once: int) -> float:
        parts = zip(*(torch.split(values, at_once) for values in batch), strict=True)
        return sum(_loss(network, loss, part, precision).item() * len(part[0]) for part in parts)

    total, _ = halved_until_it_fits(summed, n)
    return total
