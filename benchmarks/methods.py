"""What a method that sees slices costs: processor seconds of a trained slice and of a scored scan, and memory.

    OMP_NUM_THREADS=1 python benchmarks/methods.py [--device cpu|cuda] [--threads 1] [--methods ae vae ...]
                                                   [--budgets paper smoke] [--batch 4]

Every method of Table 1 but those that see patches (benchmarks/engine.py) is trained for a few steps at 1 mm, on the
slices and batches of its authors, and scores a volume. The volumes are simulated: noise in ellipsoids of a brain's
size, which no speed depends on. Weights from elsewhere are random, of the right shape. Each method has a process.
A batch is cut to `--batch` slices where it would not fit (on a processor: the diffusion methods), and memory is then
scaled to the whole batch. On a processor, processor seconds count, whatever else the machine does; on a GPU, seconds.
Writes benchmarks/methods_{device}.csv, in which rows of methods that were not asked for stay as they are.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import numpy as np
import pandas as pd
import torch
from brains import brain, widened
from machine import cpu_name, forget_peak_memory, peak_memory, short
from torchvision.models import squeezenet1_1

from patch2loc.configuration.method_registry import METHODS
from patch2loc.data.volumes import block
from patch2loc.engine import device
from patch2loc.method_interface import declaration, method
from patch2loc.methods.reconstruction.inpainting import Vgg19
from patch2loc.methods.reconstruction.saliency import Perception, SqueezeNetHeads

ROOT = Path(__file__).resolve().parents[1]
GRID, SPACING = (192, 192, 100), 1.0  # the paper's; mm
SLICES = [
    name for name in METHODS if declaration(name).role == "table1" and declaration(name).network
]  # less those that locate
SLICES = [name for name in SLICES if not declaration(name).locates]
WIDE = ("ddpm", "pddpm", "cddpm")  # 0.6 GB a slice in training
STEPS = {"cpu": (1, 3), "cuda": (10, 60)}  # of two trainings, whose difference counts
SMOKE_STEPS = (2, 22)
SCORED_SLICES = 6  # of the volume's 100, on a processor
SCANS_OF_A_BATCH = ("svae",)  # whose batch is of scans
PRETRAINING = "pretraining_steps"
COPIES = 6  # of the weights: themselves, gradients, two moments, those kept, those of the state


def main() -> None:
    """Measure every method, each in a process of its own, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--methods", nargs="+", choices=SLICES, default=SLICES)
    parser.add_argument("--budgets", nargs="+", choices=["paper", "smoke"], default=["paper", "smoke"])
    parser.add_argument("--batch", type=int, help="most slices of a diffusion method; 2 on a processor")
    parser.add_argument("--alone", action="store_true", help="this process measures, and prints rows as JSON")
    chosen = parser.parse_args()
    if chosen.alone:
        print(json.dumps(measured(chosen.methods[0], chosen.budgets[0], chosen)))
        return
    path = ROOT / f"benchmarks/methods_{chosen.device}.csv"
    kept = pd.read_csv(path).to_dict("records") if path.exists() else []
    for budget in chosen.budgets:
        for name in chosen.methods:
            command = [sys.executable, __file__, "--alone", "--methods", name, "--budgets", budget]
            command += ["--device", chosen.device, "--threads", str(chosen.threads)]
            command += ["--batch", str(chosen.batch)] if chosen.batch else []
            rows = json.loads(
                subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1]
            )
            kept = [row for row in kept if (row["method"], row["budget"]) != (name, budget)] + rows
            table = pd.DataFrame(kept)
            table.to_csv(path, index=False)
            print(pd.DataFrame(rows).to_string(index=False, header=False), flush=True)


def measured(name: str, budget: str, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of a method with the networks of a budget: training, for cddpm pretraining, and scoring."""
    where = device.select_device(chosen.device, chosen.threads)
    precision = device.select_precision("auto", where)
    module = method(name)
    settings = dict(declaration(name).settings[budget])
    whole_batch = settings["batch"]
    if name in WIDE and budget == "paper":
        settings["batch"] = min(whole_batch, chosen.batch or (2 if where == "cpu" else whole_batch))
    volumes = [brain(GRID)] * 2
    settings |= (
        {"noise_fields": 2, "validations": 1, "validation_slices": 2} if "noise_fields" in settings else {}
    )
    settings |= {
        "validations": 1,
        "validation_slices": 2,
        "seed": 0,
        "spacing": SPACING,
        "precision": precision,
    }
    machine = torch.cuda.get_device_name() if where == "cuda" else f"{platform.machine()} {cpu_name()}"
    about = {"machine": machine, "threads": chosen.threads, "torch": torch.__version__.partition("+")[0]}
    about |= {"precision": precision, "date": datetime.now(UTC).date().isoformat()}
    rows: list[dict[str, Any]] = []
    disk_mb: list[float] = []  # of a model
    with tempfile.TemporaryDirectory() as folder:
        settings["pretrained"] = dict.fromkeys(declaration(name).pretrained) | weights_in(Path(folder), name)

        def seconds_of_fit(**changed: int) -> tuple[float, dict[str, Any]]:
            start = clock(where)
            state, _ = module.fit(volumes, volumes[:1], {**settings, **changed}, None, device=where)
            return clock(where) - start, state

        def row(task: str, seconds: float, memory: float) -> None:
            unit = "scan" if task == "scoring" or name in SCANS_OF_A_BATCH else "slice"
            values = {"method": name, "budget": budget, "task": task, "unit": unit, "seconds": short(seconds)}
            sizes = {"batch": settings["batch"], "authors_batch": whole_batch, "memory_mb": round(memory)}
            sizes["disk_mb"] = round(disk_mb[0], 1) if task == "training" else ""
            rows.append(values | sizes | about)

        few, many = STEPS[where] if budget == "paper" else SMOKE_STEPS
        once = {PRETRAINING: 1} if PRETRAINING in settings else {}
        forget_peak_memory(where)
        before = peak_memory(where)
        first, _ = seconds_of_fit(steps=few, **once)
        second, state = seconds_of_fit(steps=many, **once)
        weights = size_mb(state)
        disk_mb.append(weights)
        # What a batch needs grows with it; the process, weights, gradients, moments and kept weights do not.
        fixed = before + COPIES * weights
        memory = fixed + max(0.0, peak_memory(where) - fixed) * whole_batch / settings["batch"]
        row("training", (second - first) / (many - few) / settings["batch"], memory)
        if once:
            second, _ = seconds_of_fit(steps=few, **{PRETRAINING: 1 + many - few})
            row("pretraining", (second - first) / (many - few) / settings["batch"], memory)
        forget_peak_memory(where)
        row("scoring", seconds_of_scoring(module, name, state, where, precision), peak_memory(where))
    return rows


def seconds_of_scoring(module: Any, name: str, state: Mapping[str, Any], where: str, precision: str) -> float:
    """Seconds to score a standardized scan, without what all methods share: reading, filters and writing."""
    volume, mask = brain(GRID)
    score = module.scorer(state, where, 1, precision)
    wanted = widened(mask, 3)
    region = wanted.copy()
    whole = where == "cuda" or name in SCANS_OF_A_BATCH  # which see all slices of a scan at once
    if not whole:
        middle = wanted.shape[2] // 2
        region[:, :, : middle - SCORED_SLICES // 2] = False
        region[:, :, middle + SCORED_SLICES // 2 :] = False
    if where == "cuda":
        score(volume, mask, region)  # warm up
    start = clock(where)
    score(volume, mask, region)
    return (clock(where) - start) * slices_computed(wanted) / slices_computed(region)


def size_mb(state: Mapping[str, Any]) -> float:
    """Size of the arrays of a model's state."""
    values = [value for value in state.values() if value is not None]
    arrays = [
        array for value in values for array in (value.values() if isinstance(value, Mapping) else [value])
    ]
    return sum(array.nbytes for array in arrays if isinstance(array, np.ndarray)) / 1e6


def slices_computed(region: np.ndarray) -> int:
    """Slices of 2 mm that a region needs, their neighbors included."""
    factor = block(SPACING)
    needed = {
        index // factor + step for index in np.flatnonzero(region.any(axis=(0, 1))) for step in (-1, 0, 1)
    }
    return len(needed & set(range(-(-region.shape[2] // factor))))


def weights_in(folder: Path, name: str) -> dict[str, str]:
    """Files of random weights for the networks from elsewhere that cost time: {name: path}."""
    made: dict[str, Mapping[str, torch.Tensor]] = {}
    if name in ("ra", "phanes"):
        widths = [head.shape[1] for head in Perception().heads]
        made["squeezenet1_1_imagenet"] = squeezenet1_1(weights=None).state_dict()
        made["lpips_squeezenet"] = SqueezeNetHeads(widths).state_dict()
    if name == "phanes":
        made["vgg19_imagenet"] = {f"features.{key}": value for key, value in Vgg19().state_dict().items()}
    for key, weights in made.items():
        torch.save(weights, folder / key)
    return {key: str(folder / key) for key in made}


def clock(where: str) -> float:
    """Seconds: of this process's processors, or, for a GPU, of the clock once it has nothing left to do."""
    if where == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


if __name__ == "__main__":
    main()
