"""From a preprocessed scan at 1 mm to its row of the metrics: the seconds of each step.

    python benchmarks/whole_path.py [--device cpu|cuda] [--threads 2] [--slices 2]

The scan and the lesion are simulated.  On a CPU the network scores `--slices` of the 100 slices and its time is scaled
to all.  Writes benchmarks/whole_path_{device}.csv.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import numpy as np
import pandas as pd
import torch
from engine import brain, widened
from straightforward import GRID, PATCH

from patch2loc.data import volumes
from patch2loc.engine import device
from patch2loc.evaluate.subjects import evaluate_subject
from patch2loc.heatmap import score_voxels
from patch2loc.network.inference import DenseNetwork
from patch2loc.network.location import LocationNetwork
from patch2loc.score.postprocessing import median_filtered
from patch2loc.standardize import standardize

ROOT = Path(__file__).resolve().parents[1]
LANDMARKS = {
    "percentiles": [1, *range(10, 100, 10), 99],
    "standard_scale": list(range(0, 110, 10)),
    "protocol": "paper",
}


def main() -> None:
    """Time every step once and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--slices", type=int, default=2)
    chosen = parser.parse_args()
    where = device.select_device(chosen.device, chosen.threads)
    precision = device.select_precision("auto", where)
    volume, mask = brain()
    lesion = np.zeros(GRID, bool)
    lesion[80:110, 80:110, 40:60] = True
    rows = []

    def timed(step: str, run, scale: float = 1.0):
        start = time.perf_counter()
        result = run()
        rows.append({"step": step, "seconds": round(scale * (time.perf_counter() - start), 3)})
        return result

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "T1.nii.gz")
        volumes.write(path, volume, np.eye(4))
        volumes.write(Path(folder, "mask.nii.gz"), mask, np.eye(4))
        timed(
            "read scan and mask", lambda: (volumes.read(path), volumes.read_mask(Path(folder, "mask.nii.gz")))
        )
        standardized = timed("standardize", lambda: standardize(volume, mask, LANDMARKS))
        network = DenseNetwork(LocationNetwork().eval(), PATCH, where, precision)
        wanted, part = widened(mask, 3), np.zeros(GRID, bool)
        count = GRID[2] if where == "cuda" else chosen.slices
        part[:, :, np.linspace(0, GRID[2] - 1, count + 2).round().astype(int)[1:-1]] = True
        few = wanted & part
        score_voxels(standardized, few & (np.arange(GRID[0]) < 80)[:, None, None], network)  # warm up
        timed("network", lambda: score_voxels(standardized, few, network), wanted.sum() / few.sum())
        score = np.where(wanted, np.random.default_rng(1).random(GRID, dtype=np.float32), np.nan)
        heatmap = timed("median filter", lambda: median_filtered(lambda _: score, mask, 7, where))
        timed("write heatmap", lambda: volumes.write(Path(folder, "heatmap.nii.gz"), heatmap, np.eye(4)))
        timed("metrics", lambda: evaluate_subject(heatmap, mask, lesion, 0.001))
    table = pd.DataFrame(rows)
    table["share"] = (table["seconds"] / table["seconds"].sum()).round(4)
    table = table.assign(device=where, precision=precision, threads=chosen.threads, torch=torch.__version__)
    table.to_csv(ROOT / f"benchmarks/whole_path_{where}.csv", index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
