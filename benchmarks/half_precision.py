"""What half precision changes: AUPRC and best Dice of the lesion scans of a finished run, scored both ways.

    python benchmarks/half_precision.py config/ixi2mm.yaml [--datasets brats21 mslub] [--precision bfloat16]

Uses the models of fold 0.  Writes benchmarks/half_precision_{run}.csv, one row a scan.  On a processor without half
precision arithmetic it is emulated: the same numbers, many times slower.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import numpy as np
import pandas as pd
import yaml
from scipy.stats import spearmanr
from tqdm import tqdm

from patch2loc.data.scans import read_cohort
from patch2loc.data.volumes import read_mask
from patch2loc.engine import device
from patch2loc.metrics.ranking import evaluate_scores
from patch2loc.models import load_model
from patch2loc.score.scoring import heatmap_of

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Score every scan twice and write what differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configuration", type=Path)
    parser.add_argument("--datasets", nargs="+", help="default: all with lesions")
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    configuration = yaml.safe_load(chosen.configuration.read_text(encoding="utf-8"))
    results, datasets = Path(configuration["results"]), configuration["datasets"]
    where = device.select_device(configuration["device"], chosen.threads)
    rows = []
    for name in chosen.datasets or [name for name, about in datasets.items() if about["role"] == "lesion"]:
        model = load_model(results / f"models/patch2loc/{datasets[name]['modality']}/fold0/model.safetensors")
        width = configuration["score"]["median_filter"]
        exact, half = (
            heatmap_of(model, where, median_filter=width, precision=precision)
            for precision in ("float32", chosen.precision)
        )
        for scan in tqdm(read_cohort(results / f"cohorts/{name}/all.json"), desc=name, unit="scan"):
            volume, mask = scan.read()
            lesion = read_mask(scan.lesion_path)[mask]
            scores = [heatmap(volume, mask, scan.subject)[mask] for heatmap in (exact, half)]
            numbers = [evaluate_scores(score, lesion) for score in scores]
            row = {"dataset": name, "subject": scan.subject, "precision": chosen.precision}
            for metric in ("auprc", "best_dice"):
                row[metric] = round(numbers[0][metric], 5)
                row[f"{metric}_difference"] = round(numbers[1][metric] - numbers[0][metric], 5)
            row["rank_correlation"] = round(float(spearmanr(*scores).statistic), 5)
            row["largest_difference"] = round(float(np.abs(scores[1] - scores[0]).max()), 3)
            rows.append(row)
    table = pd.DataFrame(rows)
    table.to_csv(ROOT / f"benchmarks/half_precision_{results.name}.csv", index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
