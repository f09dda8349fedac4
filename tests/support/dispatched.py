"""What torch is asked for, operator by operator."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


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
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
