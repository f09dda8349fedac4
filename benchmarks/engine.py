"""The engine against the straightforward way, in one run: scoring, whole volumes, training, and the machine's limit.

    python benchmarks/engine.py [--device cpu|cuda] [--threads 2] [--seconds 10] [--training-patches N]

Needs torch, torchvision and numpy only.  The straightforward way is the published network on patches that are cut out
by indexing, for every position of the grid; its training draws and cuts batches on the host.  The volume is
simulated: noise in an ellipsoid of a brain's size, which no speed depends on.  Writes benchmarks/engine_{device}.csv.

--training-patches 121440000 trains as long as the paper (15,000 batches of 8,096) on 358 simulated scans, to
the end, instead of for some seconds.
"""

import argparse
import csv
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

from straightforward import AT_ONCE, GRID, PATCH, host_batches, host_step, published, straightforward

from patch2loc.engine import device
from patch2loc.engine.precision import PRECISIONS
from patch2loc.network.inference import DenseNetwork, predict
from patch2loc.network.location import LocationNetwork
from patch2loc.network.sampling import PatchPool
from patch2loc.network.training import Settings, train

ROOT = Path(__file__).resolve().parents[1]
BATCH = 8096
HALF_WIDTHS = (0.70, 0.86, 1.25)  # of the brain, in halves of the grid: a third of its voxels


def main() -> None:
    """Measure everything and write one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0, help="about how long to measure each rate")
    parser.add_argument(
        "--slices", type=int, help="of 100, spread evenly; default 4 on a CPU and all on a GPU"
    )
    parser.add_argument("--training-patches", type=int, help="train on so many, as the paper does")
    chosen = parser.parse_args()
    where = device.select_device(chosen.device, chosen.threads)
    able = device.select_precision("auto", where)
    precisions = ["float32"] if able == "float32" else ["float32", "bfloat16"]
    if where == "cuda":
        precisions.append("float16")
    if able == "float32":
        print("no bfloat16 arithmetic on this device: float32 only")
    torch.manual_seed(0)
    network = LocationNetwork().eval().to(where)
    volume, mask = brain()
    wanted = widened(mask, 3)
    rows = []

    def row(task: str, way: str, precision: str, value: float, unit: str, **more: float) -> None:
        rows.append({"task": task, "way": way, "precision": precision, "value": value, "unit": unit, **more})
        print(f"{task:18} {way:16} {precision:9} {value:12.4g} {unit}  {more or ''}", flush=True)

    peaks = {precision: matrix_peak(where, precision, chosen.seconds / 3) for precision in precisions}
    for precision, peak in peaks.items():
        row("matrix product", "torch", precision, peak / 1e9, "GFLOP/s")

    plain = published(network)
    few = np.argwhere(mask[:, :, 50:51])
    few[:, 2] = 50
    work = 2 * multiply_adds(network)
    speeds = {}
    ways = {
        ("straightforward", precision): straightforward(plain, volume, where, precision)
        for precision in precisions
    }
    for precision in precisions:
        ready = DenseNetwork(network, PATCH, where, precision)
        ways["engine", precision] = partial(predict, volume, network=ready)
    for (way, precision), score in ways.items():
        speeds[way, precision] = rate(score, few, chosen.seconds, where)
        reference = speeds["straightforward", "float32"]
        row(
            "patches",
            way,
            precision,
            speeds[way, precision],
            "patches/s",
            times_straightforward=speeds[way, precision] / reference,
            share_of_peak=speeds[way, precision] * work / peaks[precision],
        )

    slices = chosen.slices or (4 if where == "cpu" else GRID[2])
    z = (
        np.linspace(0, GRID[2] - 1, slices + 2).round().astype(int)[1:-1]
        if slices < GRID[2]
        else np.arange(GRID[2])
    )
    taken = np.zeros(GRID, bool)
    taken[:, :, z] = True
    brain_voxels, every_voxel = np.argwhere(wanted & taken), np.argwhere(taken)
    scale = np.count_nonzero(wanted) / len(brain_voxels), np.prod(GRID) / len(every_voxel)
    found = {}
    for (way, precision), score in ways.items():
        if way == "straightforward" and precision != precisions[-1] and precision != "float32":
            continue
        voxels, factor = (brain_voxels, scale[0]) if way == "engine" else (every_voxel, scale[1])
        forget_peak_memory(where)
        synchronize(where)
        start = time.perf_counter()
        found[way, precision] = score(voxels)
        synchronize(where)
        seconds = factor * (time.perf_counter() - start)
        reference = seconds if not rows or rows[-1]["task"] != "volume at 1 mm" else reference
        row(
            "volume at 1 mm",
            way,
            precision,
            seconds,
            f"s, of {slices} of {GRID[2]} slices",
            times_straightforward=reference / seconds,
            peak_memory_mb=peak_memory(where),
        )
    inside = (wanted & taken)[taken]
    expected = [part[inside] for part in found["straightforward", "float32"]]
    for (way, precision), outputs in found.items():
        if way == "engine":
            for name, one, other in zip(("mean", "log-variance"), outputs, expected, strict=True):
                difference = float(np.linalg.norm(one - other) / np.linalg.norm(other))
                row(f"{name}, difference", way, precision, difference, "relative L2")

    pool = PatchPool([(volume, mask)] * 8, PATCH, where)
    host = host_batches([(volume, mask)] * 8)
    batch = BATCH if where == "cuda" else 512
    reference = training_rate(lambda: host_step(host, batch, where), batch, chosen.seconds, where)
    row("training", "straightforward", "float32", reference, "patches/s", times_straightforward=1.0)
    for precision in precisions[:2]:
        speed = engine_training_rate(pool, batch, precision, chosen.seconds)
        row(
            "training",
            "engine",
            precision,
            speed,
            "patches/s",
            times_straightforward=speed / reference,
            share_of_peak=3 * speed * work / peaks[precision],
        )
    if chosen.training_patches:
        pool = PatchPool([(volume, mask)] * 358, PATCH, where)
        forget_peak_memory(where)
        start = time.perf_counter()
        train(pool, pool, settings(chosen.training_patches, BATCH, able, validations=60))
        minutes = (time.perf_counter() - start) / 60
        row("whole training", "engine", able, minutes, "minutes", peak_memory_mb=peak_memory(where))
    machine = torch.cuda.get_device_name() if where == "cuda" else f"{platform.machine()} {cpu_name()}"
    about = {"machine": machine, "threads": chosen.threads, "torch": torch.__version__}
    columns = [
        "task",
        "way",
        "precision",
        "value",
        "unit",
        "times_straightforward",
        "share_of_peak",
        "peak_memory_mb",
    ]
    with open(ROOT / f"benchmarks/engine_{where}.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [*columns, *about], restval="")
        table.writeheader()
        table.writerows({key: short(value) for key, value in (entry | about).items()} for entry in rows)


def short(value: object) -> object:
    """Four digits are more than a timing has."""
    return f"{value:.4g}" if isinstance(value, float) else value


def brain(grid: tuple[int, int, int] = GRID) -> tuple[np.ndarray, np.ndarray]:
    """A simulated volume (x, y, z) float32 and its mask."""
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in grid), indexing="ij", sparse=True)
    mask = sum((axis / half) ** 2 for axis, half in zip(axes, HALF_WIDTHS, strict=True)) < 1
    noise = np.random.default_rng(0).random(grid, dtype=np.float32)
    return np.where(mask, noise, 0).astype(np.float32), mask


def widened(mask: np.ndarray, reach: int) -> np.ndarray:
    """The mask and all that a median filter of 2 reach + 1 voxels looks at."""
    size = 2 * reach + 1
    return functional.max_pool3d(torch.from_numpy(mask)[None, None].float(), size, 1, reach)[0, 0].numpy() > 0


def rate(score: Callable[[np.ndarray], object], voxels: np.ndarray, seconds: float, where: str) -> float:
    """Patches per second of scoring the voxels again and again, after one time to warm up."""
    part = voxels if where == "cuda" else voxels[: 4 * AT_ONCE[where]]
    score(part)
    synchronize(where)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        score(part)
        synchronize(where)
        count += len(part)
    return count / (time.perf_counter() - start)


def matrix_peak(where: str, precision: str, seconds: float) -> float:
    """Operations per second of a large matrix product."""
    size = 8192 if where == "cuda" else 2048
    left, right = (torch.randn(size, size, device=where, dtype=PRECISIONS[precision]) for _ in range(2))
    _ = left @ right
    synchronize(where)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        _ = left @ right
        synchronize(where)
        count += 1
    return count * 2 * size**3 / (time.perf_counter() - start)


def multiply_adds(network: LocationNetwork) -> int:
    """Multiplications of one patch that do not meet the zeros of padding."""
    counts = []

    def count(module: nn.Module, given: tuple[torch.Tensor], found: torch.Tensor) -> None:
        if isinstance(module, nn.Linear):
            counts.append(module.weight.numel())
            return
        size, kernel, step, margin = (
            given[0].shape[2],
            module.kernel_size[0],
            module.stride[0],
            module.padding[0],
        )
        begins = range(-margin, size + margin - kernel + 1, step)
        met = sum(
            min(begin + kernel, size) - max(begin, 0)
            for begin in begins
            if begin + kernel > 0 and begin < size
        )
        counts.append(met**2 * module.in_channels * module.out_channels)

    hooks = [
        module.register_forward_hook(count)
        for module in network.modules()
        if isinstance(module, (nn.Linear, nn.Conv2d))
    ]
    where = next(network.parameters()).device
    with torch.inference_mode():
        network(torch.zeros(1, 1, PATCH, PATCH, device=where), torch.zeros(1, device=where))
    for hook in hooks:
        hook.remove()
    return sum(counts)


def training_rate(steps: Callable[[], Iterator[None]], batch: int, seconds: float, where: str) -> float:
    """Patches per second of training steps, after one to warm up."""
    running = steps()
    next(running)
    synchronize(where)
    start, count = time.perf_counter(), 0
    while count < 2 or time.perf_counter() - start < seconds:
        next(running)
        synchronize(where)
        count += 1
    return count * batch / (time.perf_counter() - start)


def engine_training_rate(pool: PatchPool, batch: int, precision: str, seconds: float) -> float:
    """Patches per second between the first validation of a training and its last."""
    start = time.perf_counter()
    train(pool, pool, settings(batch, batch, precision), progress=lambda text: None)
    steps = max(2, int(seconds / (time.perf_counter() - start)))
    chosen = settings(2 * steps * batch, batch, precision, validations=2)
    return train(pool, pool, chosen, progress=lambda text: None)[1][-1]["patches_per_second"]


def settings(count: int, batch: int, precision: str, validations: int = 1) -> Settings:
    """Of a training of the paper's network on `count` patches."""
    return Settings(
        widths=(64, 128, 256, 512),
        patch=PATCH,
        patches=count,
        batch=batch,
        learning_rate=1e-3,
        schedule="constant",
        validation_patches=256,
        validations=validations,
        seed=0,
        precision=precision,
    )


def synchronize(where: str) -> None:
    """Wait for a GPU."""
    if where == "cuda":
        torch.cuda.synchronize()


def forget_peak_memory(where: str) -> None:
    """Begin the measurement of peak memory anew."""
    if where == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory(where: str) -> float:
    """Largest memory since `forget_peak_memory`, MB: of the GPU, or of this whole process."""
    if where == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def cpu_name() -> str:
    """Name and vector instructions of the processor."""
    return f"{torch.cpu.get_capabilities().get('cpu_name', '')} {torch.backends.cpu.get_cpu_capability()}".strip()


if __name__ == "__main__":
    main()
