"""Training step by step: validates on the way, keeps the best weights, and goes on after a kill."""

import io
import math
import time
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypedDict, TypeVar

import torch
from torch import Tensor, nn

from patch2loc.files import replacing

CHECKPOINT_SECONDS = 300
# Imported by its name: how a training is shown changes none of its numbers, and so is not of the code behind them.
RECORD = "patch2loc.watching.record"

History = list[dict[str, float]]
Network = TypeVar("Network", bound=nn.Module)


class _Best(TypedDict):
    """Least value of the measure that weights are kept by so far, and the weights that reached it."""

    value: float
    state: dict[str, Tensor] | None


class MovingAverage(Generic[Network]):
    """An exponential moving average of a network's weights and of the statistics of its normalization.

    A network's own statistics are of weights that have changed since; averaged as the weights are, they fit them.  In
    the first 10 / (1 - decay) steps or so the decay is smaller, so that the first weights are forgotten.

    Args:
        network: Network that is trained.
        decay: Share of the average that stays at a step, below 1.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.network = deepcopy(network)
        self.decay = decay

    def update(self, network: Network, step: int) -> None:
        """Take in the network after a step, counted from 1."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        for average, current in zip(
            self.network.state_dict().values(), network.state_dict().values(), strict=True
        ):
            if average.is_floating_point():
                average.lerp_(current, share)
            else:  # the number of batches
                average.copy_(current)


def train_in_steps(
    network: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    schedule: torch.optim.lr_scheduler.LRScheduler | None,
    losses_of: Callable[[int], Iterable[Tensor]],
    *,
    validate: Callable[[float], dict[str, float]],
    steps: int,
    batch: int,
    validations: int,
    unit: str,
    checkpoint: Path | None,
    progress: Callable[[str], None],
    clip: float | None = None,
    kept_by: str = "validation_loss",
    average: MovingAverage[Any] | None = None,
) -> History:
    """Train a network in place, to the weights of least validation loss, or of another measure.

    Args:
        network: Network, on the device that it is trained on.
        optimizers: Optimizers, each of parameters of its own.
        schedule: Schedule of the first optimizer's learning rate.
        losses_of: From a step, 1 to `steps`, to its losses, one for each optimizer; each is asked for after the
            optimizer before has updated its parameters.  They depend on the number of the step and the network only,
            so that training can go on anywhere.
        validate: From the first learning rate of the step to columns of a row of the history, `kept_by` and
            learning_rate among them.
        steps: Number of batches.
        batch: Size of a batch, in units.
        validations: How many, evenly spread.
        unit: What a batch consists of, e.g. "patches".
        checkpoint: File that is written at every validation and every five minutes, and resumed from if it exists: a
            training that was killed and goes on gives the numbers of one that was not.  The history so far and a
            picture of it are written beside it (`watching.record`).
        progress: Takes a line for each validation, with the time left.
        clip: Greatest norm of the gradient of an optimizer's parameters.
        kept_by: Column of the history: the weights of its least value are kept.
        average: Average of the network, which is updated at every step.  Its weights are kept, and `validate` has to
            measure them.

    Returns:
        The history, a row for each validation: step, {unit} (seen so far), training_loss (sum over the optimizers,
        mean since the last row), what `validate` returned, and {unit}_per_second.

    Raises:
        FloatingPointError: What the weights are kept by was never finite.
    """
    device = next(network.parameters()).device
    measured = network if average is None else average.network
    done = 0
    history: History = []
    best: _Best = {"value": math.inf, "state": None}
    total, count = torch.zeros((), device=device), 0
    if checkpoint is not None and checkpoint.exists():
        saved = torch.load(checkpoint, map_location=device, weights_only=True)
        network.load_state_dict(saved["network"])
        for optimizer, optimizer_state in zip(optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(optimizer_state)
        if schedule:
            schedule.load_state_dict(saved["schedule"])
        if average is not None:
            average.network.load_state_dict(saved["average"])
        done, history, best = saved["step"], saved["history"], saved["best"]
        total, count = saved["total"], saved["count"]
        progress(f"going on from step {done} of {steps}")
    record = import_module(RECORD).TrainingRecord(
        checkpoint, history, done=done, steps=steps, batch=batch, unit=unit, kept_by=kept_by, say=progress
    )
    validation_steps = {math.ceil(steps * part / validations) for part in range(1, validations + 1)}
    saved_at = timed_from = time.monotonic()
    timed_steps = 0
    for step in range(done + 1, steps + 1):
        for optimizer, loss in zip(optimizers, losses_of(step), strict=True):
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            if clip is not None:
                parameters = [value for group in optimizer.param_groups for value in group["params"]]
                nn.utils.clip_grad_norm_(parameters, clip)
            optimizer.step()
            total = total + loss.detach()
        if average is not None:
            average.update(network, step)
        rate = optimizers[0].param_groups[0]["lr"]
        if schedule:
            schedule.step()
        count, timed_steps = count + 1, timed_steps + 1
        is_validated = step in validation_steps
        if is_validated:
            training_loss = total.item() / count  # waits for the device: before the clock is read
            speed = timed_steps * batch / (time.monotonic() - timed_from)
            measures = validate(rate)
            history.append(
                {
                    "step": step,
                    unit: step * batch,
                    "training_loss": training_loss,
                    **measures,
                    f"{unit}_per_second": round(speed, 1),
                }
            )
            total, count = torch.zeros((), device=device), 0
            progress(
                f"step {step} of {steps}: {_progress_line(measures, kept_by)}, {speed:.0f} {unit}/s, "
                f"{record.time_left(step)} left"
            )
            if measures[kept_by] < best["value"]:
                weights = {name: value.clone() for name, value in measured.state_dict().items()}
                best = {"value": measures[kept_by], "state": weights}
        if checkpoint is not None and (is_validated or time.monotonic() - saved_at > CHECKPOINT_SECONDS):
            state = {
                "network": network.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                "schedule": schedule.state_dict() if schedule else None,
                "average": None if average is None else average.network.state_dict(),
                "step": step,
                "history": history,
                "best": best,
                "total": total,
                "count": count,
            }
            _write(checkpoint, state)
            record.write(step, history)
            saved_at = time.monotonic()
        if is_validated:
            timed_from, timed_steps = time.monotonic(), 0
    if best["state"] is None:
        raise FloatingPointError(
            f"{kept_by} was never finite; lower training.learning_rate, or for methods other than patch2loc "
            "learning_rate in method_settings"
        )
    network.load_state_dict(best["state"])
    network.eval()
    return history


def _progress_line(measures: dict[str, float], kept_by: str) -> str:
    text = f"{kept_by.replace('_', ' ')} {measures[kept_by]:.5g}"
    if "validation_error" in measures:
        text += f", location error {measures['validation_error']:.2f} % of the grid"
    return text


def _write(checkpoint: Path, state: dict[str, Any]) -> None:
    content = io.BytesIO()
    torch.save(state, content)  # to a file on a full disk it would fail without saying why
    with replacing(checkpoint) as partial:
        partial.write_bytes(content.getbuffer())
