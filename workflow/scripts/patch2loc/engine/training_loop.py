"""Training step by step: validates on the way, keeps the best weights, and goes on after a kill."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from patch2loc.engine import step_graph
from patch2loc.engine.checkpoints import CheckpointWriter
from patch2loc.engine.memory import is_out_of_memory
from patch2loc.engine.training_state import History, MovingAverage, TrainingState, on_host

CHECKPOINT_SECONDS = 300
# Imported by its name: how a training is shown changes none of its numbers, and so is not of the code behind them.
RECORD = "patch2loc.watching.record"

# What the losses of a step are of: tensors, one entry of each for a sample, or whatever else the losses take.
Batch = Sequence[Any]


def train_in_steps(
    network: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    schedule: torch.optim.lr_scheduler.LRScheduler | None,
    draw: Callable[[int], Batch],
    losses_of: Callable[..., Iterable[Tensor]],
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
    as_graph: bool = False,
) -> History:
    """Train a network in place, to the weights of least validation loss, or of another measure.

    Where a step does not fit the GPU, the training goes back to its last checkpoint and on with less memory: with parts
    of the batch one after the other, if the losses are means over samples that do not depend on each other; else what
    the backward pass needs waits in main memory.  Both give the same numbers, but for the rounding of sums of parts.

    Args:
        network: Network, on the device that it is trained on.
        optimizers: Optimizers, each of parameters of its own.
        schedule: Schedule of the first optimizer's learning rate.
        draw: From a step, 1 to `steps`, to its batch.  It depends on the number of the step only, so that training can
            go on anywhere.
        losses_of: From the parts of a batch, as arguments, to its losses, one for each optimizer; each is asked for
            after the optimizer before has updated its parameters.  They depend on the batch and the network only.  If a
            batch consists of tensors alone, there is one optimizer, and its loss is a mean over samples.
        validate: From the first learning rate of the step to columns of a row of the history, `kept_by` and
            learning_rate among them.
        steps: Number of batches.
        batch: Size of a batch, in units.
        validations: How many, evenly spread.
        unit: What a batch consists of, e.g. "patches".
        checkpoint: File that is written every five minutes and at the end, beside the computation, and resumed from if
            it exists: a training that was killed and goes on gives the numbers of one that was not.  The history so
            far and a picture of it are written beside it (`watching.record`), at every validation, too.
        progress: Takes a line for each validation, with the time left.
        clip: Greatest norm of the gradient of an optimizer's parameters.
        kept_by: Column of the history: the weights of its least value are kept.
        average: Average of the network, which is updated at every step.  Its weights are kept, and `validate` has to
            measure them.
        as_graph: On a GPU a step, without the drawing, is launched as one CUDA graph (`step_graph`): all batches are
            tensors of the same shapes, and nothing in `losses_of` is random.

    Returns:
        The history, a row for each validation: step, {unit} (seen so far), training_loss (sum over the optimizers,
        mean since the last row), what `validate` returned, and {unit}_per_second.

    Raises:
        FloatingPointError: What the weights are kept by was never finite.
    """
    state = TrainingState(network, optimizers, schedule, average)
    if checkpoint is not None and checkpoint.exists():
        state.restore(torch.load(checkpoint, map_location="cpu", weights_only=True))
        progress(f"going on from step {state.step} of {steps}")
    step_of = _Steps(state, losses_of, clip, as_graph=as_graph, say=progress)
    measured = network if average is None else average.network
    validation_steps = {math.ceil(steps * part / validations) for part in range(1, validations + 1)}

    def new_record() -> Any:
        return import_module(RECORD).TrainingRecord(
            checkpoint,
            state.history,
            done=state.step,
            steps=steps,
            batch=batch,
            unit=unit,
            kept_by=kept_by,
            say=progress,
        )

    record = new_record()
    saved = state.saved()
    saved_at = timed_from = time.monotonic()
    timed_steps = 0
    with CheckpointWriter(checkpoint) as writer:
        while state.step < steps:
            if not step_of.take(draw):
                state.restore(saved)
                record, timed_from, timed_steps = new_record(), time.monotonic(), 0
                continue
            rate = optimizers[0].param_groups[0]["lr"]
            if schedule:
                schedule.step()
            timed_steps += 1
            is_validated = state.step in validation_steps
            if is_validated:
                training_loss = (
                    state.total.item() / state.count
                )  # waits for the device: before the clock is read
                speed = timed_steps * batch / (time.monotonic() - timed_from)
                measures = validate(rate)
                state.history.append(
                    {
                        "step": state.step,
                        unit: state.step * batch,
                        "training_loss": training_loss,
                        **measures,
                        f"{unit}_per_second": round(speed, 1),
                    }
                )
                state.total.zero_()
                state.count = 0
                progress(
                    f"step {state.step} of {steps}: {_progress_line(measures, kept_by)}, {speed:.0f} {unit}/s, "
                    f"{record.time_left(state.step)} left"
                )
                if measures[kept_by] < state.best["value"]:
                    state.best = {"value": measures[kept_by], "state": on_host(measured.state_dict())}
            is_saved = state.step == steps or time.monotonic() - saved_at > CHECKPOINT_SECONDS
            if is_saved:
                saved = state.saved()
                writer.write(saved)
                saved_at = time.monotonic()
            if is_validated or is_saved:
                writer.check()
                record.write(state.step, state.history)
            if is_validated:
                timed_from, timed_steps = time.monotonic(), 0
    if state.best["state"] is None:
        raise FloatingPointError(
            f"{kept_by} was never finite; lower training.learning_rate, or for methods other than patch2loc "
            "learning_rate in method_settings"
        )
    network.load_state_dict(state.best["state"])
    network.eval()
    return state.history


class _Steps:
    """Takes the steps of a training, with as much of the device's memory as there is.

    Args:
        state: Of the training.
        losses_of: As of `train_in_steps`.
        clip: As of `train_in_steps`.
        as_graph: As of `train_in_steps`.
        say: Takes a line of text.
    """

    def __init__(
        self,
        state: TrainingState,
        losses_of: Callable[..., Iterable[Tensor]],
        clip: float | None,
        *,
        as_graph: bool,
        say: Callable[[str], None],
    ) -> None:
        self.state, self.losses_of, self.clip, self.say = state, losses_of, clip, say
        self.device = state.total.device
        self.parts, self.is_spilling = 1, False
        self.graphed = (
            step_graph.GraphedStep(self._update, state.optimizers, say)
            if as_graph and self.device.type in step_graph.DEVICES
            else None
        )

    def take(self, draw: Callable[[int], Batch]) -> bool:
        """Take the next step.

        Returns:
            False where the memory did not suffice: the state is then one between two steps, and the next call will
            need less.
        """
        state = self.state
        batch = draw(state.step + 1)
        try:
            if state.average is not None:
                state.average.begin_step(state.step + 1)
            (self.graphed or self._update)(batch)
        except RuntimeError as error:
            if not is_out_of_memory(error) or not self._spare_memory(batch):
                raise
        else:
            state.step += 1
            state.count += 1
            return True
        # Not before the error is gone, whose traceback keeps all that was computed.
        for optimizer in state.optimizers:
            optimizer.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
        return False

    def _update(self, batch: Batch) -> None:
        """All that a step computes, in place."""
        state = self.state
        first, *others = self._split(batch)
        with self._saving():
            share, part = first
            for optimizer, loss in zip(state.optimizers, self.losses_of(*part), strict=True):
                optimizer.zero_grad(set_to_none=True)
                self._backward(loss, share)
                for share, part in others:
                    for its_loss in self.losses_of(*part):
                        self._backward(its_loss, share)
                if self.clip is not None:
                    parameters = [value for group in optimizer.param_groups for value in group["params"]]
                    nn.utils.clip_grad_norm_(parameters, self.clip)
                optimizer.step()
        if state.average is not None:
            state.average.update(state.network)

    def _split(self, batch: Batch) -> list[tuple[float, Batch]]:
        """The parts of a batch that are computed one after the other, each with its share of the samples."""
        if self.parts == 1:
            return [(1.0, batch)]
        parts = list(zip(*(torch.chunk(values, self.parts) for values in batch), strict=True))
        return [(len(part[0]) / len(batch[0]), part) for part in parts]

    def _backward(self, loss: Tensor, share: float) -> None:
        if share < 1:
            loss = loss * share
        torch.autograd.backward(loss)
        self.state.total.add_(loss.detach())

    def _saving(self) -> AbstractContextManager[Any]:
        """Where tensors that the backward pass needs are saved meanwhile."""
        if not self.is_spilling:
            return nullcontext()
        return torch.autograd.graph.save_on_cpu(pin_memory=self.device.type == "cuda")

    def _spare_memory(self, batch: Batch) -> bool:
        """Let the next step need less memory; False if it cannot."""
        if self.is_spilling:
            return False
        if self._is_separable(batch):
            if self.parts >= len(batch[0]):
                return False
            self.parts = min(2 * self.parts, len(batch[0]))
            how = f"is computed in {self.parts} parts from now on: the same numbers but for rounding"
        else:
            self.is_spilling = True
            how = (
                "leaves what the backward pass needs in main memory from now on: the same numbers, but slower"
            )
        self.graphed = None
        self.say(f"warning: a batch does not fit the GPU at once and {how}")
        return True

    def _is_separable(self, batch: Batch) -> bool:
        """True if no sample's loss depends on another sample: there is no normalization over a batch."""
        return all(isinstance(values, Tensor) for values in batch) and not any(
            isinstance(layer, _BatchNorm) for layer in self.state.network.modules()
        )


def _progress_line(measures: dict[str, float], kept_by: str) -> str:
    text = f"{kept_by.replace('_', ' ')} {measures[kept_by]:.5g}"
    if "validation_error" in measures:
        text += f", location error {measures['validation_error']:.2f} % of the grid"
    return text
