"""Patches per second of training and of dense scoring, for the paper's network and the narrow one.

    python benchmarks/throughput.py [--device cpu|cuda] [--threads 2] [--seconds 20]

Scores and trains on simulated slices: speed does not depend on what is in them.  Writes
benchmarks/throughput_{device}.csv: one row per network and task, with the threads and torch's version.
"""

import argparse
import platform
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import numpy as np
import pandas as pd
import torch
import yaml

from patch2loc import device
from patch2loc.heatmap import predict
from patch2loc.network import LocationNetwork, for_inference
from patch2loc.train import Settings, Slices, train

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Measure every network and task in one run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0, help="about how long to measure each task")
    chosen = parser.parse_args()
    where = device.choose(chosen.device, chosen.threads)
    rows = []
    for name in ("config", "demo"):
        configuration = yaml.safe_load((ROOT / f"config/{name}.yaml").read_text(encoding="utf-8"))
        settings, patch = configuration["training"], configuration["patch"]
        volume, mask = head(configuration["grid"]["shape"])
        about = {"network": settings["network"], "patch": patch, "device": where, "threads": chosen.threads}
        speeds = {
            "scoring": scoring(volume, mask, settings["widths"], patch, where, chosen.seconds),
            "training": training(volume, mask, settings, patch, where, chosen.seconds),
        }
        rows += [about | {"task": task, "patches_per_second": round(speed)} for task, speed in speeds.items()]
    table = pd.DataFrame(rows).assign(torch=torch.__version__, machine=platform.machine())
    table.to_csv(ROOT / f"benchmarks/throughput_{where}.csv", index=False)
    print(table.to_string(index=False))


def head(shape: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """A simulated volume: noise in an ellipsoid of the size of a brain on the grid."""
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    mask = (axes[0] / 0.75) ** 2 + (axes[1] / 0.9) ** 2 + (axes[2] / 1.2) ** 2 < 1
    noise = np.random.default_rng(0).random(shape, dtype=np.float32)
    return np.where(mask, noise, 0).astype(np.float32), mask


def scoring(
    volume: np.ndarray, mask: np.ndarray, widths: list[int], patch: int, where: str, seconds: float
) -> float:
    """Patches scored in a second."""
    network = for_inference(LocationNetwork(widths).eval().to(where))
    voxels = np.argwhere(mask)
    predict(volume, voxels[:8192], network, patch, where)  # warm up
    start, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < seconds:
        part = voxels[count % len(voxels) :][:16384]
        predict(volume, part, network, patch, where)
        count += len(part)
    return count / elapsed


def training(
    volume: np.ndarray, mask: np.ndarray, settings: dict, patch: int, where: str, seconds: float
) -> float:
    """Patches trained on in a second: the time of many batches less that of few."""
    slices = Slices([(volume, mask)] * 4, patch, where)

    def run(batches: int) -> float:
        chosen = Settings(
            widths=settings["widths"],
            patch=patch,
            patches=batches * settings["batch"],
            batch=settings["batch"],
            learning_rate=1e-3,
            schedule="constant",
            validation_patches=2,
            validations=1,
            seed=0,
        )
        start = time.perf_counter()
        train(slices, slices, chosen, progress=lambda text: None)
        return time.perf_counter() - start

    first = run(1)
    more = max(2, int(seconds / first))
    return more * settings["batch"] / (run(1 + more) - run(1))


if __name__ == "__main__":
    main()
