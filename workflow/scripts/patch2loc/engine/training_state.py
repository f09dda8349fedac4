"""The state of a training: what a checkpoint holds."""

import math
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Generic, TypedDict, TypeVar

import torch
from torch import Tensor, nn

History = list[dict[str, float]]
Network = TypeVar("Network", bound=nn.Module)


class Best(TypedDict):
    """Least value of the measure that weights are kept by so far, and the weights that reached it, on the host."""

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
        self.share = torch.zeros((), device=next(network.parameters()).device)

    def begin_step(self, step: int) -> None:
        """Set the share that the network after a step, counted from 1, has in the average."""
        self.share.fill_(1 - min(self.decay, (1 + step) / (10 + step)))

    def update(self, network: Network) -> None:
        """Take in the network after a step."""
        for average, current in zip(
            self.network.state_dict().values(), network.state_dict().values(), strict=True
        ):
            if average.is_floating_point():
                average.lerp_(current, self.share)
            else:  # the number of batches
                average.copy_(current)


class TrainingState:
    """All that changes in a training from step to step.

    Args:
        network: Network that is trained.
        optimizers: Of its parameters.
        schedule: Of the first optimizer's learning rate.
        average: Average of the network.

    Attributes:
        step: Steps that are done.
        history: Rows of the validations so far.
        best: The best weights so far.
        total: Sum of the losses since the last validation, on the network's device.
        count: Steps since then.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        schedule: torch.optim.lr_scheduler.LRScheduler | None,
        average: MovingAverage[Any] | None,
    ) -> None:
        self.network, self.optimizers, self.schedule, self.average = network, optimizers, schedule, average
        self.step, self.count = 0, 0
        self.history: History = []
        self.best: Best = {"value": math.inf, "state": None}
        self.total = torch.zeros((), device=next(network.parameters()).device)

    def saved(self) -> dict[str, Any]:
        """A copy on the host, which later steps do not change."""
        return {
            "network": on_host(self.network.state_dict()),
            "optimizers": [on_host(optimizer.state_dict()) for optimizer in self.optimizers],
            "schedule": deepcopy(self.schedule.state_dict()) if self.schedule else None,
            "average": on_host(self.average.network.state_dict()) if self.average else None,
            "step": self.step,
            "history": list(self.history),
            "best": self.best,  # its weights are a copy already
            "total": on_host(self.total),
            "count": self.count,
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to what `saved` returned."""
        self.network.load_state_dict(saved["network"])
        for optimizer, optimizer_state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(on_host(optimizer_state))  # which it may go on with, not a copy
        if self.schedule:
            self.schedule.load_state_dict(saved["schedule"])
        if self.average is not None:
            self.average.network.load_state_dict(saved["average"])
        self.step, self.history, self.best = saved["step"], list(saved["history"]), saved["best"]
        self.total.copy_(saved["total"])
        self.count = saved["count"]


def on_host(value: Any) -> Any:
    """A copy of tensors, in dictionaries and lists, in main memory."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: on_host(part) for key, part in value.items()}
    if isinstance(value, list):
        return [on_host(part) for part in value]
    return value
