"""What to measure first on a GPU, in ten minutes: waits of the processor, plans, layouts, deterministic mode, ratios.

    python benchmarks/first_gpu.py --device cuda
    python benchmarks/first_gpu.py --device cpu --case tiny    # says that it runs; leaves out what only a GPU has

- synchronizations of a training step, as torch counts them: of two trainings, one longer than the other by some steps;
- a volume whose slices all have the same number of patches, and one where no two have: what plans cost that are made
  for every new shape;
- the first convolution, forward and gradient of its weights, channels last and first;
- a training step with deterministic algorithms and without;
- the released way on six slices, in half precision;
- the rows of `engine.py` (two brains, two turns of each).

Writes first_gpu_{device}.csv, and the table and the figure of engine.py.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import numpy as np
import torch
from brains import brain, widened
from comparison import Row, compared, key, markdown, read_rows, write_rows
from engine import CASES, PAPER_BATCH
from engine import main as engine_main
from machine import about, synchronize
from straightforward import released
from timed_training import training_settings
from torch import nn
from ways import Case

from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.device import repeatable, select_device, select_precision
from patch2loc.engine.precision import PRECISIONS
from patch2loc.network.inference import DenseNetwork
from patch2loc.network.location import LocationNetwork
from patch2loc.network.prediction import predict
from patch2loc.network.sampling import PatchPool
from patch2loc.network.training import train

FOLDER = Path(__file__).resolve().parent
STEPS = 5  # by which one training is longer than another
TURNS = 5
SLICES = 6  # of the released way, and of the volumes with equal and with different slices on a CPU
THINNED = (0.4, 0.6)  # share of a slice's patches, where no two slices are to have the same number


def main(arguments: list[str] | None = None) -> None:
    """Measure all, one after the other, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--case", choices=CASES, default="paper")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder of the tables and the figure")
    chosen = parser.parse_args(arguments)
    device = select_device(chosen.device)
    precision = select_precision("auto", device)
    case = CASES[chosen.case]
    if device == "cuda":
        case = case._replace(batch=PAPER_BATCH)
    pool = PatchPool([brain(case.grid, number) for number in range(8)], case.patch, device)
    rows: list[Row] = []
    table = chosen.output / f"first_gpu_{device}.csv"
    for measure in (synchronizations, plans, first_layer, deterministic_mode, released_slices):
        try:
            part = measure(case, pool, device, precision)
        except RuntimeError as error:  # of one question: the others are worth their answers all the same
            print(f"{measure.__name__}: {type(error).__name__}: {error}", flush=True)
            continue
        if not part:
            print(f"{measure.__name__}: left out, as it needs a GPU", flush=True)
        columns = {"case": chosen.case} | about(device, torch.get_num_threads())
        rows += [{**columns, **row} for row in part]
        write_rows(table, rows)
    print(markdown(read_rows(table)), flush=True)
    shared = ["--device", device, "--case", chosen.case, "--threads", str(torch.get_num_threads())]
    engine_main(
        [*shared, "--output", str(chosen.output), "--without-peers", "--brains", "2", "--repeats", "2"]
    )


def synchronizations(case: Case, pool: PatchPool, device: Device, precision: Precision) -> list[Row]:
    """Waits of the processor for the GPU in a training step; each place that waits is printed."""
    if device != "cuda":
        return []
    counts = []
    for steps in (STEPS, 2 * STEPS):
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                train_for(steps, case, pool, precision)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        waits = [warning for warning in caught if "synchroniz" in str(warning.message)]
        counts.append(len(waits))
    for place in sorted({f"{wait.filename}:{wait.lineno}" for wait in waits}):
        print(f"waits, in a training with one validation: {place}", flush=True)
    per_step = (counts[1] - counts[0]) / STEPS
    way = ("engine", precision)
    return [compared("synchronizations of a training step", way, None, [{key(*way): per_step}], "waits")]


def plans(case: Case, _pool: PatchPool, device: Device, precision: Precision) -> list[Row]:
    """Seconds of a volume whose slices are all alike, and of one with another number of patches in each."""
    volume, mask = brain(case.grid)
    depth = case.grid[2] if device == "cuda" else SLICES
    middle = np.argwhere(widened(mask, case.median // 2)[:, :, case.grid[2] // 2])
    random = np.random.default_rng(0)

    def voxels(shares: np.ndarray) -> np.ndarray:
        """The middle slice's voxels in every slice, thinned to a share of them."""
        thinned = [random.permutation(middle)[: int(share * len(middle))] for share in shares]
        return np.concatenate([with_height(places, z) for z, places in enumerate(thinned)])

    network = DenseNetwork(LocationNetwork(case.widths).eval(), case.patch, device, precision)
    alike, different = ("slices alike", precision), ("no two slices alike", precision)
    turns = []
    for _ in range(TURNS + 1):
        shares = {alike: np.full(depth, np.mean(THINNED)), different: random.uniform(*THINNED, depth)}
        runs = {way: partial(predict, volume, voxels(share), network) for way, share in shares.items()}
        turns.append({key(*way): seconds(run, device) for way, run in runs.items()})
    return [compared("prediction", alike, different, turns[1:], "s", note=f"{depth} slices")]


def with_height(places: np.ndarray, z: int) -> np.ndarray:
    """Places (n, 2) of a slice as voxels (n, 3)."""
    return np.column_stack([places, np.full(len(places), z)])


def first_layer(case: Case, _pool: PatchPool, device: Device, precision: Precision) -> list[Row]:
    """Milliseconds of the first convolution and of the gradient of its weights, both layouts."""
    layer = nn.Conv2d(1, case.widths[0], 3, stride=2, padding=3, bias=False).to(device, PRECISIONS[precision])
    inputs = torch.rand(case.batch, 1, case.patch, case.patch, device=device, dtype=PRECISIONS[precision])
    layouts = {
        ("channels last", precision): torch.channels_last,
        ("channels first", precision): torch.contiguous_format,
    }
    forward: list[dict[str, float]] = []
    gradient: list[dict[str, float]] = []
    for _ in range(TURNS + 1):
        times: tuple[dict[str, float], dict[str, float]] = {}, {}
        for way, layout in layouts.items():
            # A tensor of one channel is of both layouts: torch takes the one that the strides are written as.
            x = torch.empty_strided(inputs.shape, strides(inputs, layout), device=device, dtype=inputs.dtype)
            x.copy_(inputs)
            convolve = layer.to(memory_format=layout)
            output = convolve(x)
            sent = torch.ones_like(output)
            times[0][key(*way)] = 1000 * seconds(partial(convolve, x), device)
            times[1][key(*way)] = 1000 * seconds(
                partial(torch.autograd.grad, output, convolve.weight, sent), device
            )
        forward.append(times[0])
        gradient.append(times[1])
    last, first = layouts
    note = f"{case.batch:,} patches"
    return [
        compared("first convolution", last, first, forward[1:], "ms", note=note),
        compared("gradient of its weights", last, first, gradient[1:], "ms", note=note),
    ]


def strides(x: torch.Tensor, layout: torch.memory_format) -> tuple[int, ...]:
    """Strides of a tensor (n, 1, p, p) in a layout."""
    size = x.shape[2] * x.shape[3]
    return (size, 1, x.shape[3], 1) if layout == torch.channels_last else (size, size, x.shape[3], 1)


def deterministic_mode(case: Case, pool: PatchPool, device: Device, precision: Precision) -> list[Row]:
    """Patches a second of a training with deterministic algorithms and without."""
    if device != "cuda":
        return []
    with_it, without = ("deterministic", precision), ("any algorithm", precision)
    turns = []
    for _ in range(TURNS):
        turn = {}
        for way in (with_it, without):
            with repeatable(device) if way is with_it else nullcontext():
                turn[key(*way)] = train_for(4 * STEPS, case, pool, precision)
        turns.append(turn)
    return [compared("training", without, with_it, turns, "patches/s", more_is_faster=True)]


def released_slices(case: Case, _pool: PatchPool, device: Device, precision: Precision) -> list[Row]:
    """Seconds of six slices, every position, as released, and by the engine the same voxels."""
    volume, _ = brain(case.grid)
    middle = case.grid[2] // 2
    every = np.argwhere(np.ones((*case.grid[:2], SLICES), bool))
    if device == "cpu":
        every = every[every[:, 2] == 0]
    every[:, 2] += middle - SLICES // 2
    network = LocationNetwork(case.widths).eval()
    half: Precision = "float16" if device == "cuda" else "float32"
    ways = {
        ("engine", precision): partial(
            predict, volume, every, DenseNetwork(network, case.patch, device, precision)
        ),
        ("released", half): partial(released(network, device, half, case.patch), volume, every),
    }
    count = TURNS if device == "cuda" else 1
    turns = [{key(*way): seconds(run, device) for way, run in ways.items()} for _ in range(1 + count)]
    ours, other = ways
    note = f"every position of {1 if device == 'cpu' else SLICES} slices"
    return [compared("same voxels", ours, other, turns[1:], "s", note=note)]


def train_for(steps: int, case: Case, pool: PatchPool, precision: Precision) -> float:
    """Patches a second of a training of so many steps, with one validation at its end."""
    settings = training_settings(case, steps * case.batch, precision, 64, validations=1)
    return train(pool, pool, settings, progress=lambda text: None)[1][-1]["patches_per_second"]


def seconds(run: Callable[[], object], device: Device) -> float:
    """Seconds until the device has done it."""
    synchronize(device)
    start = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
