"""The machine that a benchmark runs on: its name, its memory, and how fast it multiplies matrices."""

import platform
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import torch

from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.precision import PRECISIONS


def about(device: Device, threads: int) -> dict[str, object]:
    """Columns that say what a table was measured on, and when."""
    name = torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()} {cpu_name()}"
    today = datetime.now(UTC).date().isoformat()
    return {"machine": name, "threads": threads, "torch": torch.__version__, "date": today}


def cpu_name() -> str:
    """Name and vector instructions of the processor."""
    return f"{torch.cpu.get_capabilities().get('cpu_name', '')} {torch.backends.cpu.get_cpu_capability()}".strip()


def short(value: object) -> object:
    """Four digits are more than a timing has."""
    return f"{value:.4g}" if isinstance(value, float) else value


def synchronize(device: Device) -> None:
    """Wait for a GPU."""
    if device == "cuda":
        torch.cuda.synchronize()


def matrix_product_rate(device: Device, precision: Precision, seconds: float) -> float:
    """Operations per second of the fastest of some large matrix products, two for a multiplication and its addition.

    On a GPU in float32 it may round its factors as the convolutions of cuDNN do by default (TF32): a share of this rate
    then never compares one arithmetic with another.
    """
    size = 8192 if device == "cuda" else 1024
    rounding = torch.get_float32_matmul_precision()
    if device == "cuda":
        torch.set_float32_matmul_precision("high")
    left, right = (torch.randn(size, size, device=device, dtype=PRECISIONS[precision]) for _ in range(2))
    fastest, begun = float("inf"), time.perf_counter()
    while time.perf_counter() - begun < seconds:
        start = time.perf_counter()
        _ = left @ right
        synchronize(device)
        fastest = min(fastest, time.perf_counter() - start)
    torch.set_float32_matmul_precision(rounding)
    return 2 * size**3 / fastest


def forget_peak_memory(device: Device) -> None:
    """Begin the measurement of peak memory anew."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory(device: Device) -> float:
    """Largest memory since `forget_peak_memory`, MB: of the GPU, or of this whole process."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
