"""How well a score ranks lesion above healthy tissue: average precision, best Dice, AUROC.

All three come from one ranking of the scores of a scan's brain voxels. Lesion voxels that have no
score (outside the brain mask, or cut off by the grid) are given as `missed`: no threshold ever
detects them, so they cap the recall instead of vanishing from the evaluation.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

# Bits of a float32 that the AUROC against healthy scans keeps: sign, exponent and 13 bits of the mantissa, so
# that scores closer than about one part in 8,000 (0.001 at a score of 8..16) share a bin.
KEPT_BITS = 22


def average_precision(score: np.ndarray, lesion: np.ndarray, missed: int = 0) -> float:
    """Area under the precision-recall curve, as the step sum of (R_n - R_{n-1}) P_n (paper, section 5.1).

    score: (voxels,) of any float type; lesion: (voxels,), true in the lesion; either may be a masked
    array, whose masked voxels are left out. missed: lesion voxels without a score; they enter the
    recall's denominator. NaN when there is no lesion at all, 0 when all of it is missed.
    Raises ValueError for scores that are not finite and for shapes that differ.
    """
    return evaluate_scores(score, lesion, missed)["auprc"]


def best_dice(
    score: np.ndarray, lesion: np.ndarray, missed: int = 0, return_threshold: bool = False
) -> float | tuple[float, float]:
    """The largest Dice coefficient over all thresholds (score >= threshold is lesion), exactly.

    Arguments and errors as for `average_precision`. With `return_threshold`, (dice, threshold): the
    highest of the thresholds that reach the maximum. Both are NaN when there is no lesion; the
    threshold alone is NaN when every lesion voxel is missed (Dice 0).
    """
    found = evaluate_scores(score, lesion, missed)
    return (found["best_dice"], found["best_threshold"]) if return_threshold else found["best_dice"]


def auroc(score: np.ndarray, lesion: np.ndarray, missed: int = 0) -> float:
    """Area under the ROC curve: the chance that a lesion voxel scores above a healthy one, ties half.

    Arguments and errors as for `average_precision`. Missed voxels rank below every brain voxel.
    NaN when there is no lesion, or nothing but lesion.
    """
    return evaluate_scores(score, lesion, missed)["auroc"]


def evaluate_scores(score: np.ndarray, lesion: np.ndarray, missed: int = 0) -> dict[str, float]:
    """All measures of one scan from one ranking: auprc, best_dice, best_threshold, auroc, prevalence.

    Arguments and errors as for `average_precision`. prevalence is the share of lesion among brain
    and missed voxels: the average precision that a random score would reach with nothing missed.
    """
    return measures(rank(score, lesion, missed))


class Ranking(NamedTuple):
    """The scores of a scan in order: all that its measures need.

    scores: (voxels,) ascending.  of_lesion: (lesion voxels with a score,) ascending, part of scores.
    missed: lesion voxels without a score.
    """

    scores: np.ndarray
    of_lesion: np.ndarray
    missed: int


def rank(score: np.ndarray, lesion: np.ndarray, missed: int = 0) -> Ranking:
    """Put the scores of a scan in order. Arguments and errors as for `average_precision`."""
    score, lesion = _visible(score, lesion)
    if missed < 0:
        raise ValueError(f"{missed} missed lesion voxels: a count of at least 0 was expected")
    return Ranking(np.sort(score), np.sort(score[lesion]), int(missed))


def measures(ranking: Ranking) -> dict[str, float]:
    """The measures of `evaluate_scores` from a ranking."""
    scores, of_lesion, missed = ranking
    positives, population = of_lesion.size + missed, scores.size + missed
    healthy = scores.size - of_lesion.size
    row = {"auprc": np.nan, "best_dice": np.nan, "best_threshold": np.nan, "auroc": np.nan}
    row["prevalence"] = positives / population if population else np.nan
    if positives == 0:
        return row
    if of_lesion.size == 0:
        return row | {"auprc": 0.0, "best_dice": 0.0, "auroc": 0.0 if healthy else np.nan}
    # A threshold at which no lesion voxel is added changes neither sum and has no better Dice than the one above it.
    threshold = np.unique(of_lesion)[::-1]
    hits = of_lesion.size - np.searchsorted(of_lesion, threshold)
    predicted = scores.size - np.searchsorted(scores, threshold)
    new_hits = np.diff(hits, prepend=0)
    dice = 2 * hits / (predicted + positives)
    best = int(np.argmax(dice))
    not_below = predicted - hits
    above = scores.size - np.searchsorted(scores, threshold, side="right") - (hits - new_hits)
    outranked = float(np.sum(new_hits * (healthy - (not_below + above) / 2)))
    return row | {
        "auprc": float(np.sum(new_hits * (hits / predicted)) / positives),
        "best_dice": float(dice[best]),
        "best_threshold": float(threshold[best]),
        "auroc": outranked / (healthy * positives) if healthy else np.nan,
    }


def auroc_against(healthy: Iterable[np.ndarray]) -> Callable[[np.ndarray], float]:
    """A function from scores to their AUROC against all voxels of healthy scans: the chance to score above one.

    healthy: the scores of one scan after another, any shape, NaN left out; they are counted in 2^22 bins that follow
    float32's own spacing (relative width 2^-13 or finer), whatever the method's scale, so that memory is bounded. Two
    scores in one bin count as a tie. The function takes scores of any shape, NaN left out; it gives NaN when there
    are none on either side.
    """
    counts = np.zeros(2**KEPT_BITS, dtype=np.int64)
    for scan in healthy:
        counts += np.bincount(_bins(scan), minlength=counts.size)
    up_to = np.cumsum(counts)

    def against_healthy(score: np.ndarray) -> float:
        bins = _bins(score)
        if up_to[-1] == 0 or bins.size == 0:
            return float("nan")
        return float(np.mean(up_to[bins] - counts[bins] / 2) / up_to[-1])

    return against_healthy


def _visible(score: np.ndarray, lesion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Score and boolean lesion of the unmasked voxels, 1-D, checked."""
    if np.shape(score) != np.shape(lesion):
        raise ValueError(f"score has shape {np.shape(score)}, lesion {np.shape(lesion)}: equal ones expected")
    hidden = np.ma.getmaskarray(score) | np.ma.getmaskarray(lesion)
    values, truth = np.ma.getdata(score), np.ma.getdata(lesion)
    if hidden.any():
        values, truth = values[~hidden], truth[~hidden]
    values, truth = values.ravel(), truth.ravel() > 0
    if not np.isfinite(values).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(values))} scores are not finite; mask them first")
    return values, truth


def _bins(scores: np.ndarray) -> np.ndarray:
    """Bin of every score that is not NaN, (voxels,) integers in the order of the scores."""
    values = np.asarray(scores, dtype=np.float32).ravel()
    values = values[~np.isnan(values)] + np.float32(0)  # turns -0 into +0
    bits = values.view(np.int32)
    # Negative floats have falling bit patterns; flipping them makes integers order as scores do.
    ordered = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits)
    return (ordered >> (32 - KEPT_BITS)) + 2 ** (KEPT_BITS - 1)
