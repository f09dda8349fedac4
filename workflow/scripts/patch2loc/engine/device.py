"""The device and the precision that networks compute in."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.gpus import claim_gpu
from patch2loc.errors import InputError


def select_device(name: Device | Literal["auto"] = "auto", threads: int | None = None) -> Device:
    """Select the device that networks compute on, and claim one of several GPUs.

    On a GPU float32 then means float32: convolutions and products do not shorten its factors to 10 bits (TF32).

    Args:
        name: "auto" takes a GPU if there is one.
        threads: Processor threads of torch; None leaves them as they are.

    Raises:
        InputError: "cuda" is asked for and torch finds no GPU.
    """
    import torch  # here: methods without a network do without it, and it takes seconds to import

    if threads is not None:
        torch.set_num_threads(threads)
    if name != "cpu" and torch.version.cuda:
        claim_gpu()  # before anything else asks for GPUs, and CUDA starts
    device: Device = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    if device == "cuda":
        if not torch.cuda.is_available():
            raise InputError(
                "device: cuda found, a machine with a GPU expected, but torch finds no GPU; set device: auto or cpu"
            )
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
    return device


@contextmanager
def repeatable(device: Device) -> Iterator[None]:
    """Let torch compute what gives the same numbers again on the same GPU, as training does on a processor anyway.

    It is for training alone: without it, gradients of convolutions are added up in any order. Forward passes add in one
    order, so that scoring repeats by itself. An operation that has no such order warns, and the training goes on.
    """
    if device == "cpu":
        yield
        return
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # All memory is written before it is read.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a property
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def select_precision(name: Precision | Literal["auto"], device: Device) -> Precision:
    """Select the precision of a network's encoder.

    Args:
        name: "auto" is bfloat16 where the device multiplies it faster than float32, else float32.
        device: From `select_device`.
    """
    if name != "auto":
        return name
    import torch

    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    capabilities = torch.cpu.get_capabilities()
    return "bfloat16" if capabilities.get("amx_bf16") or capabilities.get("avx512_bf16") else "float32"
