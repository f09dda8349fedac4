"""The network without padding against the published one, in one run: a volume scored, and a step of training.

    python benchmarks/unpadded.py [--device cpu|cuda] [--threads 2] [--slices 10 2] [--repeats 3] [--steps 10]

Needs torch, torchvision and numpy only.  Three ways to score: the published network on patches that are cut out, for
every position of the grid; the same network by the engine; the unpadded network by its dense pass.  The last two score
the brain and what the median filter reaches.  The volume is simulated: noise in an ellipsoid of a brain's size, which
no speed depends on.  Some slices are scored, spread evenly, and the time is scaled to all.  Ways take turns, and the
shortest time of each counts.  Writes benchmarks/unpadded_{device}.csv.
"""

import argparse
import csv
import platform
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

from engine import brain, cpu_name, short, synchronize, widened
from straightforward import published, straightforward

from patch2loc.engine import device
from patch2loc.methods.patch2loc_unpadded import unpadded
from patch2loc.network.inference import DenseNetwork, predict
from patch2loc.network.location import LocationNetwork
from patch2loc.network.sampling import PatchPool
from patch2loc.network.training import Settings, paper_network, train
from patch2loc.network.unpadded import ReadyUnpadded, UnpaddedNetwork

ROOT = Path(__file__).resolve().parents[1]
# Grid, patch, widths, reach of the median filter, and patches of a training step.
CASES = {
    "2 mm, narrow": ((96, 96, 50), 12, (16, 32, 128, 128), 1, 512),
    "1 mm, the paper's": ((192, 192, 100), 24, (64, 128, 256, 512), 3, 256),
}


def main() -> None:
    """Measure both cases and write one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--slices", type=int, nargs=2, default=[10, 2], help="scored at 2 mm and at 1 mm")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10, help="of training that are timed")
    chosen = parser.parse_args()
    where = device.select_device(chosen.device, chosen.threads)
    torch.manual_seed(0)
    rows = []
    for (case, of_case), slices in zip(CASES.items(), chosen.slices, strict=True):
        rows += [{"case": case, **row} for row in scoring(*of_case[:4], slices, chosen.repeats, where)]
        rows += [{"case": case, **row} for row in training(of_case, chosen.repeats, chosen.steps, where)]
    machine = torch.cuda.get_device_name() if where == "cuda" else f"{platform.machine()} {cpu_name()}"
    about = {"machine": machine, "threads": chosen.threads, "torch": torch.__version__}
    columns = ["case", "task", "way", "value", "unit", "times_straightforward", "times_published"]
    with open(ROOT / f"benchmarks/unpadded_{where}.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [*columns, *about], restval="")
        table.writeheader()
        table.writerows({key: short(value) for key, value in (row | about).items()} for row in rows)


def scoring(
    grid: tuple[int, int, int],
    patch: int,
    widths: tuple[int, ...],
    reach: int,
    slices: int,
    repeats: int,
    where: str,
) -> list[dict]:
    """Seconds a volume of the three ways."""
    volume, mask = brain(grid)
    taken = np.zeros(grid, bool)
    taken[:, :, np.linspace(0, grid[2] - 1, slices + 2).round().astype(int)[1:-1]] = True
    every, wanted = np.argwhere(taken), np.argwhere(taken & widened(mask, reach))
    network, dense = LocationNetwork(widths).eval().to(where), UnpaddedNetwork(patch, widths).eval()
    plain = straightforward(published(network), volume, where, "float32", patch)
    # Scaled by voxels: slices in the middle of a brain hold more of it than others.
    factors = np.prod(grid) / len(every), np.count_nonzero(widened(mask, reach)) / len(wanted)
    ways = {
        "straightforward": (partial(plain, every), factors[0]),
        "published, engine": (
            partial(predict, volume, wanted, DenseNetwork(network, patch, where)),
            factors[1],
        ),
        "unpadded, dense": (partial(predict, volume, wanted, ReadyUnpadded(dense, where)), factors[1]),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, (score, factor) in ways.items():
            synchronize(where)
            start = time.perf_counter()
            score()
            synchronize(where)
            times[way].append(factor * (time.perf_counter() - start))
    references = {"times_straightforward": "straightforward", "times_published": "published, engine"}
    return compared("volume", f"s, of {slices} of {grid[2]} slices", times, references)


def training(of_case: tuple, repeats: int, steps: int, where: str) -> list[dict]:
    """Seconds of a step of training of both networks."""
    grid, patch, widths, _, batch = of_case
    pool = PatchPool([brain(grid)] * 4, patch, where)
    settings = Settings(
        widths=widths,
        patch=patch,
        patches=2 * steps * batch,
        batch=batch,
        learning_rate=1e-3,
        schedule="constant",
        validation_patches=64,
        validations=2,
        seed=0,
    )
    builds = {"published": paper_network, "unpadded": unpadded}
    times: dict[str, list[float]] = {way: [] for way in builds}
    for _ in range(repeats):
        for way, build in builds.items():
            # From the first validation to the last: after what is done once.
            history = train(pool, pool, settings, progress=lambda text: None, build=build)[1]
            times[way].append(batch / history[-1]["patches_per_second"])
    return compared("training step", f"s, {batch} patches", times, {"times_published": "published"})


def compared(
    task: str, unit: str, times: dict[str, list[float]], references: dict[str, str]
) -> list[dict[str, object]]:
    """A row for each way, printed: its shortest time, and how many times faster it is than the references.

    times: seconds of each way.  references: the way that each column compares with.
    """
    best = {way: min(seconds) for way, seconds in times.items()}
    rows = [
        {"task": task, "way": way, "value": seconds, "unit": unit}
        | {column: best[reference] / seconds for column, reference in references.items()}
        for way, seconds in best.items()
    ]
    for row in rows:
        print("  ".join(f"{key} {short(value)}" for key, value in row.items()), flush=True)
    return rows


if __name__ == "__main__":
    main()
