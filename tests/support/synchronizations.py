"""Counts of what makes a processor wait for a GPU, taken on a run of the same code on the processor."""

import traceback
from pathlib import Path
from typing import Any

import torch
from dispatched import Dispatched, name_of, tensors_in
from repository_paths import LIBRARY

# Operators that give the host a value, or a tensor whose size depends on the values of another.
READS = {
    "_local_scalar_dense",
    "equal",
    "is_nonzero",
    "nonzero",
    "argwhere",
    "masked_select",
    "unique_dim",
    "unique_consecutive",
    "unique_dim_consecutive",
    "_unique",
    "_unique2",
    "bincount",
    "repeat_interleave",  # by a tensor of numbers
}
COPIES = {"_to_copy", "copy_", "_copy_from"}
FROM_PYTHON = {"lift_fresh", "lift"}  # torch.tensor(...): on a GPU a copy of host memory that is not pinned
INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_"}


class Synchronizations(Dispatched):
    """Lists the operators inside it that wait for a device where tensors are on one.

    They are recognized on a processor, where they wait for nothing: values that are read (`item`, a 0-dimensional
    index, `if tensor`), sizes that depend on values (`nonzero`, boolean indices, `unique`), and numbers of Python that
    are made a tensor. Copies between host and device are seen where there are two of them, with fake tensors, too.

    Attributes:
        found: Operators that wait, each with the line of the library that called it.
        operators: Number of all operators, a measure of the kernels that a GPU would launch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.operators = 0

    def computed(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = super().computed(func, args, kwargs)
        self.operators += 1
        name = name_of(func)
        if name in READS | FROM_PYTHON or (
            name in COPIES
            and _devices(args, kwargs, result) - {"meta"} >= {"cpu", _other(args, kwargs, result)}
        ):
            self._note(name)
        elif name in INDEXED and any(
            index.dtype in (torch.bool, torch.uint8) for index in tensors_in(args[1])
        ):
            self._note(f"{name} by a mask")
        return result

    def _note(self, name: str) -> None:
        places = [
            f"{Path(frame.filename).relative_to(LIBRARY)}:{frame.lineno}"
            for frame in traceback.extract_stack()
            if Path(frame.filename).is_relative_to(LIBRARY)
        ]
        place = places[-1] if places else "?"
        self.found.append(f"{name} at {place}")


def _devices(*values: Any) -> set[str]:
    return {tensor.device.type for tensor in tensors_in(values)}


def _other(*values: Any) -> str:
    """A device other than the processor, or what no device is called."""
    return next(iter(_devices(*values) - {"cpu"}), "none")
