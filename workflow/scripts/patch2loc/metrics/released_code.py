"""Metrics as the released code computes them, to show what its choices change (docs/explanation/protocol.md)."""

from typing import Literal, TypedDict

import numpy as np

from patch2loc.metrics.ranking import Ranking, RankingMetrics, rank, ranking_metrics

STEPS = 10  # of the bisection


class MetricChoices(TypedDict):
    """Choices behind the metrics of a run.

    Attributes:
        background: voxels of the grid outside the brain mask: left-out, where lesion among them is missed; or zero,
            ranked with the score 0.
        best_dice: exact, the maximum over all thresholds; or `bisection`.
        off_grid: lesion off the grid: missed, or ignored.
    """

    background: Literal["left-out", "zero"]
    best_dice: Literal["exact", "bisection"]
    off_grid: Literal["missed", "ignored"]


OURS: MetricChoices = {"background": "left-out", "best_dice": "exact", "off_grid": "missed"}


class ReleasedCodeMetrics(TypedDict):
    """Metrics of one scan by this project's protocol, and each with one choice of the released code.

    Attributes:
        auprc: by the protocol, as `ranking.evaluate_scores`.
        auprc_background_zero: with all voxels of the grid outside the mask ranked, too, at a score of 0.
        best_dice: by the protocol, as `ranking.evaluate_scores`.
        best_dice_background_zero: with all voxels of the grid outside the mask ranked, too, at a score of 0.
        best_dice_bisection: `bisected_dice`.
    """

    auprc: float
    auprc_background_zero: float
    best_dice: float
    best_dice_background_zero: float
    best_dice_bisection: float


def chosen_metrics(
    ranking: Ranking, mask: np.ndarray, lesion: np.ndarray, choices: MetricChoices
) -> RankingMetrics:
    """Metrics of one scan by some choices.

    Args:
        ranking: of the scores in the brain by the lesion, with the lesion off the grid among the missed or without it.
        mask: (x, y, z) boolean, the brain.
        lesion: (x, y, z) boolean.
        choices: of which `off_grid` is in the ranking already.
    """
    if choices["background"] == "zero":
        outside = int(np.count_nonzero(lesion & ~mask))
        healthy = mask.size - int(np.count_nonzero(mask)) - outside
        ranking = with_background(ranking, 0.0, outside, healthy)
    metrics = ranking_metrics(ranking)
    if choices["best_dice"] == "bisection":
        metrics["best_dice"], metrics["best_threshold"] = bisection(ranking)
    return metrics


def released_code_metrics(
    heatmap: np.ndarray,
    mask: np.ndarray,
    lesion: np.ndarray,
    lost: int = 0,
    *,
    ranking: Ranking | None = None,
) -> ReleasedCodeMetrics:
    """Metrics of one scan by this project's protocol and by the released code; all NaN for a healthy scan.

    Args:
        heatmap: (x, y, z) score, NaN outside the mask.
        mask: (x, y, z) boolean, the brain.
        lesion: (x, y, z) boolean.
        lost: number of lesion voxels off the grid, which are always missed.
        ranking: of the scores in the brain by the lesion, if they are in order already.
    """
    lesion_outside = int(np.count_nonzero(lesion & ~mask))
    if ranking is None:
        ranking = rank(heatmap[mask], lesion[mask], lesion_outside + lost)
    background = mask.size - int(np.count_nonzero(mask)) - lesion_outside
    protocol = ranking_metrics(ranking)
    background_zero = ranking_metrics(with_background(ranking, 0.0, lesion_outside, background))
    return {
        "auprc": protocol["auprc"],
        "auprc_background_zero": background_zero["auprc"],
        "best_dice": protocol["best_dice"],
        "best_dice_background_zero": background_zero["best_dice"],
        "best_dice_bisection": bisected_dice(ranking),
    }


def bisected_dice(ranking: Ranking) -> float:
    """Best Dice of a `bisection`."""
    return bisection(ranking)[0]


def bisection(ranking: Ranking) -> tuple[float, float]:
    """Best Dice by bisection of the thresholds between 0 and the highest score (1 where no score is positive).

    Each step compares Dice (score > threshold is lesion) at a quarter and at three quarters of the interval and
    continues in the half of the better one, the lower half when both are equal. Voxels that share the score 0 are never
    above a threshold.

    Returns:
        The best Dice of STEPS steps, and the first threshold that has it; NaN without any lesion.
    """
    scores, lesion_scores, positives = ranking.scores, ranking.lesion_scores, ranking.positives
    if not positives:
        return float("nan"), float("nan")
    # Converted once, not in every search.
    scores, lesion_scores = scores.astype(np.float64), lesion_scores.astype(np.float64)

    def dice(threshold: float) -> float:
        hits = lesion_scores.size - np.searchsorted(lesion_scores, threshold, side="right")
        predicted = scores.size - np.searchsorted(scores, threshold, side="right")
        return float(2 * hits / (predicted + positives))

    low, high = 0.0, float(scores[-1]) if scores.size and scores[-1] > 0 else 1.0
    tried: list[tuple[float, float]] = []
    for _ in range(STEPS):
        quarter = (high - low) / 4
        lower, upper = dice(low + quarter), dice(high - quarter)
        tried += [(lower, low + quarter), (upper, high - quarter)]
        if lower >= upper:
            high -= 2 * quarter
        else:
            low += 2 * quarter
    return max(tried, key=lambda each: each[0])


def with_background(ranking: Ranking, score: float, lesion: int, healthy: int) -> Ranking:
    """Add voxels that share one score to a ranking.

    Args:
        ranking: of the other voxels.
        score: of the added voxels.
        lesion: number of missed lesion voxels that get the score.
        healthy: number of other voxels that get it.
    """
    lesion_scores = np.insert(
        ranking.lesion_scores, np.searchsorted(ranking.lesion_scores, score), np.full(lesion, score)
    )
    return Ranking(ranking.scores, lesion_scores, ranking.missed - lesion, score, lesion + healthy)
