"""A stand-in for a CUDA graph, on a processor: replays operators on the memory that they were captured with."""

from collections.abc import Callable
from typing import Any

import torch
from dispatched import Dispatched, tensors_in
from torch import Tensor


class _Recorder(Dispatched):
    """Lists operators as they are called, and keeps copies of the tensors from outside that they are given."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[Tensor]]] = []
        self.created: set[int] = set()  # places in memory
        self.before: dict[int, tuple[Tensor, Tensor]] = {}

    def computed(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")
        # All of them: the schema of batch normalization does not say that it changes its statistics.
        for leaf in tensors_in(args, kwargs):
            if _place(leaf) not in self.created:
                self.before.setdefault(_place(leaf), (leaf, leaf.clone()))
        given = {_place(leaf) for leaf in tensors_in(args, kwargs)}
        result = super().computed(func, args, kwargs)
        outputs = [leaf for leaf in tensors_in(result) if _place(leaf) not in given]
        self.created |= {_place(leaf) for leaf in outputs}
        self.calls.append((func, args, kwargs, outputs))
        return result


class StandInGraph:
    """Records what work does with tensors, undoes it, and does it again at each replay: numbers of Python, and the
    memory of all tensors, are those of the capture, as in a CUDA graph."""

    captures = replays = 0  # of all

    def warm_up(self, work: Callable[[], None]) -> None:
        work()

    def capture(self, work: Callable[[], None]) -> None:
        StandInGraph.captures += 1
        recorder = _Recorder()
        try:
            with recorder:
                work()
        finally:
            with torch.no_grad():
                for tensor, before in recorder.before.values():
                    tensor.copy_(before)
        self.calls = recorder.calls

    @torch.no_grad()
    def replay(self) -> None:
        StandInGraph.replays += 1
        for func, args, kwargs, outputs in self.calls:
            given = {_place(leaf) for leaf in tensors_in(args, kwargs)}
            found = [leaf for leaf in tensors_in(func(*args, **kwargs)) if _place(leaf) not in given]
            for held, value in zip(outputs, found, strict=True):
                held.copy_(value)


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
