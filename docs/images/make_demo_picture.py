"""Make demo.png, the picture of First run, from the results of the demo.

    .venv/bin/python docs/images/make_demo_picture.py results/demo

One column for each lesion dataset of the demo: the scan, Patch2Loc's heatmap and the lesion that was simulated, of the
subject with the median AUPRC, in the slice with the most lesion.  Everything in it is simulated, and it says so.
"""

import sys
from pathlib import Path

import matplotlib as mpl
import nibabel
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from patch2loc.figures.slices import brain_frame, lesion_slice, median_subject
from patch2loc.figures.style import SCORE_RANGE, show_slice

HERE = Path(__file__).resolve().parent
# {dataset of config/demo.yaml: (name in the picture, modality)}
DATASETS = {
    "phantom_tumor": ("tumor", "T2"),
    "phantom_ms": ("multiple sclerosis", "T2"),
    "phantom_stroke": ("stroke", "T1"),
    "phantom_wmh": ("white-matter\nhyperintensities", "T1"),
}


def read_volume(path: Path) -> np.ndarray:
    """The voxels of a NIfTI file, (x, y, z) float32."""
    return np.asarray(nibabel.load(path).dataobj, dtype=np.float32)


def draw_dataset(column: np.ndarray, results: Path, dataset: str, title: str, modality: str) -> object:
    """Draw scan, heatmap and lesion of one dataset into the three axes of a column; returns the heatmap's image."""
    metrics = pd.read_csv(results / "metrics" / "patch2loc" / dataset / "fold0.csv", dtype={"subject": str})
    subject = median_subject(metrics)
    folder = results / "preprocessed" / dataset / subject
    heatmap = read_volume(results / "heatmaps" / "patch2loc" / dataset / "fold0" / f"{subject}.nii.gz")
    scan, lesion = read_volume(folder / f"{modality}.nii.gz"), read_volume(folder / "lesion.nii.gz") > 0
    z = lesion_slice(lesion, np.isfinite(heatmap))
    frame = brain_frame(heatmap)
    in_slice = [volume[frame][:, :, z] for volume in (scan, heatmap, lesion)]
    brain = np.isfinite(in_slice[1])
    auprc = metrics.set_index("subject").loc[subject, "auprc"]
    show_slice(column[0], in_slice[0], cmap="gray", vmin=0, vmax=np.percentile(scan[scan > 0], 99.5))
    colors = mpl.colormaps["jet"].with_extremes(bad="0")
    low, high = SCORE_RANGE
    image = show_slice(column[1], np.ma.masked_invalid(in_slice[1]), cmap=colors, vmin=low, vmax=high)
    show_slice(column[2], np.where(in_slice[2], 1.0, 0.25 * brain), cmap="gray", vmin=0, vmax=1)
    column[0].set_title(f"{title}, {modality}", fontsize=9)
    column[2].set_xlabel(f"AUPRC {auprc:.3f}", fontsize=8)
    return image


def demo_picture(results: Path) -> Figure:
    """The picture, from the folder of a finished demo."""
    figure = Figure(figsize=(8.6, 6.2), layout="constrained", facecolor="white")
    axes = figure.subplots(3, len(DATASETS))
    for place, (dataset, (title, modality)) in enumerate(DATASETS.items()):
        image = draw_dataset(axes[:, place], results, dataset, title, modality)
    for row, label in zip(axes[:, 0], ("scan (simulated)", "heatmap", "lesion (simulated)"), strict=True):
        row.set_ylabel(label, fontsize=9)
    bar = figure.colorbar(image, ax=axes, shrink=0.5, pad=0.01, aspect=25, extend="both")
    bar.set_ticks([0, 6, 12])
    bar.set_label("abnormality score", fontsize=9)
    figure.suptitle(
        "Simulated scans and lesions: the demo, trained for minutes. No patient is shown.", fontsize=10
    )
    return figure


if __name__ == "__main__":
    results = Path(sys.argv[1] if len(sys.argv) > 1 else "results/demo")
    picture = HERE / "demo.png"
    demo_picture(results).savefig(picture, dpi=110, metadata={"Software": None})
    print(f"{picture}: {picture.stat().st_size // 1000} kB")
