"""Seconds of one core to evaluate one simulated volume at 1 mm: the main metrics, and what stands beside them.

    OMP_NUM_THREADS=1 python benchmarks/metrics.py

The volume has the paper's grid, about 1.3 million brain voxels and a lesion of many parts; its score is smooth, as
after the median filter, once with distinct values and once with many ties. Writes benchmarks/metrics.csv: one row
per task and kind of score, the best of five runs.
"""

import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow/scripts"))

import numpy as np
import pandas as pd
import scipy
from scipy.ndimage import binary_dilation, gaussian_filter

from patch2loc.evaluate.subjects import _near, evaluate_subject, rank_scan
from patch2loc.metrics.curves import SHARES, dice_above, precision_at_recalls
from patch2loc.metrics.detection import HEALTHY, QUANTILES, Threshold, detections, healthy_quantiles
from patch2loc.metrics.ranking import Ranking, rank_by, ranking_metrics
from patch2loc.metrics.released_code import released_code_metrics

ROOT = Path(__file__).resolve().parents[1]
SHAPE = (192, 192, 100)
SPACING = 1.0
PATCH = 24
RUNS = 5


def main() -> None:
    """Measure every task on both kinds of score."""
    mask, lesion, score = scan()
    wider = binary_dilation(lesion, np.ones((3, 3, 3)))  # as by any of a voxel
    rows = []
    for kind, heatmap in {"distinct": score, "tied": np.round(score, 1)}.items():
        healthy = [np.where(lesion, np.nan, heatmap)]
        thresholds = [
            Threshold(HEALTHY, quantile, threshold)
            for quantile, threshold in zip(QUANTILES, healthy_quantiles(healthy, QUANTILES), strict=True)
        ]
        above_shares = np.array(healthy_quantiles(healthy, 1 - SHARES))
        ranking = rank_scan(heatmap, mask, lesion)
        tasks = {
            "main metrics": partial(evaluate_subject, heatmap, mask, lesion, SPACING**3 / 1000),
            "metrics by any": partial(metrics_by_any, heatmap, mask, wider, ranking),
            "variants": partial(released_code_metrics, heatmap, mask, lesion),
            "curves": partial(curves, ranking, above_shares),
            "three thresholds": partial(detections, heatmap, mask, lesion, thresholds, spacing=SPACING),
            "of the truth alone": partial(of_truth, heatmap, mask, lesion),
        }
        about = {"scores": kind, "thresholds": np.unique(heatmap[mask]).size, "brain_voxels": mask.sum()}
        rows += [{"task": task, **about, "seconds": round(seconds(run), 3)} for task, run in tasks.items()]
    machine = {"numpy": np.__version__, "scipy": scipy.__version__, "machine": platform.machine()}
    table = pd.DataFrame(rows).assign(**machine)
    table.to_csv(ROOT / "benchmarks/metrics.csv", index=False)
    print(table.to_string(index=False))


def scan() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Brain mask, lesion of many parts in it and out of it, and score (NaN outside the mask), (x, y, z)."""
    generator = np.random.default_rng(0)
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in SHAPE), indexing="ij")
    mask = (axes[0] / 0.72) ** 2 + (axes[1] / 0.87) ** 2 + (axes[2] / 1.15) ** 2 < 1
    parts = gaussian_filter(generator.normal(size=SHAPE), 3)
    lesion = parts > np.quantile(parts[mask], 0.985)
    noise = gaussian_filter(generator.normal(size=SHAPE), 3)
    score = (3 * noise / noise.std() + 4 * lesion).astype(np.float32)
    return mask, lesion, np.where(mask, score, np.float32(np.nan))


def metrics_by_any(heatmap: np.ndarray, mask: np.ndarray, lesion: np.ndarray, ranking: Ranking) -> None:
    """What the second truth adds to a scan, by the order of scores that the first one has made."""
    missed = int(np.count_nonzero(lesion & ~mask))
    ranking_metrics(rank_by(ranking, heatmap[mask & lesion], missed))


def curves(ranking: Ranking, thresholds: np.ndarray) -> None:
    """What a scan adds to the curves, by the ranking that its metrics have made."""
    precision_at_recalls(ranking)
    dice_above(ranking, thresholds)


def of_truth(heatmap: np.ndarray, mask: np.ndarray, lesion: np.ndarray) -> None:
    """What the main metrics and the thresholds find of the truth, whatever the score: what is near, and its parts."""
    _near(lesion, PATCH)
    detections(heatmap, mask, lesion, [], spacing=SPACING)


def seconds(run: Callable[[], object]) -> float:
    """Seconds of processor time of the fastest of some runs: of one thread, whatever else the machine does."""
    taken = []
    for _ in range(RUNS):
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return min(taken)


if __name__ == "__main__":
    main()
