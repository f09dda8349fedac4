"""What torch is asked for, operator by operator."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class Dispatched(TorchDispatchMode):
    """Is given every operator inside it, also those of a backward pass."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        return self.computed(func, args, kwargs or {})

    def computed(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the operator gives."""
        return func(*args, **kwargs)


def name_of(func: Any) -> str:
    """Name of an operator, whatever its arguments are."""
    return func.overloadpacket.__name__


def tensors_in(*values: Any) -> list[Tensor]:
    """All tensors in arguments or results."""
    found: list[Tensor] = []
    mapped(lambda leaf: found.append(leaf) if isinstance(leaf, Tensor) else None, values)
    return found


def mapped(function: Callable[[Any], Any], values: Any) -> Any:
    """Arguments or results, with what a function gives for each leaf of their lists, tuples and dictionaries."""
    if isinstance(values, dict):
        return {key: mapped(function, value) for key, value in values.items()}
    if type(values) in (list, tuple):
        return type(values)([mapped(function, value) for value in values])
    return function(values)
