"""The engine against the ways that others score and train, in one run and in turns: ratios with their spread.

    python benchmarks/engine.py [--device cpu|cuda] [--case paper|narrow|tiny] [--scans FOLDER] [--before FOLDER]

Ways: released (what the authors' program does), practitioner (the same, batch normalization folded and channels last),
engine, and unpadded (another network, patch2loc_unpadded, by its dense pass). Each runs in a process of its own that
keeps all ready. They take turns: every turn times each of them once on a slice of one of several brains of different
sizes and shapes, beside the machine's matrix product. A value is the median over the turns, in brackets are the
quartiles, and a ratio is that of values of the same turn. Questions:

- same voxels: patches a second of whole slices, whatever was left out of them;
- volume, background skipped: the released way computes every position, the engine the brain and what the median
  filter reaches. From the rates, as every batch of a way takes the same time;
- scan to heatmap: from the standardized scan to the filtered heatmap, as a scoring job makes it, of some slices, scaled
  to the volume by voxels; the released way filters the map of all voxels by scipy;
- training: patches a second, of accepted patches.

--before takes the library of another checkout (its workflow/scripts) into the same turns. --training-patches 121440000
trains as long as the paper does, on 358 scans, with the configuration's validations and checkpoints. Peers of the
stages around the network are timed where they are installed (`peers.py`). Writes engine_{device}.csv and .png, prints
the table.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

from comparison import Row, markdown, read_rows, write_rows
from engine_measurement import Measurement
from ways import Case

FOLDER = Path(__file__).resolve().parent
CASES = {
    "paper": Case((192, 192, 100), 24, (64, 128, 256, 512), 7, 512),
    "narrow": Case((96, 96, 50), 12, (16, 32, 128, 128), 3, 512),
    "tiny": Case((40, 40, 12), 12, (8, 8, 96, 96), 3, 32),  # says whether it runs
}
PAPER_BATCH = 8096  # of a training on a GPU


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write the table and the figure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--case", choices=CASES, default="paper", help="network and grid (default paper)")
    parser.add_argument(
        "--threads", type=int, default=len(os.sched_getaffinity(0)), help="default: all cores"
    )
    parser.add_argument("--brains", type=int, default=3, help="scans that are scored in turn (default 3)")
    parser.add_argument("--repeats", type=int, default=3, help="turns for each of them (default 3)")
    parser.add_argument("--slices", type=int, default=2, help="of a heatmap; all on a GPU (default 2)")
    parser.add_argument("--scans", type=Path, help="preprocessed scans, results/.../preprocessed/DATASET")
    parser.add_argument(
        "--before", type=Path, help="workflow/scripts of another checkout, timed in the same turns"
    )
    parser.add_argument("--training-patches", type=int, help="train on so many, as the paper does")
    parser.add_argument("--without-peers", action="store_true", help="time the networks alone")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder of the table and the figure")
    print_table(measure(parser.parse_args(arguments)))


def print_table(path: Path) -> None:
    """Print a table that was written."""
    print(markdown(row for row in read_rows(path) if row["ratio"]))


def measure(chosen: argparse.Namespace) -> Path:
    """Measure all and write it; returns the table's path."""
    start = time.monotonic()
    if chosen.device == "cuda":
        # The processes of all ways share one GPU: a claim by each would spread them, or wait for ever.
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    from brains import sources
    from machine import about

    from patch2loc.engine.device import select_precision

    case = CASES[chosen.case]
    if chosen.device == "cuda":
        case = case._replace(batch=PAPER_BATCH)
    brains = sources(case.grid, chosen.brains, chosen.scans)
    case = case._replace(grid=brains[0].grid)
    measurement = Measurement(chosen, case, brains, select_precision("auto", chosen.device))
    name = "engine" if chosen.case == "paper" else f"engine_{chosen.case}"
    table = chosen.output / f"{name}_{chosen.device}.csv"
    rows: list[Row] = []

    def add(part: Sequence[Row]) -> None:
        """Print rows as soon as they are there, and keep what is measured if a later part fails."""
        columns = {"case": chosen.case} | about(chosen.device, chosen.threads)
        rows.extend({**columns, **row} for row in part)
        write_rows(table, rows)
        print(markdown(read_rows(table)[-len(part) :]).split("\n", 2)[-1] if part else "", flush=True)

    for part in (measurement.scoring, measurement.heatmaps, measurement.training, measurement.scaling):
        add(part())
    if chosen.training_patches:
        add(measurement.whole_training(chosen.training_patches))
    if not chosen.without_peers:
        from peers import measured_peers

        add(measured_peers(brains, chosen.repeats))
    print(f"{table}: {(time.monotonic() - start) / 60:.1f} minutes")
    from engine_figure import draw

    draw(table)
    return table


if __name__ == "__main__":
    main()
