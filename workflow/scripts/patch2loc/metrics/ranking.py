"""How well a score ranks lesion above healthy tissue: average precision, best Dice, AUROC.

All three come from one ranking of the scores of a scan's brain voxels. Lesion voxels that have no score (outside the
brain mask, or cut off by the grid) are counted as `missed`: no threshold ever detects them, so they cap the recall
instead of vanishing from the evaluation.
"""

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple, TypedDict, overload

import numpy as np

# Bits of a float32 that the AUROC against healthy scans keeps: sign, exponent and 13 bits of the mantissa, so
# that scores closer than about one part in 8,000 (0.001 at a score of 8..16) share a bin.
BIN_BITS = 22


class RankingMetrics(TypedDict):
    """Metrics of one scan that follow from the ranking of its scores; NaN where they are not defined.

    Attributes:
        auprc: average precision.
        best_dice: largest Dice coefficient over all thresholds.
        best_threshold: highest threshold that reaches it, in units of the score.
        auroc: chance that a lesion voxel scores above a healthy one, ties half.
        prevalence: share of lesion among brain and missed voxels, which is the average precision that a random score
            would reach with nothing missed.
    """

    auprc: float
    best_dice: float
    best_threshold: float
    auroc: float
    prevalence: float


class Ranking(NamedTuple):
    """Scores of a scan in order: all that its metrics need.

    Attributes:
        scores: (voxels,) of the brain, ascending.
        lesion_scores: (lesion voxels with a score,), those of the lesion among them, ascending.
        missed: number of lesion voxels without a score.
        shared_score: score of the voxels that `sharing` counts.
        sharing: number of further voxels, which all have one score: those around the brain, if they are ranked.
    """

    scores: np.ndarray
    lesion_scores: np.ndarray
    missed: int
    shared_score: float = 0.0
    sharing: int = 0

    @property
    def ranked(self) -> int:
        """Number of voxels with a score."""
        return self.scores.size + self.sharing

    @property
    def positives(self) -> int:
        """Number of lesion voxels, missed ones too."""
        return self.lesion_scores.size + self.missed

    def at_least(self, thresholds: np.ndarray) -> np.ndarray:
        """Number of voxels that score at least each of the thresholds."""
        found = self.scores.size - np.searchsorted(self.scores, thresholds)
        return found + self.sharing * (thresholds <= self.shared_score)

    def above(self, thresholds: np.ndarray) -> np.ndarray:
        """Number of voxels that score above each of the thresholds."""
        found = self.scores.size - np.searchsorted(self.scores, thresholds, side="right")
        return found + self.sharing * (thresholds < self.shared_score)


def average_precision(score: np.ndarray, lesion: np.ndarray, missed: int = 0) -> float:
    """Area under the precision-recall curve, the step sum of (R_n - R_{n-1}) P_n (paper, section 5.1).

    Args:
        score: any shape and float type.
        lesion: of the same shape, true in the lesion.  Voxels that are masked in either array are left out.
        missed: number of lesion voxels without a score, which enter the denominator of the recall.

    Returns:
        A fraction; NaN without any lesion, 0 when all of it is missed.

    Raises:
        ValueError: when a score is not finite, or the shapes differ.
    """
    return evaluate_scores(score, lesion, missed)["auprc"]


@overload
def best_dice(
    score: np.ndarray, lesion: np.ndarray, missed: int = 0, return_threshold: Literal[False] = False
) -> float: ...


@overload
def best_dice(
    score: np.ndarray, lesion: np.ndarray, missed: int = 0, *, return_threshold: Literal[True]
) -> tuple[float, float]: ...


def best_dice(
    score: np.ndarray, lesion: np.ndarray, missed: int = 0, return_threshold: bool = False
) -> float | tuple[float, float]:
    """Largest Dice coefficient over all thresholds (score >= threshold is lesion), exactly.

    Args:
        score: any shape and float type.
        lesion: of the same shape, true in the lesion.  Voxels that are masked in either array are left out.
        missed: number of lesion voxels without a score, which no threshold detects.
        return_threshold: also return the threshold.

    Returns:
        Dice, or (Dice, the highest of the thresholds that reach it). Both are NaN without any lesion; the threshold
        alone is NaN when every lesion voxel is missed (Dice 0).

    Raises:
        ValueError: when a score is not finite, or the shapes differ.
    """
    metrics = evaluate_scores(score, lesion, missed)
    return (metrics["best_dice"], metrics["best_threshold"]) if return_threshold else metrics["best_dice"]


def auroc(score: np.ndarray, lesion: np.ndarray, missed: int = 0) -> float:
    """Area under the ROC curve: the chance that a lesion voxel scores above a healthy one, ties half.

    Args:
        score: any shape and float type.
        lesion: of the same shape, true in the lesion.  Voxels that are masked in either array are left out.
        missed: number of lesion voxels without a score, which rank below every brain voxel.

    Returns:
        A fraction; NaN without any lesion, or with nothing but lesion.

    Raises:
        ValueError: when a score is not finite, or the shapes differ.
    """
    return evaluate_scores(score, lesion, missed)["auroc"]


def evaluate_scores(score: np.ndarray, lesion: np.ndarray, missed: int = 0) -> RankingMetrics:
    """All metrics of one scan from one ranking.

    Args:
        score: any shape and float type.
        lesion: of the same shape, true in the lesion.  Voxels that are masked in either array are left out.
        missed: number of lesion voxels without a score.

    Raises:
        ValueError: when a score is not finite, or the shapes differ.
    """
    return ranking_metrics(rank(score, lesion, missed))


def rank(score: np.ndarray, lesion: np.ndarray, missed: int = 0) -> Ranking:
    """Put the scores of a scan in order. Arguments and errors as for `average_precision`."""
    score, lesion = _visible(score, lesion)
    if missed < 0:
        raise ValueError(f"{missed} missed lesion voxels: a count of at least 0 was expected")
    return Ranking(np.sort(score), np.sort(score[lesion]), int(missed))


def rank_by(ranking: Ranking, lesion_scores: np.ndarray, missed: int) -> Ranking:
    """The same scores ranked by another truth, without sorting all of them again.

    Args:
        ranking: by the first truth.
        lesion_scores: (lesion voxels with a score,) by the other truth, in any order.
        missed: number of its lesion voxels without a score.
    """
    return ranking._replace(lesion_scores=np.sort(lesion_scores), missed=missed)


def ranking_metrics(ranking: Ranking) -> RankingMetrics:
    """Metrics of a ranking, as `evaluate_scores` returns them."""
    lesion_scores, positives = ranking.lesion_scores, ranking.positives
    population, healthy = ranking.ranked + ranking.missed, ranking.ranked - lesion_scores.size
    metrics = RankingMetrics(
        auprc=np.nan,
        best_dice=np.nan,
        best_threshold=np.nan,
        auroc=np.nan,
        prevalence=positives / population if population else np.nan,
    )
    if positives == 0:
        return metrics
    if lesion_scores.size == 0:
        return metrics | {"auprc": 0.0, "best_dice": 0.0, "auroc": 0.0 if healthy else np.nan}
    # A threshold at which no lesion voxel is added changes neither sum and has no better Dice than the one above it.
    threshold = np.unique(lesion_scores)[::-1]
    hits = lesion_scores.size - np.searchsorted(lesion_scores, threshold)
    predicted = ranking.at_least(threshold)
    new_hits = np.diff(hits, prepend=0)
    dice = 2 * hits / (predicted + positives)
    best = int(np.argmax(dice))
    not_below = predicted - hits
    above = ranking.above(threshold) - (hits - new_hits)
    outranked = float(np.sum(new_hits * (healthy - (not_below + above) / 2)))
    return metrics | {
        "auprc": float(np.sum(new_hits * (hits / predicted)) / positives),
        "best_dice": float(dice[best]),
        "best_threshold": float(threshold[best]),
        "auroc": outranked / (healthy * positives) if healthy else np.nan,
    }


def auroc_against(healthy: Iterable[np.ndarray]) -> Callable[[np.ndarray], float]:
    """A function from scores to their AUROC against all voxels of healthy scans: the chance to score above one.

    Healthy scores are counted in 2^22 bins that follow float32's own spacing (relative width 2^-13 or finer), whatever
    the method's scale, so that memory is bounded. Two scores in one bin count as a tie.

    Args:
        healthy: scores of one scan after another, any shape; NaN are left out.

    Returns:
        A function that takes scores of any shape, leaves NaN out, and returns a fraction; NaN when there is no score
        on either side.
    """
    counts = np.zeros(2**BIN_BITS, dtype=np.int64)
    for scores in healthy:
        counts += np.bincount(_bins(scores), minlength=counts.size)
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
    values, truth = np.ma.getdata(score), np.ma.getdata(lesion)
    if isinstance(score, np.ma.MaskedArray) or isinstance(lesion, np.ma.MaskedArray):
        shown = ~(np.ma.getmaskarray(score) | np.ma.getmaskarray(lesion))
        values, truth = values[shown], truth[shown]
    values, truth = values.ravel(), truth.ravel() > 0
    if not np.isfinite(values).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(values))} scores are not finite; mask them first")
    return values, truth


def _bins(scores: np.ndarray) -> np.ndarray:
    """Bin of every score that is not NaN, (voxels,) integers in the order of the scores."""
    values = np.asarray(scores, dtype=np.float32).ravel(order="K")
    values = values[~np.isnan(values)] + np.float32(0)  # turns -0 into +0
    bits = values.view(np.int32)
    # Negative floats have falling bit patterns; flipping them makes integers order as scores do.
    ordered = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits)
    bins: np.ndarray = (ordered >> (32 - BIN_BITS)) + 2 ** (BIN_BITS - 1)
    return bins
