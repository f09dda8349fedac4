"""Whether a threshold holds on other scanners: false positives in healthy scans, by what calibration knows.

    python benchmarks/false_positives.py config/ixi2mm.yaml config/ixi2mm/variants.yaml [--share 0.01]

Takes the heatmaps of a finished run and nothing else.  The threshold is the score that a share of the voxels of the
healthy validation scans exceed; each of them is calibrated by those of the other half.
Writes benchmarks/false_positives_{run}.csv, one row a method, calibration, fold and scan.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import numpy as np
import pandas as pd
import yaml
from snakemake.utils import update_config
from tqdm import tqdm

from patch2loc.calibration import Calibration, fit_calibration, heatmaps_of
from patch2loc.detection import healthy_quantiles
from patch2loc.method_names import CALIBRATED
from patch2loc.scans import read_cohort
from patch2loc.volumes import read

ROOT = Path(__file__).resolve().parents[1]


def as_it_is(calibration: Calibration, heatmap: np.ndarray) -> np.ndarray:
    """The score of the paper."""
    return heatmap


def of_the_place(calibration: Calibration, heatmap: np.ndarray) -> np.ndarray:
    """In units of what healthy validation scans score at the place."""
    return (heatmap - calibration.location) / calibration.scale


def of_place_and_scan(calibration: Calibration, heatmap: np.ndarray) -> np.ndarray:
    """The calibrated score: then in units of the scan."""
    return calibration.apply(heatmap)


def main() -> None:
    """Count what is above the threshold in every healthy scan that is not trained on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configuration", type=Path, nargs="+", help="later ones change keys of earlier ones")
    parser.add_argument("--share", type=float, default=0.01)
    chosen = parser.parse_args()
    configuration: dict = {}
    for path in chosen.configuration:
        update_config(configuration, yaml.safe_load(path.read_text(encoding="utf-8")))
    runs = [
        (method, fold, modality, step)
        for method in configuration["methods"]
        if method in CALIBRATED
        for fold in configuration["folds"]
        for modality in configuration["training_data"]
        for step in (as_it_is, of_the_place, of_place_and_scan)
    ]
    table = pd.concat([counted(configuration, *run, chosen.share) for run in tqdm(runs)])
    results = Path(configuration["results"])
    table.to_csv(ROOT / f"benchmarks/false_positives_{results.name}.csv", index=False)
    means = table.pivot_table(
        index=["method", "score"], columns="dataset", values="false_positive_ml", sort=False
    )
    print(means.round(0).to_string())


def counted(
    configuration: dict,
    method: str,
    fold: int,
    modality: str,
    step: Callable[[Calibration, np.ndarray], np.ndarray],
    share: float,
) -> pd.DataFrame:
    """False positives of one model by one calibration, ml: one row a healthy scan."""
    results, spacing = Path(configuration["results"]), configuration["grid"]["spacing"]
    cohort = configuration["training_data"][modality]
    folder = results / f"heatmaps_validation/{method}/{cohort}/fold{fold}"
    validation = [read(path)[0] for path in sorted(folder.glob("*.nii.gz"))]
    halves = [fit_calibration(validation[start::2], spacing) for start in (1, 0)]
    seen = [step(halves[place % 2], heatmap) for place, heatmap in enumerate(validation)]
    (threshold,) = healthy_quantiles(seen, [1 - share])
    calibration, rows = fit_calibration(validation, spacing), []
    for dataset, about in configuration["datasets"].items():
        if (about["role"], about["modality"]) != ("healthy", modality):
            continue
        tested = f"test_fold{fold}" if dataset == cohort else "all"
        heatmaps = heatmaps_of(results, method, dataset, modality, fold)
        for scan in read_cohort(results / f"cohorts/{dataset}/{tested}.json"):
            above = step(calibration, heatmaps.read(scan.subject)) > threshold
            rows.append(
                {
                    "method": method,
                    "score": step.__name__.replace("_", " "),
                    "share": share,
                    "fold": fold,
                    "dataset": dataset,
                    "subject": scan.subject,
                    "false_positive_ml": round(np.count_nonzero(above) * spacing**3 / 1000, 1),
                }
            )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
