"""What the shading of a scanner gives away: the location network on scans with less correction of the bias field.

    python benchmarks/shading.py config/ixi2mm.yaml [--data FOLDER] [--patches 614400] [--seeds 1] [--processes 2]

Takes masks and registrations of a finished run (make real), and resamples its scans again.  Each of CORRECTIONS is
applied to all of them alike, and a network is trained, fold 0, and tested on every scan that is not trained on.
Nothing is chosen here: AUPRC only shows what a change of the preprocessing did to it.
Writes benchmarks/shading_{run}.csv, a row for each correction, seed and scan; what it has already is not done again.
Its columns shading, spread and white_matter are of the training scans, see `shading_left` and `white_matter_variation`.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import numpy as np
import pandas as pd
import SimpleITK as sitk
import torch
import yaml
from finished_run import extended_table, location_errors, model_of, network_settings
from scipy import ndimage

from patch2loc.configuration.presets import completed
from patch2loc.data import volumes
from patch2loc.data.icbm152 import map_path
from patch2loc.data.scans import Scan, read_cohort
from patch2loc.data.volumes import Grid, isotropic_voxel_ml
from patch2loc.evaluate.subjects import evaluate_subject
from patch2loc.method_interface import method
from patch2loc.plan.plan import ICBM152, Plan, make_plan
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
WHITE_MATTER = 0.9  # probability in the atlas
WHITE_MATTER_MM = 6.0  # standard deviation of the Gaussian that its brightness is averaged with
STRIDE = 2  # of scores along x and y, a quarter of the work: enough to compare


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
    configuration = completed(configuration)
    path = ROOT / f"benchmarks/shading_{Path(configuration['results']).name}.csv"
    table = extended_table(
        path,
        "correction",
        list(CORRECTIONS),
        measured,
        configuration,
        chosen=chosen.corrections,
        seeds=chosen.seeds,
        patches=chosen.patches,
        processes=chosen.processes,
    )
    keys = ["patches", "correction"]
    columns = ["shading", "spread", "white_matter"]
    print(table.drop_duplicates([*keys, "seed"]).groupby(keys, sort=False)[columns].mean(), "\n")
    print(white_matter_of_atlas(configuration), "\n")
    for column in ("location_error", "auprc"):
        means = table.pivot_table(index=keys, columns="dataset", values=column, sort=False)
        print(f"{column}, mean over scans and seeds\n{means.round(3).to_string()}\n")


def measured(configuration: dict, correction: str, seed: int, patches: int) -> pd.DataFrame:
    """Correct every scan, train a network and test it: a row for each scan that is not trained on."""
    torch.set_num_threads(1)
    plan = make_plan(configuration, str(ROOT / "config/registry.csv"))
    cohort = plan.training_data[MODALITY]
    grid = grid_of(configuration)
    with tempfile.TemporaryDirectory() as folder:
        scans = {
            (dataset, list_name): [
                corrected(plan, dataset, scan, correction, Path(folder, dataset, scan.subject))
                for scan in read_cohort(plan.results.cohort(dataset, list_name))
            ]
            for dataset, list_name in [
                *((cohort, f"{role}_fold0") for role in ("train", "validation", "test")),
                *((name, "all") for name in plan.datasets if name != cohort),
            ]
        }
        landmarks = fit_landmarks(scans[cohort, "train_fold0"])
        state, _ = method("patch2loc").fit(
            StandardizedScans(scans[cohort, "train_fold0"], landmarks),
            StandardizedScans(scans[cohort, "validation_fold0"], landmarks),
            network_settings(configuration) | {"patches": patches, "seed": seed, "precision": "float32"},
            None,
            device="cpu",
        )
        model = model_of(configuration, "patch2loc", MODALITY, state=state, landmarks=landmarks)
        shading, spread = shading_left(plan, cohort, scans[cohort, "train_fold0"])
        white_matter = white_matter_variation([scan.read() for scan in scans[cohort, "train_fold0"]], grid)
        rows = []
        for (dataset, list_name), tested in scans.items():
            if list_name in ("train_fold0", "validation_fold0"):
                continue
            errors = location_errors(model, tested)
            for scan in tested:
                rows.append(
                    {
                        "correction": correction,
                        "seed": seed,
                        "patches": patches,
                        "shading": shading,
                        "spread": spread,
                        "white_matter": white_matter,
                        "dataset": dataset,
                        "subject": scan.subject,
                        "location_error": round(errors[scan.subject], 3),
                        **lesion_metrics(model, scan, configuration),
                    }
                )
    return pd.DataFrame(rows)


def corrected(plan: Plan, dataset: str, scan: Scan, correction: str, folder: Path) -> Scan:
    """Write a preprocessed scan to a folder again, its bias field corrected otherwise."""
    grid = grid_of(plan.config)
    volume, affine = read_scan(plan.datasets[dataset].scans[scan.subject]["scan"])
    mask = volumes.read_mask(scan.mask_path)
    with one_thread():
        resampled = np.maximum(resample(volume, affine, grid, read_transform(scan.transform_path)), 0)
        volume_corrected = corrected_volume(resampled, mask, grid, correction)
    again = Scan(scan.subject, folder, scan.modality)
    folder.mkdir(parents=True)
    volumes.write(again.volume_path, np.where(mask, volume_corrected, 0).astype(np.float32), grid.affine)
    for before, after in (
        (scan.mask_path, again.mask_path),
        (scan.lesion_path, again.lesion_path),
        (scan.qc_path, again.qc_path),
    ):
        shutil.copyfile(before, after)
    return again


def corrected_volume(volume: np.ndarray, mask: np.ndarray, grid: Grid, correction: str) -> np.ndarray:
    """The volume, (x, y, z), by one of CORRECTIONS."""
    parameters = CORRECTIONS[correction]
    if parameters is None:
        return volume
    bias.ITERATIONS, bias.CONVERGENCE = parameters
    return bias.correct_bias(volume, mask, grid.affine)[0]


def grid_of(configuration: dict) -> Grid:
    """The common grid; the atlas is ICBM152."""
    settings = configuration["grid"]
    return common_grid(load_atlas(ICBM152, MODALITY), settings["shape"], settings["spacing"])


def shading_left(plan: Plan, cohort: str, scans: list[Scan]) -> tuple[float, float]:
    """What the run's own correction would still take out of scans, as standard deviations of its logarithm.

    Returns:
        Over the brain, of the mean over scans: shading that all scans have in common, which tells places; and over
        scans, the mean over the brain: what differs from scan to scan.
    """
    logarithms = []
    for scan in scans:
        volume, mask = scan.read()
        folder = Path(plan.results.preprocessed(cohort, scan.subject))
        full, _ = volumes.read(Scan(scan.subject, folder, MODALITY).volume_path)
        inside = mask & (volume > 0) & (full > 0)
        logarithm = np.full(mask.shape, np.nan, np.float32)
        logarithm[inside] = np.log(volume[inside] / full[inside])
        logarithms.append(logarithm - np.nanmedian(logarithm))
    stack = np.stack(logarithms)
    stack = stack[:, (~np.isnan(stack)).mean(axis=0) > 0.5]
    return round(float(np.nanmean(stack, axis=0).std()), 4), round(float(np.nanstd(stack, axis=0).mean()), 4)


def white_matter_variation(scans: list[tuple[np.ndarray, np.ndarray]], grid: Grid) -> float:
    """Standard deviation over the brain of the brightness of white matter, as a share of it, in the mean scan.

    scans: volumes (x, y, z) in the space of the atlas, and their masks.
    """
    path = map_path("wm")
    probability, affine = volumes.read(path)
    inside = resample(probability, affine, grid, sitk.AffineTransform(3)) > 255 * WHITE_MATTER
    inside = ndimage.binary_erosion(inside)
    relative = []
    for volume, mask in scans:
        values = np.where(inside & mask, volume / np.median(volume[inside & mask]), np.nan)
        relative.append(
            np.where((values > 0.6) & (values < 1.5), values, np.nan)
        )  # other tissue, registered here
    known = (~np.isnan(relative)).any(axis=0)
    mean = np.nanmean(np.stack(relative)[:, known], axis=0)
    total, weight = np.zeros(inside.shape, np.float32), known.astype(np.float32)
    total[known] = mean
    width = WHITE_MATTER_MM / grid.spacing
    smooth = ndimage.gaussian_filter(total, width)[known] / ndimage.gaussian_filter(weight, width)[known]
    return round(float(smooth.std()), 4)


def white_matter_of_atlas(configuration: dict) -> pd.Series:
    """The same of the atlas, which no scanner has shaded, after each of CORRECTIONS."""
    atlas, grid = load_atlas(ICBM152, MODALITY), grid_of(configuration)
    with one_thread():
        volume, share = (
            resample(image.astype(np.float32), atlas.affine, grid, sitk.AffineTransform(3))
            for image in (atlas.image, atlas.mask)
        )
        mask = share > 0.5
        found = {
            name: white_matter_variation([(corrected_volume(volume, mask, grid, name), mask)], grid)
            for name in CORRECTIONS
        }
    return pd.Series(found, name="white matter of the atlas")


def lesion_metrics(model: dict, scan: Scan, configuration: dict) -> dict[str, float]:
    """AUPRC and prevalence of a scan; {} without a lesion."""
    lesion = volumes.read_mask(scan.lesion_path)
    if not lesion.any():
        return {}
    volume, mask = scan.read()
    score = heatmap_of(model, "cpu", stride=STRIDE, median_filter=configuration["score"]["median_filter"])
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
