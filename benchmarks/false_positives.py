"""Whether a threshold holds on other scanners: false positives in healthy scans, by what calibration knows.

    python benchmarks/false_positives.py config/ixi2mm.yaml config/ixi2mm/variants.yaml [--share 0.01]

Takes the heatmaps of a finished run and nothing else.  The threshold is the score that a share of the voxels of the
healthy validation scans exceed; each of them is calibrated by those of other people.
Writes benchmarks/false_positives_{run}.csv, one row a method, fold, scan and calibration.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import numpy as np
import pandas as pd
from finished_run import read_configurations
from tqdm import tqdm

from patch2loc.configuration.method_registry import CALIBRATED
from patch2loc.data.scans import read_cohort
from patch2loc.metrics.detection import healthy_quantiles
from patch2loc.score.calibration import Calibration, fit_calibration, held_out_calibrations, read_heatmaps
from patch2loc.score.stored_heatmaps import heatmaps_of

ROOT = Path(__file__).resolve().parents[1]
# What of the calibration is taken into account: the whole is the calibrated score.
STEPS: dict[str, Callable[[Calibration, np.ndarray], np.ndarray]] = {
    "as it is": lambda calibration, heatmap: heatmap,
    "of the place": Calibration.of_place,
    "of place and scan": Calibration.apply,
}


def main() -> None:
    """Count what is above the threshold in every healthy scan that is not trained on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configuration", type=Path, nargs="+", help="later ones change keys of earlier ones")
    parser.add_argument("--share", type=float, default=0.01)
    chosen = parser.parse_args()
    configuration = read_configurations(chosen.configuration)
    runs = [
        (method, fold, modality)
        for method in configuration["methods"]
        if method in CALIBRATED
        for fold in configuration["folds"]
        for modality in configuration["training_data"]
    ]
    table = pd.concat([counted(configuration, *run, chosen.share) for run in tqdm(runs)])
    results = Path(configuration["results"])
    table.to_csv(ROOT / f"benchmarks/false_positives_{results.name}.csv", index=False)
    means = table.pivot_table(
        index=["method", "score"], columns="dataset", values="false_positive_ml", sort=False
    )
    print(means.round(0).to_string())


def counted(configuration: dict, method: str, fold: int, modality: str, share: float) -> pd.DataFrame:
    """False positives of one model by each of STEPS, ml: a row for each and every healthy scan."""
    results, spacing = Path(configuration["results"]), configuration["grid"]["spacing"]
    cohort = configuration["training_data"][modality]
    folder = results / f"heatmaps_validation/{method}/{cohort}/fold{fold}"
    validation = read_heatmaps(folder.glob("*.nii.gz"))
    held_out = held_out_calibrations(validation, spacing).values()
    thresholds = {
        name: healthy_quantiles(list(map(step, held_out, validation.values())), [1 - share])[0]
        for name, step in STEPS.items()
    }
    calibration, rows = fit_calibration([*validation.values()], spacing), []
    for dataset, about in configuration["datasets"].items():
        if (about["role"], about["modality"]) != ("healthy", modality):
            continue
        tested = f"test_fold{fold}" if dataset == cohort else "all"
        heatmaps = heatmaps_of(results, method, dataset, modality, fold=fold)
        for scan in read_cohort(results / f"cohorts/{dataset}/{tested}.json"):
            heatmap = heatmaps.read(scan.subject)
            for name, step in STEPS.items():
                above = step(calibration, heatmap) > thresholds[name]
                rows.append(
                    {
                        "method": method,
                        "score": name,
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
