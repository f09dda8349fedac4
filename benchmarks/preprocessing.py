"""Brain masks without weights and affine registration on real scans, against given brain masks.

    .venv/bin/python benchmarks/preprocessing.py FOLDER PICTURES

FOLDER holds whole heads, SUBJECT_t1.nii.gz, and their brain masks, SUBJECT_brain.nii.gz.  Writes
benchmarks/preprocessing.csv, one row per scan, and benchmarks/preprocessing.png, and to the folder PICTURES the five
worst masks with the given ones, which must not be published with the repository.
"""

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from patch2loc.files import write_csv
from patch2loc.preprocess.atlas import Atlas, common_grid, load_atlas
from patch2loc.preprocess.coverage import dice
from patch2loc.preprocess.images import one_thread, read_mask_of, read_scan
from patch2loc.preprocess.scan import preprocess_scan
from patch2loc.preprocess.skull_strip import find_brain

HERE = Path(__file__).resolve().parent
SPACING, SHAPE = 2.0, (96, 96, 50)
LEAST_DICE, MEDIAN_DICE, MEDIAN_OVERLAP = 0.90, 0.95, 0.955
OVERLAPS = {
    "dice": "mask found, with the given mask",
    "atlas_dice": "mask found, moved, with the atlas mask",
}


def main(folder: str, pictures: str) -> None:
    """Preprocess every scan of the folder, write the table and the figures, and print the summary."""
    atlas = load_atlas("icbm152", "T1")
    grid = common_grid(atlas, SHAPE, SPACING)
    paths = sorted(Path(folder).glob("*_t1.nii.gz"))
    rows = []
    for number, path in enumerate(paths, 1):
        subject = path.name.removesuffix("_t1.nii.gz")
        brain = path.with_name(f"{subject}_brain.nii.gz")
        begun = time.process_time()
        qc = preprocess_scan(path, "T1", atlas, grid, brain_path=brain, settings={"skull_strip": "atlas"}).qc
        seconds = time.process_time() - begun
        row = {
            "subject": subject,
            "dice": qc["brain_dice_with_truth"],
            "atlas_dice": qc["atlas_dice"],
            "brain_ml": qc["brain_source_ml"],
            "cpu_seconds": round(seconds, 2),
            "flags": "; ".join(qc["flags"]),
        }
        rows.append(row)
        print(number, *row.values(), flush=True)
    table = pd.DataFrame(rows)
    write_csv(HERE / "preprocessing.csv", table)
    draw(table).savefig(HERE / "preprocessing.png", dpi=150)
    summarize(table)
    for subject in table.nsmallest(5, "dice")["subject"]:
        outline(Path(folder), subject, atlas, Path(pictures))


def summarize(table: pd.DataFrame) -> None:
    """Print the distributions and what is low without a flag."""
    print(table[[*OVERLAPS, "cpu_seconds"]].quantile([0, 0.05, 0.25, 0.5, 0.75, 1]).round(4).to_string())
    low = table[table["dice"] < LEAST_DICE]
    print(f"flagged: {int((table['flags'] != '').sum())} of {len(table)}")
    print(f"masks under {LEAST_DICE}: {len(low)}, of them without a flag: {int((low['flags'] == '').sum())}")
    print(f"median Dice {table['dice'].median():.4f}, {MEDIAN_DICE} wanted")
    print(f"median overlap {table['atlas_dice'].median():.4f}, {MEDIAN_OVERLAP} wanted")


def draw(table: pd.DataFrame) -> Figure:
    """Histograms of the overlaps."""
    figure = Figure(figsize=(6.5, 2.8), layout="constrained")
    edges = np.arange(np.floor(table[list(OVERLAPS)].min().min() * 100) / 100, 1.0, 0.0025)
    for axes, (name, label) in zip(
        figure.subplots(1, len(OVERLAPS), sharey=True), OVERLAPS.items(), strict=True
    ):
        axes.hist(table[name], bins=edges, color="0.4")
        axes.axvline(table[name].median(), color="#d55e00", label=f"median {table[name].median():.3f}")
        axes.set_xlabel(f"Dice: {label}", fontsize=7)
        axes.legend(fontsize=7)
    figure.supylabel("scans", fontsize=8)
    figure.suptitle(f"{len(table)} whole heads (IXI, T1, 2 mm), atlas ICBM152", fontsize=9)
    return figure


def outline(folder: Path, subject: str, atlas: Atlas, pictures: Path) -> None:
    """Draw the found (yellow) and the given mask (red) over the middle slices of a scan."""
    path = folder / f"{subject}_t1.nii.gz"
    array, affine = read_scan(path)
    given = read_mask_of(folder / f"{subject}_brain.nii.gz", path, array, affine)
    with one_thread():
        found, _ = find_brain(array, affine, atlas)
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    figure.suptitle(f"{subject}: Dice {dice(found, given):.3f}; found: yellow, given: red")
    middle = np.argwhere(given).mean(axis=0).astype(int)
    for axis, axes in enumerate(figure.subplots(1, 3)):
        cut = [np.take(volume, middle[axis], axis=axis).T for volume in (array, found, given)]
        axes.imshow(cut[0], cmap="gray", vmax=np.percentile(array, 99.5))
        axes.contour(cut[1], [0.5], colors="#ffd400", linewidths=1)
        axes.contour(cut[2], [0.5], colors="#ff2f4f", linewidths=1)
        axes.set_axis_off()
    pictures.mkdir(parents=True, exist_ok=True)
    figure.savefig(pictures / f"{subject}.png", dpi=80)


if __name__ == "__main__":
    main(*sys.argv[1:])
