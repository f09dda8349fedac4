"""Where networks run."""

import fcntl
import getpass
import os
import tempfile
import time
from pathlib import Path
from typing import Literal

from patch2loc.errors import InputError

Device = Literal["cpu", "cuda"]
Precision = Literal["float32", "bfloat16", "float16"]


def choose(name: str = "auto", threads: int | None = None) -> str:
    """The device that networks compute on, "cpu" or "cuda"; "auto" takes a GPU where there is one.

    Arithmetic is made repeatable.  threads: processor threads of torch.
    InputError when "cuda" is asked for and there is none.
    """
    import torch  # here: methods without a network do without it, and it takes seconds to import

    if threads is not None:
        torch.set_num_threads(threads)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        if not torch.cuda.is_available():
            raise InputError(
                "device: cuda found, a machine with a GPU expected, but torch finds no GPU; set device: auto or cpu"
            )
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # all of it is written before it is read
        if "CUDA_VISIBLE_DEVICES" not in os.environ and torch.cuda.device_count() > 1:
            torch.cuda.set_device(claimed(torch.cuda.device_count(), tempfile.gettempdir()))
    return name


def claimed(count: int, folder: str | Path) -> int:
    """The number of a GPU that no other process of this user has claimed; waits while all of `count` are taken.

    For machines where no scheduler says which GPU is whose.  A lock file of each GPU in `folder` is held until this
    process ends, however it ends.
    """
    while True:
        for number in range(count):
            path = Path(folder, f"patch2loc-{getpass.getuser()}-gpu{number}.lock")
            lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            return number
        time.sleep(1)


def precision(name: str, device: str) -> str:
    """The precision of a network's encoder: "auto" is bfloat16 where the device multiplies it faster, else float32."""
    if name != "auto":
        return name
    import torch

    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    able = torch.cpu.get_capabilities()
    return "bfloat16" if able.get("amx_bf16") or able.get("avx512_bf16") else "float32"
