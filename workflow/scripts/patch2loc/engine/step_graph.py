"""A training step as one CUDA graph: captured once, then launched as a whole instead of kernel by kernel."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from patch2loc.engine.cuda_graph import CudaGraph

DEVICES = {"cuda"}  # that have graphs
WARM_UP_STEPS = 3  # before the capture, in which libraries are set up and optimizers make their state


class GraphedStep:
    """Takes training steps: the first ones kernel by kernel, the others as one graph.

    The first steps are steps of the training like all others, and a capture computes nothing, so there is nothing to
    take back.  Where a step cannot be captured, all are taken kernel by kernel.

    Args:
        update: From a batch, does a step of the training, all in place: the same operators in every step, numbers of
            Python that change from step to step being tensors, but for the learning rates, which this class takes care
            of.
        optimizers: That are used in it, fused ones, so that their counts of steps are on the device.
        say: Takes a line of text.
    """

    def __init__(
        self,
        update: Callable[[Sequence[Tensor]], None],
        optimizers: Sequence[torch.optim.Optimizer],
        say: Callable[[str], None],
    ) -> None:
        self.update, self.optimizers, self.say = update, optimizers, say
        self.graph: CudaGraph | None = CudaGraph()
        self.warmed_up = 0
        self.inputs: list[Tensor] = []
        self.rates: list[Tensor] = []

    def __call__(self, batch: Sequence[Tensor]) -> None:
        """Take a step.  batch: of the shapes of all other batches."""
        if self.graph and self.warmed_up < WARM_UP_STEPS:
            self.warmed_up += 1
            self.graph.warm_up(lambda: self.update(batch))
            return
        if self.graph and not self.inputs and not self._captures(batch, self.graph):
            self.graph = None
        if self.graph is None:
            self.update(batch)
            return
        for held, value in zip(self.inputs, batch, strict=True):
            held.copy_(value)
        for rate, group in zip(self.rates, self._groups(), strict=True):
            rate.fill_(group["lr"])
        self.graph.replay()

    def _captures(self, batch: Sequence[Tensor], graph: CudaGraph) -> bool:
        """Capture a step; False, and a line that says so, if it cannot be done."""
        inputs = [value.clone() for value in batch]
        self.rates = [torch.full((), group["lr"], device=inputs[0].device) for group in self._groups()]
        self._forget_gradients()  # so that they, too, are in the graph's memory
        try:
            with self._rates_on_device():
                graph.capture(lambda: self.update(inputs))
        except Exception as error:  # of whatever part of a step has no place in a graph on this device
            self._forget_gradients()
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            self.say(
                f"warning: a step of the training cannot be launched as one CUDA graph ({reason}) and is launched "
                "kernel by kernel: the same numbers, but slower"
            )
            return False
        self.inputs = inputs
        return True

    def _forget_gradients(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def _groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    @contextmanager
    def _rates_on_device(self) -> Iterator[None]:
        """Let optimizers read their learning rates on the device; schedules and checkpoints see numbers of Python."""
        groups = self._groups()
        numbers = [group["lr"] for group in groups]
        try:
            for group, rate in zip(groups, self.rates, strict=True):
                group.update(lr=rate, capturable=True)
            yield
        finally:
            for group, number in zip(groups, numbers, strict=True):
                group.update(lr=number, capturable=False)
