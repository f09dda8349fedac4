"""A stand-in for a GPU: a device of its own whose tensors are computed on the processor.

Code runs on it with real numbers as it would on a GPU: a tensor is on it or on the host, an operator that mixes both is
an error, and what is copied between them can be counted (`synchronizations`).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from dispatched import Dispatched, mapped, name_of, tensors_in
from torch import Tensor
from torch.utils._foreach_utils import _get_fused_kernels_supported_devices

# The name of a device that torch knows, and on which it computes nothing itself.
NAME = "meta"
DEVICE = torch.device(NAME)
COPIES = {"_to_copy", "copy_"}
INDEXED = {"index", "index_put_", "index_put"}  # indices may be on the host


class _OnDevice(Tensor):
    """A tensor of the device; `values` are its numbers on the processor."""

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> "_OnDevice":
        return Tensor._make_wrapper_subclass(
            cls,
            values.size(),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=DEVICE,
        )

    def __init__(self, values: Tensor) -> None:
        self.values = values

    @classmethod
    def __torch_dispatch__(
        cls,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        with _Computing():
            return func(*args, **(kwargs or {}))


class _Computing(Dispatched):
    """Computes on the processor what is asked for on the device."""

    def computed(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name, tensors = name_of(func), tensors_in(args, kwargs)
        on_device = [isinstance(tensor, _OnDevice) for tensor in tensors]
        mixed = any(on_device) and not all(
            here or not tensor.ndim for tensor, here in zip(tensors, on_device, strict=True)
        )
        if mixed and name not in COPIES | INDEXED:
            raise RuntimeError(
                f"{func}: expected all tensors to be on the same device, but found {NAME} and cpu"
            )
        device = kwargs.get("device")
        stays = any(on_device) if device is None else torch.device(device).type == NAME
        if name == "copy_":
            stays = isinstance(args[0], _OnDevice)
        result = super().computed(func, *mapped(_on_processor, (args, kwargs)))
        return mapped(_on_device, result) if stays else result


def _on_device(value: Any) -> Any:
    return _OnDevice(value) if isinstance(value, Tensor) else value


def _on_processor(value: Any) -> Any:
    if isinstance(value, _OnDevice):
        return value.values
    if isinstance(value, torch.device) and value.type == NAME:
        return torch.device("cpu")
    return value


class _Generator(torch.Generator):
    """Random numbers of the device."""

    def __new__(cls, device: Any = "cpu") -> "_Generator":
        return super().__new__(cls, "cpu")

    @property
    def device(self) -> torch.device:
        return DEVICE


@contextmanager
def stand_in_gpu() -> Iterator[str]:
    """The name of the device, which is there as long as the context."""
    tensor = torch.tensor

    def copied(values: Any, *, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
        made = tensor(values, dtype=dtype)
        return made if device is None else made.to(device)

    supported = [*_get_fused_kernels_supported_devices(), NAME]
    with (
        mock.patch("torch.Generator", _Generator),
        mock.patch("torch.tensor", copied),
        mock.patch("torch.autocast", return_value=nullcontext()),  # trains in float32
        mock.patch("torch.inference_mode", torch.no_grad),  # which tensors of other classes do not have
        mock.patch("torch.optim.optimizer._get_fused_kernels_supported_devices", return_value=supported),
        _Computing(),
    ):
        yield NAME
