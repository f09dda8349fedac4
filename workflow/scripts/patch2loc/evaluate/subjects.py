"""Evaluation of a dataset's heatmaps: metrics of each subject, and curves over subjects."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from patch2loc.data.scans import Scan, refuse_fitted_scans
from patch2loc.data.vocabulary import Truth
from patch2loc.data.volumes import isotropic_voxel_ml, read, read_mask
from patch2loc.errors import InputError
from patch2loc.metrics.curves import SHARES, curve_table, dice_above, index_of_best_mean, precision_at_recalls
from patch2loc.metrics.detection import (
    HEALTHY,
    LESION,
    QUANTILES,
    Threshold,
    bounding_box,
    detections,
    healthy_quantiles,
)
from patch2loc.metrics.location_error import healthy_location_errors
from patch2loc.metrics.ranking import (
    Ranking,
    RankingMetrics,
    auroc_against,
    rank,
    rank_by,
)
from patch2loc.metrics.released_code import OURS, MetricChoices, chosen_metrics, released_code_metrics
from patch2loc.score.calibration import Calibration, calibrated_validation, read_heatmaps
from patch2loc.score.heatmap_folder import read_times


class SubjectMetrics(RankingMetrics):
    """Metrics of one scan inside its brain mask.

    Attributes:
        lesion_ml: volume of all of the lesion, in atlas space.
        lesion_ml_outside: volume of the part of it outside the brain mask or off the grid, which is always missed.
        mean_score_healthy: mean over brain voxels that are at least a patch width from any lesion.
        mean_score_lesion: mean over lesion voxels in the brain.
    """

    lesion_ml: float
    lesion_ml_outside: float
    mean_score_healthy: float
    mean_score_lesion: float


class Evaluation(NamedTuple):
    """Tables of a dataset, in the order of its scans.

    Attributes:
        metrics: one row per subject: subject, the keys of `SubjectMetrics`, auprc_any, best_dice_any and
            prevalence_any (by the lesion mask that fills any of a voxel, whatever the truth is), auroc_healthy (AUROC
            of the lesion voxels against all voxels of the healthy test scans), location_error (mean over the subject's
            patches without any lesion, percent of the grid), seconds (of scoring).
        at_thresholds: one row per subject and threshold: subject, and the columns of `detection.detections`.
        released_code: one row per subject: subject, and the keys of `released_code.ReleasedCodeMetrics`.
        curves: over all subjects with lesion, as `curves.curve_table`.
    """

    metrics: pd.DataFrame
    at_thresholds: pd.DataFrame
    released_code: pd.DataFrame
    curves: pd.DataFrame


class HealthyReference(NamedTuple):
    """Scores of healthy validation scans, to hold other scores against.

    Attributes:
        evaluated_score: a function from a heatmap to the score that is evaluated.
        thresholds: at the quantiles QUANTILES.
        share_thresholds: (shares,), scores that SHARES of the healthy voxels exceed.
    """

    evaluated_score: Callable[[np.ndarray], np.ndarray]
    thresholds: list[Threshold]
    share_thresholds: np.ndarray


def evaluate_subject(
    heatmap: np.ndarray,
    mask: np.ndarray,
    lesion: np.ndarray,
    voxel_ml: float,
    *,
    lost_ml: float = 0.0,
    patch: int = 24,
    ranking: Ranking | None = None,
    choices: MetricChoices = OURS,
) -> SubjectMetrics:
    """Compare one scan's heatmap with its lesion truth inside the brain mask (paper, section 5.1).

    Args:
        heatmap: (x, y, z) score, NaN outside the mask.
        mask: (x, y, z), the brain above 0.
        lesion: (x, y, z), lesion above 0; an empty one is that of a healthy scan.
        voxel_ml: volume of a voxel, ml.
        lost_ml: volume of lesion off the grid, in atlas space, ml.
        patch: width of a patch, voxels.
        ranking: precomputed `rank_scan` result, if available.
        choices: behind the metrics.

    Returns:
        Metrics, NaN where they are not defined, as most of a healthy scan are. Lesion voxels outside the mask or off
        the grid count as missed.

    Raises:
        ValueError: when the shapes differ, or the heatmap is not finite somewhere in the mask.
    """
    mask, lesion = np.asarray(mask) > 0, np.asarray(lesion) > 0
    if ranking is None:
        ranking = rank_scan(heatmap, mask, lesion, missed_off_grid(lost_ml, voxel_ml, choices))
    outside = int(np.count_nonzero(lesion & ~mask))
    on_grid_ml = np.count_nonzero(lesion) * voxel_ml
    away = mask & ~_near(lesion, patch) if lesion.any() else mask
    return SubjectMetrics(
        **chosen_metrics(ranking, mask, lesion, choices),
        lesion_ml=float(on_grid_ml + lost_ml),
        lesion_ml_outside=float(outside * voxel_ml + lost_ml),
        mean_score_healthy=_mean(heatmap[away]),
        mean_score_lesion=_mean(heatmap[mask & lesion]),
    )


def missed_off_grid(lost_ml: float, voxel_ml: float, choices: MetricChoices) -> int:
    """Number of voxels of lesion off the grid that count as missed."""
    return 0 if choices["off_grid"] == "ignored" else round(lost_ml / voxel_ml)


def rank_scan(heatmap: np.ndarray, mask: np.ndarray, lesion: np.ndarray, lost: int = 0) -> Ranking:
    """Rank the scores in the brain; lesion voxels outside the mask, and those off the grid, are missed.

    Args:
        heatmap: (x, y, z) score, NaN outside the mask.
        mask: (x, y, z) boolean, the brain.
        lesion: (x, y, z) boolean.
        lost: number of lesion voxels off the grid.

    Raises:
        ValueError: when the shapes differ, or the heatmap is not finite somewhere in the mask.
    """
    for name, volume in {"mask": mask, "lesion": lesion}.items():
        if volume.shape != heatmap.shape:
            raise ValueError(f"{name} has shape {volume.shape}, the heatmap {heatmap.shape}")
    missed = int(np.count_nonzero(lesion & ~mask)) + lost
    heatmap, mask, lesion = heatmap.T, mask.T, lesion.T  # as in files: selecting is ten times quicker
    return rank(heatmap[mask], lesion[mask], missed)


def _near(lesion: np.ndarray, distance: int) -> np.ndarray:
    """Voxels closer than `distance` voxels (Euclidean) to a voxel of the lesion, boolean of any three axes.

    The squared distance is the least over offsets along one axis after the other. Offsets of `distance` and more need
    not be tried, and the box that is looked at grows along an axis when its turn comes: less than a tenth of the time
    of a whole distance transform.
    """
    box = bounding_box(lesion)
    limit = distance**2
    reached = [
        slice(max(0, edge.start - distance), min(size, edge.stop + distance))
        for edge, size in zip(box, lesion.shape, strict=True)
    ]
    squared = np.where(lesion[box], 0, limit).astype(np.min_scalar_type(-2 * limit))
    for axis in range(2):
        before = _extended(squared, axis, box, reached, limit)
        after = before.copy()
        for offset in range(1, distance):
            shifted = before + before.dtype.type(offset**2)
            np.minimum(after[offset:], shifted[:-offset], out=after[offset:])
            np.minimum(after[:-offset], shifted[offset:], out=after[:-offset])
        squared = np.moveaxis(after, 0, axis)
    squared = _extended(squared, 2, box, reached, limit)
    closer = squared < limit
    for offset in range(1, distance):
        reaching = squared < limit - offset**2
        closer[offset:] |= reaching[:-offset]
        closer[:-offset] |= reaching[offset:]
    near = np.zeros(lesion.shape, bool)
    near[tuple(reached)] = np.moveaxis(closer, 0, 2)
    return near


def _extended(
    squared: np.ndarray, axis: int, box: Sequence[slice], reached: Sequence[slice], limit: int
) -> np.ndarray:
    """Extend an array from a box to what is reached, along one axis, which becomes the first; limit: for new voxels."""
    margin = [(0, 0)] * 3
    margin[axis] = (box[axis].start - reached[axis].start, reached[axis].stop - box[axis].stop)
    return np.ascontiguousarray(np.moveaxis(np.pad(squared, margin, constant_values=limit), axis, 0))


def evaluate_scans(
    scans: Sequence[Scan],
    heatmaps: Path,
    *,
    healthy: Sequence[Path],
    validation: Sequence[Path],
    patches: str | Path | None,
    spacing: float,
    patch: int,
    truth: Truth = "half",
    calibration: Calibration | None = None,
    lesion_validation: Sequence[tuple[Scan, Path]] = (),
    choices: MetricChoices = OURS,
    common_brain: bool = False,
) -> Evaluation:
    """Evaluate a dataset against its lesion truth.

    Args:
        scans: the tested scans, on the grid.
        heatmaps: folder with {subject}.nii.gz and the times of scoring (`score.heatmap_folder`).
        healthy: heatmaps of the healthy test scans, for auroc_healthy, which is NaN without any.
        validation: heatmaps of the healthy validation scans, from which thresholds are taken.
        patches: patch table (parquet) of a method that predicts locations, for location_error; None for another one.
        spacing: of the grid, mm.
        patch: width of a patch, voxels.
        truth: which of the lesion masks of a scan all but the columns of any rest on.
        calibration: if given, the calibrated score is evaluated instead of that of the heatmaps.
        lesion_validation: scans with lesions that are not tested, each with its heatmap; they choose one more
            threshold.
        choices: behind all that is in `metrics` and rests on a ranking.
        common_brain: heatmaps are joint ones of several scans of a person, whose brain is where all their masks hold:
            where the heatmap has scores. Lesion in the rest of the scan's mask is missed like any outside the brain.

    Raises:
        InputError: when a heatmap, which is named, does not fit its scan, or no scan of `lesion_validation` has a
            lesion, or one of them is a tested scan by another name.
    """
    choosing = {scan.subject: scan.contents().acquired for scan, _ in lesion_validation}
    refuse_fitted_scans(scans, choosing, "validation scans, which choose a threshold")
    seconds = read_times(heatmaps).set_index("subject")["seconds"]
    location_error = healthy_location_errors(pd.read_parquet(patches)) if patches else pd.Series(dtype=float)
    reference = _healthy_reference(validation, spacing, calibration)
    thresholds = list(reference.thresholds)
    if lesion_validation:
        thresholds.append(_lesion_threshold(lesion_validation, reference, spacing, truth))
    auroc_healthy = auroc_against(reference.evaluated_score(read(path)[0]) for path in healthy)
    voxel_ml = isotropic_voxel_ml(spacing)
    metrics: list[dict[str, object]] = []
    at_thresholds: list[dict[str, object]] = []
    released_code: list[dict[str, object]] = []
    precision, dice = [], []
    for scan in scans:
        path = heatmaps / f"{scan.subject}.nii.gz"
        lost_ml, lost_lesions = scan.lost_lesion()
        mask, lesion = read_mask(scan.mask_path), read_mask(scan.truth_path(truth))
        lesion_any = lesion if truth == "any" else read_mask(scan.lesion_any_path)
        lost = round(lost_ml / voxel_ml)
        try:
            heatmap = reference.evaluated_score(read(path)[0])
            if common_brain:
                mask &= ~np.isnan(heatmap)
            ranking = rank_scan(heatmap, mask, lesion, lost)
        except ValueError as problem:
            raise InputError(f"{path}: {problem}; score the scan again") from problem
        missed_off = missed_off_grid(lost_ml, voxel_ml, choices)
        chosen = ranking._replace(missed=ranking.missed - lost + missed_off)
        # As in files, where x comes first: no measure depends on the order of axes, and selecting is ten times quicker.
        heatmap, mask, lesion, lesion_any = heatmap.T, mask.T, lesion.T, lesion_any.T
        if lesion.any() or lost:
            precision.append(precision_at_recalls(ranking))
            dice.append(dice_above(ranking, reference.share_thresholds))
        row = evaluate_subject(
            heatmap, mask, lesion, voxel_ml, lost_ml=lost_ml, patch=patch, ranking=chosen, choices=choices
        )
        missed_any = int(np.count_nonzero(lesion_any & ~mask)) + missed_off
        ranking_any = rank_by(ranking, heatmap[mask & lesion_any], missed_any)
        by_any = chosen_metrics(ranking_any, mask, lesion_any, choices)
        metrics.append(
            {
                "subject": scan.subject,
                **row,
                "auprc_any": by_any["auprc"],
                "best_dice_any": by_any["best_dice"],
                "prevalence_any": by_any["prevalence"],
                "auroc_healthy": auroc_healthy(heatmap[lesion]),
                "location_error": location_error.get(scan.subject, np.nan),
                "seconds": seconds[scan.subject],
            }
        )
        detected = detections(
            heatmap,
            mask,
            lesion,
            thresholds,
            spacing=spacing,
            lost_ml=lost_ml,
            lost_lesions=lost_lesions,
        )
        at_thresholds += [{"subject": scan.subject, **at_threshold} for at_threshold in detected]
        released = released_code_metrics(heatmap, mask, lesion, lost, ranking=ranking)
        released_code.append({"subject": scan.subject, **released})
    return Evaluation(
        metrics=pd.DataFrame(metrics),
        at_thresholds=pd.DataFrame(at_thresholds),
        released_code=pd.DataFrame(released_code),
        curves=curve_table(precision, dice),
    )


def _mean(values: np.ndarray) -> float:
    """Mean in double precision; NaN for no values."""
    return float(np.mean(values, dtype=np.float64)) if values.size else float("nan")


def _healthy_reference(
    validation: Sequence[Path], spacing: float, calibration: Calibration | None
) -> HealthyReference:
    """Read the heatmaps of the healthy validation scans once, for all that is taken from them."""
    heatmaps = read_heatmaps(validation)
    if calibration:
        evaluated_score, scores = calibration.apply, calibrated_validation(heatmaps, spacing)
    else:
        evaluated_score, scores = _uncalibrated, heatmaps
    quantiles = healthy_quantiles([*scores.values()], [*QUANTILES, *(1 - SHARES)])
    count = len(QUANTILES)
    thresholds = [
        Threshold(HEALTHY, quantile, threshold)
        for quantile, threshold in zip(QUANTILES, quantiles[:count], strict=True)
    ]
    return HealthyReference(evaluated_score, thresholds, np.array(quantiles[count:]))


def _uncalibrated(heatmap: np.ndarray) -> np.ndarray:
    """The heatmap itself."""
    return heatmap


def _lesion_threshold(
    validation: Sequence[tuple[Scan, Path]], reference: HealthyReference, spacing: float, truth: Truth
) -> Threshold:
    """Of the scores that SHARES of healthy voxels exceed, the one with the highest mean Dice over validation scans.

    The highest threshold of equal ones. Raises InputError when a heatmap does not fit its scan or no scan has a lesion.
    """
    dice = []
    for scan, path in validation:
        lost = round(scan.lost_lesion().ml / isotropic_voxel_ml(spacing))
        try:
            heatmap = reference.evaluated_score(read(path)[0])
            ranking = rank_scan(heatmap, read_mask(scan.mask_path), read_mask(scan.truth_path(truth)), lost)
        except ValueError as problem:
            raise InputError(f"{path}: {problem}; score the scan again") from problem
        dice.append(dice_above(ranking, reference.share_thresholds))
    try:
        best = index_of_best_mean(dice)
    except ValueError as problem:
        raise InputError(
            f"{validation[0][1].parent}: {problem}; give the role `validation` to a subject with a lesion"
        ) from problem
    return Threshold(LESION, 1 - float(SHARES[best]), float(reference.share_thresholds[best]))
