"""What the stages around the networks cost at 1 mm: processor seconds of a scan.

    OMP_NUM_THREADS=1 python benchmarks/stages.py [--head T1 FILE ...] [--stripped T2 FILE ...]

Preprocessing of whole heads and of stripped ones, reading, what every heatmap takes beside its network, the patch
analysis, calibration and evaluation, on the paper's grid. Without scans a simulated head is taken; with several, the
rates are means. The heatmaps are smooth noise. Times are processor seconds of one thread, whatever else the machine
does. Writes benchmarks/stages_cpu.csv.
"""

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter

from patch2loc.acquire.phantom import simulate_subject
from patch2loc.data import volumes
from patch2loc.data.scans import Scan
from patch2loc.evaluate.patch_analysis import analyze_patches
from patch2loc.evaluate.subjects import evaluate_scans
from patch2loc.network.inference import DenseNetwork
from patch2loc.network.location import LocationNetwork
from patch2loc.network.prediction import predict
from patch2loc.preprocess.atlas import common_grid, load_atlas
from patch2loc.preprocess.scan import preprocess_scan, write_preprocessed
from patch2loc.score.calibration import fit_calibration
from patch2loc.score.heatmap_folder import write_times
from patch2loc.score.patch_predictions import predicted_patches
from patch2loc.score.postprocessing import as_published, median_filtered
from patch2loc.standardize import fit_landmarks, read_standardized

ROOT = Path(__file__).resolve().parents[1]
SHAPE, SPACING, PATCH = (192, 192, 100), 1.0, 24
SIMULATED = {
    "anatomy_spacing": 1.0,
    "voxel_size": [1.0, 1.0, 1.0],
    "noise": 0.03,
}  # as the configuration's defaults
PUBLISHED = {"erosion": 3, "median": 5}  # of ddpm and others
FEW, MANY = 1, 5  # scans; the difference counts
CALIBRATED_BY = 8  # scans
Given = tuple[str, str, Path]  # kind, modality, file


def main() -> None:
    """Measure every stage and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for kind in ("head", "stripped"):
        parser.add_argument(f"--{kind}", nargs=2, action="append", default=[], metavar=("MODALITY", "FILE"))
    parser.add_argument("--atlas", default="icbm152", help="icbm152, or a folder with spgr.nii and late.nii")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    given = [("whole head", modality, Path(path)) for modality, path in chosen.head]
    given += [("stripped head", modality, Path(path)) for modality, path in chosen.stripped]
    with tempfile.TemporaryDirectory() as folder:
        table = pd.DataFrame([*preprocessing(given, chosen.atlas, Path(folder)), *later_stages(Path(folder))])
    table = table.assign(
        machine=f"{platform.machine()} {torch.cpu.get_capabilities().get('cpu_name', '')}".strip(),
        date=datetime.now(UTC).date().isoformat(),
    )
    table.to_csv(ROOT / "benchmarks/stages_cpu.csv", index=False)
    print(table.to_string(index=False))


def preprocessing(given: Sequence[Given], atlas_name: str, folder: Path) -> list[dict[str, object]]:
    """Rows of preprocessing; leaves the preprocessed scans in the folder."""
    scans = given or simulated(folder)
    measured: dict[str, list[tuple[str, float, float]]] = {}
    for number, (kind, modality, path) in enumerate(scans):
        atlas = load_atlas(atlas_name, modality)
        grid = common_grid(atlas, SHAPE, SPACING)
        settings = {"skull_strip": "atlas" if kind == "whole head" else "none"}
        output = folder / f"preprocessed{number}"
        start = time.process_time()
        result = preprocess_scan(path, modality, atlas, grid, settings=settings)
        write_preprocessed(output, result)
        seconds = time.process_time() - start
        print(f"{path.name}: {kind} {modality}, {seconds:.1f} s, flags: {result.qc['flags']}", flush=True)
        size = sum(file.stat().st_size for file in output.rglob("*") if file.is_file()) / 1e6
        measured.setdefault(kind, []).append((path.name, seconds, size))
    return [
        row(
            f"preprocess {kind}",
            float(np.mean([seconds for _, seconds, _ in each])),
            disk_mb=f"{np.mean([size for *_, size in each]):.2g}",
            scans=", ".join(name for name, *_ in each),
        )
        for kind, each in measured.items()
    ]


def later_stages(folder: Path) -> list[dict[str, object]]:
    """Rows of all stages after preprocessing, of the first scan that was preprocessed."""
    output = folder / "preprocessed0"
    modality = "T1" if (output / "T1.nii.gz").exists() else "T2"
    scans = [Scan(f"scan{number}", output, modality) for number in range(MANY)]
    mask = scans[0].read()[1]
    lesion = np.zeros(SHAPE, bool)
    lesion[80:100, 80:100, 40:55] = True
    volumes.write(scans[0].lesion_path, lesion & mask, np.eye(4))
    volumes.write(scans[0].lesion_any_path, lesion & mask, np.eye(4))
    landmarks = fit_landmarks(scans[:1])
    score = smooth_noise(mask, 0)
    heatmaps = folder / "heatmaps"
    heatmaps.mkdir()
    for scan in scans:
        volumes.write(heatmaps / f"{scan.subject}.nii.gz", score, np.eye(4))
    times = pd.DataFrame({"subject": [scan.subject for scan in scans], "seconds": 1.0})
    write_times(heatmaps, times.assign(device="cpu", precision="float32"))

    def read_scan() -> np.ndarray:
        return read_standardized(scans[0], landmarks)[0]

    def finish() -> None:
        filtered = median_filtered(lambda _: np.nan_to_num(score), mask, 7)
        volumes.write(folder / "finished.nii.gz", filtered, np.eye(4))

    def publish() -> None:
        coarse = score[::2, ::2, ::2]  # as methods that see slices return it
        published = as_published(np.nan_to_num(coarse), mask, SPACING, **PUBLISHED)
        volumes.write(folder / "published.nii.gz", published, np.eye(4))

    network = DenseNetwork(LocationNetwork().eval(), PATCH, "cpu", "float32")
    standardized, predictions = read_scan(), pd.DataFrame()

    def predict_patches() -> None:
        nonlocal predictions
        predictions = predicted_patches(standardized, mask, PATCH, partial(predict, network=network))

    def analyze() -> None:
        analyze_patches(predictions.assign(subject="scan0"), scans[:1], SPACING)

    def calibrate() -> None:
        fit_calibration([volumes.read(heatmaps / "scan0.nii.gz")[0] for _ in range(CALIBRATED_BY)], SPACING)

    def evaluate(tested: int, healthy: int) -> None:
        paths = [heatmaps / "scan0.nii.gz"] * healthy
        evaluate_scans(
            scans[:tested],
            heatmaps,
            healthy=paths,
            validation=paths[:1],
            patches=None,
            spacing=SPACING,
            patch=PATCH,
        )

    seconds: dict[str, float] = {}
    steps: dict[str, Callable[[], object]] = {
        "read scan": read_scan,
        "finish heatmap": finish,
        "filter as published": publish,
        "predict patches": predict_patches,
        "analyze patches": analyze,
        "calibrate": calibrate,
        "evaluate few": partial(evaluate, FEW, FEW),
        "evaluate": partial(evaluate, MANY, FEW),
        "compare with healthy scan": partial(evaluate, FEW, MANY),
    }
    for name, step in steps.items():
        start = time.process_time()
        step()
        seconds[name] = time.process_time() - start
    reading, few = seconds["read scan"], seconds["evaluate few"]
    each = {
        "read scan": reading,
        "finish heatmap": seconds["finish heatmap"] + reading,
        "filter as published": seconds["filter as published"],
        "predict patches": seconds["predict patches"],
        "analyze patches": seconds["analyze patches"],
        "calibrate": seconds["calibrate"] / CALIBRATED_BY,
        "evaluate": (seconds["evaluate"] - few) / (MANY - FEW),
        "compare with healthy scan": (seconds["compare with healthy scan"] - few) / (MANY - FEW),
    }
    return [row(name, value) for name, value in each.items()]


def simulated(folder: Path) -> list[Given]:
    """A simulated subject's heads, whole and stripped."""
    made: list[Given] = []
    start = time.process_time()
    head = simulate_subject("healthy", 0, 11, SIMULATED)
    print(f"simulated in {time.process_time() - start:.1f} s", flush=True)
    for modality, scan in head.items():
        for kind, array in (
            ("whole head", scan.array),
            ("stripped head", np.where(scan.brain, scan.array, 0)),
        ):
            path = folder / f"simulated_{kind.partition(' ')[0]}_{modality}.nii.gz"
            volumes.write(path, array.astype(np.float32), scan.affine)
            made.append((kind, modality, path))
    return made


def smooth_noise(mask: np.ndarray, seed: int) -> np.ndarray:
    """A score as smooth as after the median filter, (x, y, z) float32, NaN outside the mask."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=mask.shape), 3)
    return np.where(mask, noise / noise.std(), np.nan).astype(np.float32)


def row(work: str, seconds: float, *, disk_mb: str = "", scans: str = "") -> dict[str, object]:
    """A row of the table; disk_mb: what a scan leaves; scans: those that were measured."""
    return {"work": work, "unit": "scan", "seconds": f"{seconds:.3g}", "disk_mb": disk_mb, "scans": scans}


if __name__ == "__main__":
    main()
