"""Copies between the host and a device that neither waits for."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from patch2loc.engine.choices import Device


def to_device(array: np.ndarray, device: Device) -> Tensor:
    """Copy an array to a device without waiting for what the device computes; on a processor, share its memory."""
    tensor = torch.from_numpy(array)
    return tensor if device == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def as_map(tensor: Tensor) -> np.ndarray | Tensor:
    """A tensor as a map of a method: an array of the same memory on a processor, itself on another device."""
    return tensor.numpy() if tensor.device.type == "cpu" else tensor


def to_host(tensor: Tensor) -> Callable[[], np.ndarray]:
    """Begin to copy a tensor to the host as soon as it is computed; return a function that waits for the array."""
    copy = tensor.to("cpu", non_blocking=True)
    if tensor.device.type == "cpu":
        return copy.numpy
    copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
    copied.record()

    def array() -> np.ndarray:
        copied.synchronize()
        return copy.numpy()

    return array
