"""Training step by step: validated on the way, the best weights kept, and able to go on after a kill."""

import io
import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from patch2loc.files import replacing

CHECKPOINT_SECONDS = 300


def train_in_steps(
    network: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    schedule: torch.optim.lr_scheduler.LRScheduler | None,
    losses_of: Callable[[int], Iterable[Tensor]],
    validate: Callable[[float], dict[str, float]],
    *,
    steps: int,
    batch: int,
    validations: int,
    unit: str,
    checkpoint: Path | None,
    progress: Callable[[str], None],
    clip: float | None = None,
) -> list[dict]:
    """Train a network in place, to the weights of least validation loss; return the history.

    optimizers: each of parameters of its own.  schedule: of the first one.
    losses_of: the losses of a step, 1 to `steps`, one for each optimizer, and each asked for after the optimizer before
    has updated its parameters.  They depend on the number of the step and the network only, so that training can go on
    anywhere; training_loss of the history is their sum.  validate: from the first learning rate of the step to columns
    of a row of the history, validation_loss and learning_rate among them.  validations: how many, evenly spread.
    unit: what a batch is of, for the columns {unit} (seen) and {unit}_per_second.  clip: greatest norm of the gradient
    of an optimizer's parameters.
    checkpoint: file to write at every validation and every five minutes, and to go on from when it is there: a
    training that was killed and goes on gives the numbers of one that was not.
    Raises FloatingPointError when the validation loss was never finite.
    """
    device = next(network.parameters()).device
    done, history, best = 0, [], {"loss": math.inf, "state": None}
    total, count = torch.zeros((), device=device), 0
    if checkpoint is not None and checkpoint.exists():
        saved = torch.load(checkpoint, map_location=device, weights_only=True)
        network.load_state_dict(saved["network"])
        for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        if schedule:
            schedule.load_state_dict(saved["schedule"])
        done, history, best = saved["step"], saved["history"], saved["best"]
        total, count = saved["total"], saved["count"]
        progress(f"going on from step {done} of {steps}")
    validation_steps = {math.ceil(steps * part / validations) for part in range(1, validations + 1)}
    saved_at = timed_from = time.monotonic()
    timed_steps = 0
    for step in range(done + 1, steps + 1):
        for optimizer, loss in zip(optimizers, losses_of(step), strict=True):
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if clip is not None:
                own = [value for group in optimizer.param_groups for value in group["params"]]
                nn.utils.clip_grad_norm_(own, clip)
            optimizer.step()
            total = total + loss.detach()
        rate = optimizers[0].param_groups[0]["lr"]
        if schedule:
            schedule.step()
        count, timed_steps = count + 1, timed_steps + 1
        validated = step in validation_steps
        if validated:
            training_loss = total.item() / count  # waits for the device: before the clock is read
            speed = timed_steps * batch / (time.monotonic() - timed_from)
            reached = validate(rate)
            history.append(
                {
                    "step": step,
                    unit: step * batch,
                    "training_loss": training_loss,
                    **reached,
                    f"{unit}_per_second": round(speed, 1),
                }
            )
            total, count = torch.zeros((), device=device), 0
            progress(_said(step, steps, reached, speed, unit))
            if reached["validation_loss"] < best["loss"]:
                state = {name: value.clone() for name, value in network.state_dict().items()}
                best = {"loss": reached["validation_loss"], "state": state}
        if checkpoint is not None and (validated or time.monotonic() - saved_at > CHECKPOINT_SECONDS):
            state = {
                "network": network.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                "schedule": schedule.state_dict() if schedule else None,
                "step": step,
                "history": history,
                "best": best,
                "total": total,
                "count": count,
            }
            _write(checkpoint, state)
            saved_at = time.monotonic()
        if validated:
            timed_from, timed_steps = time.monotonic(), 0
    if best["state"] is None:
        raise FloatingPointError(
            "the validation loss was never finite; lower training.learning_rate, or for methods other than patch2loc "
            "learning_rate in method_settings"
        )
    network.load_state_dict(best["state"])
    network.eval()
    return history


def _said(step: int, steps: int, reached: dict[str, float], speed: float, unit: str) -> str:
    text = f"step {step} of {steps}: validation loss {reached['validation_loss']:.5g}"
    if "validation_error" in reached:
        text += f", location error {reached['validation_error']:.2f} % of the grid"
    return f"{text}, {speed:.0f} {unit}/s"


def _write(checkpoint: Path, state: dict[str, Any]) -> None:
    content = io.BytesIO()
    torch.save(state, content)  # to a file on a full disk it would fail without saying why
    with replacing(checkpoint) as partial:
        partial.write_bytes(content.getbuffer())
