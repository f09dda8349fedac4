"""Memory of a device for pools of scans, which training draws from."""

import math

import torch
from torch import Tensor

from patch2loc.engine.choices import Device
from patch2loc.engine.memory import is_out_of_memory
from patch2loc.errors import InputError


def allocated(shape: tuple[int, ...], kind: torch.dtype, device: Device, scans: int) -> Tensor:
    """Memory for a pool, of any content.

    Args:
        shape: Of what is to be held.
        kind: Its type.
        device: Device that it is held by.
        scans: Number of scans that it is of, for the message.

    Raises:
        InputError: The device has too little memory; says how much is free and how much is needed.
    """
    try:
        return torch.empty(shape, dtype=kind, device=device)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        needed = math.prod(shape) * kind.itemsize
        raise InputError(
            f"device: {_free_memory()} found, {needed / 1e9:.1f} GB more expected for the slices of {scans} scans, "
            "which are in the GPU's memory while a network is trained; end other programs that use it, take fewer "
            "scans or a coarser grid, or set device: cpu"
        ) from error


def joined(parts: list[Tensor], device: Device) -> Tensor:
    """Parts of each scan, (n, ...), as one tensor on a device, which never holds them twice; the list is then empty.

    Args:
        parts: In main memory, of one type and alike but for n.
        device: Device that holds the result.

    Raises:
        InputError: As of `allocated`.
    """
    scans, end = len(parts), sum(map(len, parts))
    whole = allocated((end, *parts[0].shape[1:]), parts[0].dtype, device, scans)
    while parts:
        last = parts.pop()
        whole[end - len(last) : end] = last
        end -= len(last)
    return whole


def _free_memory() -> str:
    free, total = torch.cuda.mem_get_info()
    return f"a GPU with {free / 1e9:.1f} of {total / 1e9:.1f} GB free"
