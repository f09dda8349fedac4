"""What the shading of a scanner gives away: the location network on scans with less correction of the bias field.

    python benchmarks/shading.py config/ixi2mm.yaml [--data FOLDER] [--patches 614400] [--seeds 1] [--processes 2]

Takes masks and registrations of a finished run (make real), and resamples its scans again.  Each of CORRECTIONS is
applied to all of them alike, and a network is trained, fold 0, and tested on every scan that is not trained on.
Nothing is chosen here: AUPRC only shows what a change of the preprocessing did to it.
Writes benchmarks/shading_{run}.csv, a row for each correction, seed and scan; what it has already is not done again.
"""

import argparse
import shutil
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import numpy as np
import pandas as pd
import torch
import yaml
from snakemake.utils import validate
from tqdm import tqdm

from patch2loc.configuration.run import Run, plan_run
from patch2loc.data import volumes
from patch2loc.data.scans import Scan, read_cohort
from patch2loc.data.volumes import isotropic_voxel_ml
from patch2loc.evaluate.patch_analysis import analyze_patches
from patch2loc.evaluate.subjects import evaluate_subject
from patch2loc.method_interface import method
from patch2loc.metrics.location_error import healthy_location_errors
from patch2loc.preprocess import bias
from patch2loc.preprocess.atlas import common_grid, load_atlas
from patch2loc.preprocess.images import one_thread, read_scan, resample
from patch2loc.preprocess.scan import read_transform
from patch2loc.score.scoring import heatmap_of
from patch2loc.standardize import StandardizedScans, fit_landmarks

ROOT = Path(__file__).resolve().parents[1]
# Iterations of N4 at each level, and its convergence threshold; None leaves the field in.
CORRECTIONS = {
    "none": None,
    "N4, two levels": ((30, 20), 1e-3),  # until commit ede053a
    "N4, three levels": (bias.ITERATIONS, bias.CONVERGENCE),
}
MODALITY = "T1"


def main() -> None:
    """Train and test what the table does not have yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configuration", type=Path)
    parser.add_argument("--data", help="folder of the data, where it is not the configuration's")
    parser.add_argument("--patches", type=int, default=614400, help="training patches of each network")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--corrections", nargs="+", choices=CORRECTIONS, default=list(CORRECTIONS))
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    configuration = yaml.safe_load(chosen.configuration.read_text(encoding="utf-8"))
    if chosen.data:
        configuration["data"] = chosen.data
    validate(configuration, str(ROOT / "workflow/schemas/config.schema.yaml"))
    path = ROOT / f"benchmarks/shading_{Path(configuration['results']).name}.csv"
    table = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["correction", "seed", "patches"])
    known = set(zip(table["correction"], table["seed"], table["patches"], strict=True))
    networks = [(name, seed, chosen.patches) for seed in chosen.seeds for name in chosen.corrections]
    with ProcessPoolExecutor(chosen.processes) as pool:
        waiting = [pool.submit(measured, configuration, *each) for each in networks if each not in known]
        for done in tqdm(as_completed(waiting), total=len(waiting), unit="network"):
            table = pd.concat([table, done.result()], ignore_index=True)
            order = {name: place for place, name in enumerate(CORRECTIONS)}
            table = table.sort_values(
                ["patches", "seed", "correction"],
                key=lambda column: column.map(order) if column.name == "correction" else column,
                kind="stable",
            )
            table.to_csv(path, index=False)
    keys = ["patches", "correction"]
    print(table.drop_duplicates([*keys, "seed"]).groupby(keys, sort=False)[["shading", "spread"]].mean())
    for column in ("location_error", "auprc"):
        print(table.pivot_table(index=keys, columns="dataset", values=column, sort=False).round(3), "\n")


def measured(configuration: dict, correction: str, seed: int, patches: int) -> pd.DataFrame:
    """Correct every scan, train a network and test it: a row for each scan that is not trained on."""
    torch.set_num_threads(1)
    run = plan_run(configuration, str(ROOT / "config/registry.csv"))
    cohort = run.training_data[MODALITY]
    training = {"spacing": configuration["grid"]["spacing"], "patch": configuration["patch"]}
    training |= {
        key: value for key, value in configuration["training"].items() if key not in ("threads", "memory_mb")
    }
    with tempfile.TemporaryDirectory() as folder:
        scans = {
            (dataset, list_name): [
                corrected(run, dataset, scan, correction, Path(folder, dataset, scan.subject))
                for scan in read_cohort(run.results.cohort(dataset, list_name))
            ]
            for dataset, list_name in [
                *((cohort, f"{role}_fold0") for role in ("train", "validation", "test")),
                *((name, "all") for name in run.datasets if name != cohort),
            ]
        }
        landmarks = fit_landmarks(scans[cohort, "train_fold0"])
        state, _ = method("patch2loc").fit(
            StandardizedScans(scans[cohort, "train_fold0"], landmarks),
            StandardizedScans(scans[cohort, "validation_fold0"], landmarks),
            training | {"patches": patches, "seed": seed, "precision": "float32"},
            None,
            device="cpu",
        )
        model = {"method": "patch2loc", "state": state, "landmarks": landmarks, "grid": configuration["grid"]}
        shading, spread = shading_left(run, cohort, scans[cohort, "train_fold0"])
        rows = []
        for (dataset, list_name), tested in scans.items():
            if list_name in ("train_fold0", "validation_fold0"):
                continue
            errors = healthy_location_errors(analyze_patches(model, tested, "cpu"))
            for scan in tested:
                rows.append(
                    {
                        "correction": correction,
                        "seed": seed,
                        "patches": patches,
                        "shading": shading,
                        "spread": spread,
                        "dataset": dataset,
                        "subject": scan.subject,
                        "location_error": round(errors[scan.subject], 3),
                        **lesion_metrics(model, scan, configuration),
                    }
                )
    return pd.DataFrame(rows)


def corrected(run: Run, dataset: str, scan: Scan, correction: str, folder: Path) -> Scan:
    """Write a preprocessed scan to a folder again, its bias field corrected otherwise."""
    settings = run.config["grid"]
    grid = common_grid(load_atlas(run.atlas, MODALITY), settings["shape"], settings["spacing"])
    volume, affine = read_scan(run.datasets[dataset].scans[scan.subject]["scan"])
    mask = volumes.read_mask(scan.mask_path)
    with one_thread():
        resampled = np.maximum(resample(volume, affine, grid, read_transform(scan.transform_path)), 0)
        if parameters := CORRECTIONS[correction]:
            bias.ITERATIONS, bias.CONVERGENCE = parameters
            resampled, _ = bias.correct_bias(resampled, mask, grid.affine)
    again = Scan(scan.subject, folder, scan.modality)
    folder.mkdir(parents=True)
    volumes.write(again.volume_path, np.where(mask, resampled, 0).astype(np.float32), grid.affine)
    for before, after in (
        (scan.mask_path, again.mask_path),
        (scan.lesion_path, again.lesion_path),
        (scan.qc_path, again.qc_path),
    ):
        shutil.copyfile(before, after)
    return again


def shading_left(run: Run, cohort: str, scans: list[Scan]) -> tuple[float, float]:
    """What the run's own correction would still take out of scans, as standard deviations of its logarithm.

    Returns:
        Over the brain, of the mean over scans: shading that all scans have in common, which tells places; and over
        scans, the mean over the brain: what differs from scan to scan.
    """
    logarithms = []
    for scan in scans:
        volume, mask = scan.read()
        folder = Path(run.results.preprocessed(cohort, scan.subject))
        full, _ = volumes.read(Scan(scan.subject, folder, MODALITY).volume_path)
        inside = mask & (volume > 0) & (full > 0)
        logarithm = np.full(mask.shape, np.nan, np.float32)
        logarithm[inside] = np.log(volume[inside] / full[inside])
        logarithms.append(logarithm - np.nanmedian(logarithm))
    stack = np.stack(logarithms)
    stack = stack[:, (~np.isnan(stack)).mean(axis=0) > 0.5]
    return round(float(np.nanmean(stack, axis=0).std()), 4), round(float(np.nanstd(stack, axis=0).mean()), 4)


def lesion_metrics(model: dict, scan: Scan, configuration: dict) -> dict[str, float]:
    """AUPRC and prevalence of a scan; {} without a lesion."""
    lesion = volumes.read_mask(scan.lesion_path)
    if not lesion.any():
        return {}
    volume, mask = scan.read()
    score = heatmap_of(model, "cpu", median_filter=configuration["score"]["median_filter"])
    voxel_ml = isotropic_voxel_ml(configuration["grid"]["spacing"])
    metrics = evaluate_subject(
        score(volume, mask, scan.subject),
        mask,
        lesion,
        voxel_ml,
        lost_ml=scan.lost_lesion().ml,
        patch=configuration["patch"],
    )
    return {name: round(metrics[name], 4) for name in ("auprc", "prevalence")}


if __name__ == "__main__":
    main()
