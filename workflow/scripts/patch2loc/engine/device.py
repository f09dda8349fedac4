"""The device and the precision that networks compute in."""

from __future__ import annotations

import getpass
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from patch2loc.engine.choices import Device, Precision
from patch2loc.errors import InputError

if TYPE_CHECKING:
    from filelock import BaseFileLock


_claims: list[BaseFileLock] = []  # a lock object that nobody refers to is released


def select_device(name: Device | Literal["auto"] = "auto", threads: int | None = None) -> Device:
    """Select the device that networks compute on, and make its arithmetic repeatable.

    Args:
        name: "auto" takes a GPU if there is one.
        threads: Processor threads of torch; None leaves them as they are.

    Raises:
        InputError: "cuda" is asked for and torch finds no GPU.
    """
    import torch  # here: methods without a network do without it, and it takes seconds to import

    if threads is not None:
        torch.set_num_threads(threads)
    device: Device = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    if device == "cuda":
        if not torch.cuda.is_available():
            raise InputError(
                "device: cuda found, a machine with a GPU expected, but torch finds no GPU; set device: auto or cpu"
            )
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        # All memory is written before it is read.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a property
        if "CUDA_VISIBLE_DEVICES" not in os.environ and torch.cuda.device_count() > 1:
            torch.cuda.set_device(claim_gpu(torch.cuda.device_count(), tempfile.gettempdir()))
    return device


def claim_gpu(count: int, folder: str | Path) -> int:
    """Claim a GPU that no other process of this user has claimed; wait while all are taken.

    For machines where no scheduler assigns GPUs.  The claim ends with this process, however it ends.

    Args:
        count: GPUs of the machine.
        folder: Folder with a lock file for each GPU.

    Returns:
        The number of the GPU, below `count`.
    """
    from filelock import FileLock, Timeout  # here: it comes with torch

    while True:
        for number in range(count):
            lock = FileLock(Path(folder, f"patch2loc-{getpass.getuser()}-gpu{number}.lock"), mode=0o600)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            _claims.append(lock)
            return number
        time.sleep(1)


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
