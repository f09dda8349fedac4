"""Evaluation of heatmaps: one row of numbers per subject, and their summary over subjects and folds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import distance_transform_edt

from patch2loc.errors import InputError
from patch2loc.files import read_json
from patch2loc.metrics import auroc_against, evaluate_scores
from patch2loc.scans import Scan
from patch2loc.volumes import read, read_mask

SUMMARISED = ("auprc", "best_dice", "auroc", "auroc_healthy")
RESAMPLES = 2000


def evaluate_subject(
    heatmap: np.ndarray,
    mask: np.ndarray,
    lesion: np.ndarray,
    voxel_ml: float,
    lost_ml: float = 0.0,
    patch: int = 24,
) -> dict[str, float]:
    """Compare one scan's heatmap with its lesion truth (paper, section 5.1), inside the brain mask.

    heatmap: (x, y, z) score, NaN outside the mask.  mask, lesion: (x, y, z), true inside; an empty
    lesion is a healthy scan.  voxel_ml: ml of a voxel.  lost_ml: ml of lesion, in atlas space, that fell
    off the grid.  patch: patch width in voxels.

    auprc, best_dice, best_threshold, auroc, prevalence: as `metrics.evaluate_scores`; lesion voxels
    outside the mask or lost to the grid count as missed. NaN for a healthy scan (prevalence 0).
    lesion_ml: all of the lesion; lesion_ml_outside: the part of it that is missed.
    mean_score_healthy: mean over brain voxels at least `patch` voxels (Euclidean) from any lesion;
    mean_score_lesion: over lesion voxels in the brain. NaN where there are none.
    Raises ValueError when shapes differ or the heatmap is not finite somewhere in the mask.
    """
    mask, lesion = np.asarray(mask) > 0, np.asarray(lesion) > 0
    for name, volume in {"mask": mask, "lesion": lesion}.items():
        if volume.shape != heatmap.shape:
            raise ValueError(f"{name} has shape {volume.shape}, the heatmap {heatmap.shape}")
    outside = int(np.count_nonzero(lesion & ~mask))
    on_grid_ml = np.count_nonzero(lesion) * voxel_ml
    missed = outside + round(lost_ml / voxel_ml)

    row = evaluate_scores(heatmap[mask], lesion[mask], missed)
    away = mask & (distance_transform_edt(~lesion) >= patch) if lesion.any() else mask
    row["lesion_ml"] = float(on_grid_ml + lost_ml)
    row["lesion_ml_outside"] = float(outside * voxel_ml + lost_ml)
    row["mean_score_healthy"] = _mean(heatmap[away])
    row["mean_score_lesion"] = _mean(heatmap[mask & lesion])
    return row


def summarise(metrics_by_fold: Sequence[pd.DataFrame], seed: int = 0) -> pd.DataFrame:
    """Mean over subjects and folds of each measure, its spread over folds and its confidence interval.

    metrics_by_fold: one table per fold (columns subject, prevalence and SUMMARISED).
    One row per measure: metric, mean (of the fold means), sd (of the fold means, n - 1; NaN for one
    fold), ci_low and ci_high (95 %, percentile bootstrap over subjects of the fold-averaged value),
    n_subjects (with a value in any fold), n_folds, prevalence (mean over those subjects).
    A measure that no subject has, as for healthy scans, gives NaN and n_subjects 0.
    Raises ValueError without folds, and for a subject listed twice in a fold.
    """
    if not metrics_by_fold:
        raise ValueError("no metrics to summarise: one table per fold was expected")
    for fold, table in enumerate(metrics_by_fold):
        twice = table["subject"][table["subject"].duplicated()].tolist()
        if twice:
            raise ValueError(
                f"metrics of fold {fold} list these subjects twice: {', '.join(map(str, twice))}"
            )
    rows = []
    for metric in SUMMARISED:
        values = _by_subject(metrics_by_fold, metric)
        prevalence = _by_subject(metrics_by_fold, "prevalence").reindex(values.index)
        fold_means = values.mean(axis=0)
        per_subject = values.mean(axis=1).to_numpy()
        low, high = bootstrap_interval(per_subject, seed)
        rows.append(
            {
                "metric": metric,
                "mean": fold_means.mean(),
                "sd": fold_means.std(ddof=1),
                "ci_low": low,
                "ci_high": high,
                "n_subjects": len(values),
                "n_folds": len(metrics_by_fold),
                "prevalence": prevalence.to_numpy().mean() if len(values) else np.nan,
            }
        )
    return pd.DataFrame(rows)


def bootstrap_interval(
    values: np.ndarray, seed: int = 0, resamples: int = RESAMPLES, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean. values: (subjects,); (NaN, NaN) for fewer than two."""
    if len(values) < 2:
        return float("nan"), float("nan")
    weights = resampling_counts(len(values), seed, resamples)
    means = weights @ values / len(values)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def resampling_counts(subjects: int, seed: int, resamples: int) -> np.ndarray:
    """How often each subject is drawn in each resample with replacement: (resamples, subjects) integers."""
    generator = np.random.default_rng([seed, subjects])
    return generator.multinomial(subjects, np.full(subjects, 1 / subjects), size=resamples)


def _by_subject(metrics_by_fold: Sequence[pd.DataFrame], column: str) -> pd.DataFrame:
    """Subjects x folds of one column, subjects in sorted order, those without any value left out."""
    folds = [table.set_index("subject")[column].astype(float) for table in metrics_by_fold]
    return pd.concat(folds, axis=1).sort_index().dropna(how="all")


def _mean(values: np.ndarray) -> float:
    """Mean in double precision; NaN for no values."""
    return float(np.mean(values, dtype=np.float64)) if values.size else float("nan")


def evaluate_scans(
    scans: Sequence[Scan],
    heatmaps: Path,
    healthy: Sequence[Path],
    patches: str | Path | None,
    voxel_ml: float,
    patch: int,
) -> pd.DataFrame:
    """Metrics of a dataset, one row per subject: the columns of `evaluate_subject`, and seconds of scoring.

    heatmaps: folder with {subject}.nii.gz and seconds.csv.  healthy: heatmaps of the healthy test scans;
    auroc_healthy is the AUROC of a subject's lesion voxels with a score against all voxels of these, NaN without.
    patches: patch table (parquet) of a method that predicts locations, or None; location_error is the mean over a
    subject's patches without any lesion, percent of the grid.
    Raises InputError, naming the heatmap, when it does not fit its scan.
    """
    seconds = pd.read_csv(heatmaps / "seconds.csv").set_index("subject")["seconds"]
    location_error = _location_errors(pd.read_parquet(patches)) if patches else {}
    against_healthy = auroc_against(read(path)[0] for path in healthy)
    rows = []
    for scan in scans:
        path = heatmaps / f"{scan.subject}.nii.gz"
        report = read_json(scan.qc)["lesion"]
        lost_ml = report["lost_to_grid_ml"] * report["scale"]
        heatmap, truth = read(path)[0], read_mask(scan.lesion)
        try:
            row = evaluate_subject(heatmap, read_mask(scan.mask), truth, voxel_ml, lost_ml, patch)
        except ValueError as problem:
            raise InputError(f"{path}: {problem}; score the scan again") from problem
        rows.append(
            {
                "subject": scan.subject,
                **row,
                "auroc_healthy": against_healthy(heatmap[truth]),
                "location_error": location_error.get(scan.subject, np.nan),
                "seconds": seconds[scan.subject],
            }
        )
    return pd.DataFrame(rows)


def _location_errors(patches: pd.DataFrame) -> dict[str, float]:
    """Mean Euclidean location error (percent of the grid) of each subject's patches without any lesion."""
    healthy = patches[patches["lesion_fraction"] == 0]
    return healthy.groupby("subject")["location_error"].mean().to_dict()
