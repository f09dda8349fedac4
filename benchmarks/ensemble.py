"""What the models of the folds give together: AUPRC of the mean of their heatmaps, beside the mean of their AUPRC.

    python benchmarks/ensemble.py config/ixi2mm.yaml config/ixi2mm/variants.yaml

Takes the heatmaps of a finished run and nothing else.  Only for datasets that every fold scores whole: none of their
scans is trained on in any fold.  Calibrated heatmaps are seen through the calibration of their own fold, then averaged.
Writes benchmarks/ensemble_{run}.csv, one row a method and scan.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import numpy as np
import pandas as pd
from finished_run import read_configurations
from tqdm import tqdm

from patch2loc.configuration.method_names import configured, table_rows
from patch2loc.data.scans import Scan, read_cohort
from patch2loc.data.volumes import isotropic_voxel_ml, read_mask
from patch2loc.evaluate.subjects import rank_scan
from patch2loc.metrics.ranking import ranking_metrics
from patch2loc.score.stored_heatmaps import heatmaps_of

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Evaluate every lesion scan by each fold's heatmap and by their mean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configuration", type=Path, nargs="+", help="later ones change keys of earlier ones")
    configuration = read_configurations(parser.parse_args().configuration)
    results, folds = Path(configuration["results"]), configuration["folds"]
    voxel_ml = isotropic_voxel_ml(configuration["grid"]["spacing"])
    rows = []
    for dataset, about in configuration["datasets"].items():
        if about["role"] != "lesion" or "split" in about:
            continue
        scans = read_cohort(results / f"cohorts/{dataset}/all.json")
        truths = [truth_of(scan, voxel_ml) for scan in scans]
        for method in tqdm(table_rows(configured(configuration["methods"])), desc=dataset, unit="method"):
            of_folds = [heatmaps_of(results, method, dataset, about["modality"], fold=fold) for fold in folds]
            for scan, truth in zip(scans, truths, strict=True):
                found = [heatmaps.read(scan.subject) for heatmaps in of_folds]
                each = [auprc(heatmap, *truth) for heatmap in found]
                rows.append(
                    {
                        "method": method,
                        "dataset": dataset,
                        "simulated": int(about.get("simulated", False)),
                        "subject": scan.subject,
                        "folds": len(folds),
                        "auprc_of_folds": round(float(np.mean(each)), 4),
                        "auprc_together": round(auprc(np.mean(found, axis=0), *truth), 4),
                    }
                )
    table = pd.DataFrame(rows)
    table.to_csv(ROOT / f"benchmarks/ensemble_{results.name}.csv", index=False)
    columns = ["auprc_of_folds", "auprc_together"]
    print(table.groupby(["method", "dataset"], sort=False)[columns].mean().round(3).to_string())


def truth_of(scan: Scan, voxel_ml: float) -> tuple[np.ndarray, np.ndarray, int]:
    """Brain mask and lesion of a scan, (x, y, z) boolean, and voxels of the lesion off the grid."""
    return read_mask(scan.mask_path), read_mask(scan.lesion_path), round(scan.lost_lesion().ml / voxel_ml)


def auprc(heatmap: np.ndarray, mask: np.ndarray, lesion: np.ndarray, lost: int) -> float:
    """AUPRC of a scan's heatmap, as in the tables."""
    return ranking_metrics(rank_scan(heatmap, mask, lesion, lost))["auprc"]


if __name__ == "__main__":
    main()
