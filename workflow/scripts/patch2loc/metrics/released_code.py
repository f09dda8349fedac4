"""The measures as the released code computes them, to show what its choices change (docs/methods.md)."""

import numpy as np

from patch2loc.metrics.ranking import Ranking, measures, rank

STEPS = 10  # of the bisection


def variants(heatmap: np.ndarray, mask: np.ndarray, lesion: np.ndarray, lost: int = 0) -> dict[str, float]:
    """Measures of one scan by the protocol of this project and with one of the released code's choices each.

    heatmap: (x, y, z) score, NaN outside the mask.  mask, lesion: (x, y, z) boolean.  lost: lesion voxels off the
    grid, missed in every variant.

    auprc, best_dice: as `metrics.evaluate_scores`.  best_dice_bisection: `bisected_dice`.
    auprc_background_zero, best_dice_background_zero: all voxels of the grid outside the mask are ranked, too, with
    a score of 0. All are NaN for a healthy scan.
    """
    lesion_outside = int(np.count_nonzero(lesion & ~mask))
    ranking = rank(heatmap[mask], lesion[mask], lesion_outside + lost)
    background = mask.size - int(np.count_nonzero(mask)) - lesion_outside
    exact, zero = measures(ranking), measures(with_background(ranking, 0.0, lesion_outside, background))
    return {
        "auprc": exact["auprc"],
        "auprc_background_zero": zero["auprc"],
        "best_dice": exact["best_dice"],
        "best_dice_background_zero": zero["best_dice"],
        "best_dice_bisection": bisected_dice(ranking),
    }


def bisected_dice(ranking: Ranking) -> float:
    """Best Dice by bisection: of the thresholds between 0 and the highest score, or 1 where no score is positive.

    Each step compares Dice (score > threshold is lesion) at a quarter and at three quarters of the interval and
    goes on in the half of the better one, the lower half when both are equal. The best Dice that was met is the
    result, after STEPS steps. NaN without any lesion.
    """
    scores, of_lesion, missed = ranking
    positives = of_lesion.size + missed
    if not positives:
        return float("nan")
    scores, of_lesion = scores.astype(np.float64), of_lesion.astype(np.float64)  # once, not in every search

    def dice(threshold: float) -> float:
        hits = of_lesion.size - np.searchsorted(of_lesion, threshold, side="right")
        predicted = scores.size - np.searchsorted(scores, threshold, side="right")
        return float(2 * hits / (predicted + positives))

    low, high = 0.0, float(scores[-1]) if scores.size and scores[-1] > 0 else 1.0
    best = 0.0
    for _ in range(STEPS):
        quarter = (high - low) / 4
        lower, upper = dice(low + quarter), dice(high - quarter)
        best = max(best, lower, upper)
        if lower >= upper:
            high -= 2 * quarter
        else:
            low += 2 * quarter
    return best


def with_background(ranking: Ranking, score: float, lesion: int, healthy: int) -> Ranking:
    """A ranking with more voxels that share one score: `lesion` of those that it misses, and `healthy` others."""
    scores, of_lesion, missed = ranking
    scores = np.insert(scores, np.searchsorted(scores, score), np.full(lesion + healthy, score))
    of_lesion = np.insert(of_lesion, np.searchsorted(of_lesion, score), np.full(lesion, score))
    return Ranking(scores, of_lesion, missed - lesion)
