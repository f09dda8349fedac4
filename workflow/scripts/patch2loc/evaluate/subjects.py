"""Evaluation of a dataset's heatmaps: rows of numbers per subject, and curves over subjects."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from patch2loc.data.scans import Scan
from patch2loc.data.volumes import read, read_mask
from patch2loc.errors import InputError
from patch2loc.files import read_csv
from patch2loc.metrics.curves import SHARES, curve_table, dice_above, place_of_best_mean, precision_at_recalls
from patch2loc.metrics.detection import HEALTHY, LESION, QUANTILES, Threshold, detections, healthy_quantiles
from patch2loc.metrics.location_error import healthy_location_errors
from patch2loc.metrics.ranking import Ranking, auroc_against, measures, rank
from patch2loc.metrics.released_code import variants
from patch2loc.score.calibration import Calibration, calibrated_validation, read_heatmaps


class Evaluation(NamedTuple):
    """Tables of a dataset, in the order of its scans.

    metrics: one row per subject.  at_thresholds: one row per subject and threshold, columns of
    `detection.detections`.  variants: one row per subject, columns of `variants.variants`.  curves: over all subjects
    with lesion, columns of `curves.curve_table`.
    """

    metrics: pd.DataFrame
    at_thresholds: pd.DataFrame
    variants: pd.DataFrame
    curves: pd.DataFrame


class UsualScores(NamedTuple):
    """What healthy validation scans tell.

    score_of: from a heatmap to the score to evaluate.  thresholds: those of QUANTILES.  above_shares: the scores that
    SHARES of the healthy voxels exceed, (shares,).
    """

    score_of: Callable[[np.ndarray], np.ndarray]
    thresholds: list[Threshold]
    above_shares: np.ndarray


def evaluate_subject(
    heatmap: np.ndarray,
    mask: np.ndarray,
    lesion: np.ndarray,
    voxel_ml: float,
    lost_ml: float = 0.0,
    patch: int = 24,
    ranking: Ranking | None = None,
) -> dict[str, float]:
    """Compare one scan's heatmap with its lesion truth (paper, section 5.1), inside the brain mask.

    heatmap: (x, y, z) score, NaN outside the mask.  mask, lesion: (x, y, z), true inside; an empty
    lesion is a healthy scan.  voxel_ml: ml of a voxel.  lost_ml: ml of lesion, in atlas space, that fell
    off the grid.  patch: patch width in voxels.  ranking: the scan's `rank_scan`, where somebody has it already.

    auprc, best_dice, best_threshold, auroc, prevalence: as `metrics.evaluate_scores`; lesion voxels
    outside the mask or lost to the grid count as missed. NaN for a healthy scan (prevalence 0).
    lesion_ml: all of the lesion; lesion_ml_outside: the part of it that is missed.
    mean_score_healthy: mean over brain voxels at least `patch` voxels (Euclidean) from any lesion;
    mean_score_lesion: over lesion voxels in the brain. NaN where there are none.
    Raises ValueError when shapes differ or the heatmap is not finite somewhere in the mask.
    """
    mask, lesion = np.asarray(mask) > 0, np.asarray(lesion) > 0
    if ranking is None:
        ranking = rank_scan(heatmap, mask, lesion, round(lost_ml / voxel_ml))
    outside = int(np.count_nonzero(lesion & ~mask))
    on_grid_ml = np.count_nonzero(lesion) * voxel_ml

    row = measures(ranking)
    row["lesion_ml"] = float(on_grid_ml + lost_ml)
    row["lesion_ml_outside"] = float(outside * voxel_ml + lost_ml)
    away = mask & ~_near(lesion, patch) if lesion.any() else mask
    row["mean_score_healthy"] = _mean(heatmap[away])
    row["mean_score_lesion"] = _mean(heatmap[mask & lesion])
    return row


def rank_scan(heatmap: np.ndarray, mask: np.ndarray, lesion: np.ndarray, lost: int = 0) -> Ranking:
    """The scores in the brain in order; lesion voxels outside the mask, and `lost` ones off the grid, are missed.

    heatmap: (x, y, z) score, NaN outside the mask.  mask, lesion: (x, y, z) boolean.
    Raises ValueError when shapes differ or the heatmap is not finite somewhere in the mask.
    """
    for name, volume in {"mask": mask, "lesion": lesion}.items():
        if volume.shape != heatmap.shape:
            raise ValueError(f"{name} has shape {volume.shape}, the heatmap {heatmap.shape}")
    return rank(heatmap[mask], lesion[mask], int(np.count_nonzero(lesion & ~mask)) + lost)


def _near(lesion: np.ndarray, distance: int) -> np.ndarray:
    """Voxels closer than `distance` voxels (Euclidean) to a voxel of the lesion, (x, y, z) boolean.

    The squared distance is the least over offsets along one axis after the other, and those of `distance` and more
    need not be tried: a quarter of the time of a whole distance transform.
    """
    limit = distance**2
    squared = np.where(lesion, 0, limit).astype(np.min_scalar_type(-2 * limit))
    for axis in range(3):
        before = np.ascontiguousarray(np.moveaxis(squared, axis, 0))
        after = before.copy()
        for offset in range(1, distance):
            moved = before + before.dtype.type(offset**2)
            np.minimum(after[offset:], moved[:-offset], out=after[offset:])
            np.minimum(after[:-offset], moved[offset:], out=after[:-offset])
        squared = np.moveaxis(after, 0, axis)
    return squared < limit


def evaluate_scans(
    scans: Sequence[Scan],
    heatmaps: Path,
    healthy: Sequence[Path],
    validation: Sequence[Path],
    patches: str | Path | None,
    spacing: float,
    patch: int,
    calibration: Calibration | None = None,
    lesion_validation: Sequence[tuple[Scan, Path]] = (),
) -> Evaluation:
    """Evaluate a dataset against its lesion truth.

    heatmaps: folder with {subject}.nii.gz and seconds.csv.  healthy: heatmaps of the healthy test scans;
    auroc_healthy is the AUROC of a subject's lesion voxels with a score against all voxels of these, NaN without.
    validation: heatmaps of the healthy validation scans, from which thresholds are taken.
    patches: patch table (parquet) of a method that predicts locations, or None; location_error is the mean over a
    subject's patches without any lesion, percent of the grid.  spacing: of the grid, mm.  patch: width in voxels.
    calibration: of the score that is comparable between places, to evaluate instead of that of the heatmaps.
    lesion_validation: scans with lesions that are not tested, each with its heatmap; they choose one more threshold.
    The columns of metrics are those of `evaluate_subject`, auroc_healthy, location_error, and seconds of scoring.
    Raises InputError, naming the heatmap, when it does not fit its scan, and when no validation scan has a lesion.
    """
    seconds = read_csv(heatmaps / "seconds.csv").set_index("subject")["seconds"]
    location_error = healthy_location_errors(pd.read_parquet(patches)) if patches else {}
    usual = _usual_scores(validation, spacing, calibration)
    thresholds = list(usual.thresholds)
    if lesion_validation:
        thresholds.append(_lesion_threshold(lesion_validation, usual, spacing))
    score_of = usual.score_of
    against_healthy = auroc_against(score_of(read(path)[0]) for path in healthy)
    voxel_ml = spacing**3 / 1000
    metrics, at_thresholds, of_variants, precision, dice = [], [], [], [], []
    for scan in scans:
        path = heatmaps / f"{scan.subject}.nii.gz"
        lost_ml, lost_lesions = scan.lost_lesion()
        mask, truth = read_mask(scan.mask), read_mask(scan.lesion)
        lost = round(lost_ml / voxel_ml)
        try:
            heatmap = score_of(read(path)[0])
            ranking = rank_scan(heatmap, mask, truth, lost)
        except ValueError as problem:
            raise InputError(f"{path}: {problem}; score the scan again") from problem
        if truth.any() or lost:
            precision.append(precision_at_recalls(ranking))
            dice.append(dice_above(ranking, usual.above_shares))
        row = evaluate_subject(heatmap, mask, truth, voxel_ml, lost_ml, patch, ranking)
        named = {"subject": scan.subject}
        more = {
            "auroc_healthy": against_healthy(heatmap[truth]),
            "location_error": location_error.get(scan.subject, np.nan),
            "seconds": seconds[scan.subject],
        }
        metrics.append(named | row | more)
        found = detections(heatmap, mask, truth, thresholds, spacing, lost_ml, lost_lesions)
        at_thresholds += [named | at_one for at_one in found]
        of_variants.append(named | variants(heatmap, mask, truth, lost))
    rows = map(pd.DataFrame, (metrics, at_thresholds, of_variants))
    return Evaluation(*rows, curve_table(precision, dice))


def _mean(values: np.ndarray) -> float:
    """Mean in double precision; NaN for no values."""
    return float(np.mean(values, dtype=np.float64)) if values.size else float("nan")


def _usual_scores(validation: Sequence[Path], spacing: float, calibration: Calibration | None) -> UsualScores:
    """Read the healthy validation scans once, for all that they tell."""
    heatmaps = read_heatmaps(validation)
    score_of, scores = (lambda heatmap: heatmap), heatmaps
    if calibration:
        score_of, scores = calibration.apply, calibrated_validation(heatmaps, spacing)
    found = healthy_quantiles([*scores.values()], [*QUANTILES, *(1 - SHARES)])
    count = len(QUANTILES)
    thresholds = [Threshold(HEALTHY, *pair) for pair in zip(QUANTILES, found[:count], strict=True)]
    return UsualScores(score_of, thresholds, np.array(found[count:]))


def _lesion_threshold(
    validation: Sequence[tuple[Scan, Path]], usual: UsualScores, spacing: float
) -> Threshold:
    """Of the scores that SHARES of healthy voxels exceed, the one with the highest mean Dice over validation scans.

    The highest of several. Raises InputError when a heatmap does not fit its scan or no scan has a lesion.
    """
    dice = []
    for scan, path in validation:
        lost = round(scan.lost_lesion()[0] / (spacing**3 / 1000))
        try:
            ranking = rank_scan(
                usual.score_of(read(path)[0]), read_mask(scan.mask), read_mask(scan.lesion), lost
            )
        except ValueError as problem:
            raise InputError(f"{path}: {problem}; score the scan again") from problem
        dice.append(dice_above(ranking, usual.above_shares))
    try:
        place = place_of_best_mean(dice)
    except ValueError as problem:
        raise InputError(
            f"{validation[0][1].parent}: {problem}; give the role `validation` to a subject with a lesion"
        ) from problem
    return Threshold(LESION, 1 - float(SHARES[place]), float(usual.above_shares[place]))
