"""Curves over the subjects of a dataset: precision against recall, and Dice against the threshold.

Scores of different methods have different scales. A threshold is therefore named by the share of healthy validation
voxels that score above it, which can be compared.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from patch2loc.metrics.ranking import Ranking

RECALLS = np.arange(101) / 100
# Shares of healthy validation voxels above a threshold, from the highest threshold down.
SHARES = np.geomspace(1e-4, 0.5, 201)
EVERY_FIFTH = slice(None, None, 5)  # of SHARES: those of the curve
COLUMNS = ["curve", "x", "mean", "lower", "upper", "subjects"]


def precision_at_recalls(ranking: Ranking) -> np.ndarray:
    """Highest precision of a scan at a recall of at least each of RECALLS, (recalls,).

    0 where no threshold reaches the recall, because lesion voxels are missed; NaN without any lesion.
    """
    lesion_scores, positives = ranking.lesion_scores, ranking.positives
    if not positives:
        return np.full(RECALLS.size, np.nan)
    # A threshold at which no lesion voxel is added has the recall of the one above it, and less precision.
    thresholds = np.unique(lesion_scores)[::-1]
    hits = lesion_scores.size - np.searchsorted(lesion_scores, thresholds)
    precision = hits / ranking.at_least(thresholds)
    best = np.maximum.accumulate(precision[::-1])[::-1]  # at this threshold or a lower one
    reached = np.searchsorted(hits / positives, RECALLS)
    return np.append(best, 0.0)[reached]


def dice_above(ranking: Ranking, thresholds: np.ndarray) -> np.ndarray:
    """Dice of a scan when every voxel above a threshold is called lesion, (thresholds,); NaN without any lesion."""
    lesion_scores, positives = ranking.lesion_scores, ranking.positives
    if not positives:
        return np.full(len(thresholds), np.nan)
    hits = lesion_scores.size - np.searchsorted(lesion_scores, thresholds, side="right")
    dice: np.ndarray = 2 * hits / (ranking.above(thresholds) + positives)
    return dice


def index_of_best_mean(dice: Sequence[np.ndarray]) -> int:
    """Index of the threshold with the highest mean Dice over scans, the first of equal ones.

    Args:
        dice: `dice_above` of each scan, (thresholds,); scans without lesion, NaN, are left out.

    Raises:
        ValueError: when no scan has a lesion.
    """
    with_lesion = [values for values in dice if not np.isnan(values).any()]
    if not with_lesion:
        raise ValueError("no validation scan with a lesion found, one at least expected")
    return int(np.argmax(np.mean(with_lesion, axis=0)))


def curve_table(precision: Sequence[np.ndarray], dice: Sequence[np.ndarray]) -> pd.DataFrame:
    """Both curves in long form, mean and quartiles over the scans with lesion.

    Args:
        precision: `precision_at_recalls` of each scan.
        dice: `dice_above` of each scan, at the thresholds that SHARES of healthy validation voxels exceed.

    Returns:
        Table with the columns COLUMNS; curve is "precision_recall" (x: recall) or "dice_threshold" (x: share). It has
        no row without a scan with lesion.
    """
    curves = {
        "precision_recall": (RECALLS, list(precision)),
        "dice_threshold": (SHARES[EVERY_FIFTH], [values[EVERY_FIFTH] for values in dice]),
    }
    return pd.concat([_over_scans(name, *curve) for name, curve in curves.items()], ignore_index=True)


def _over_scans(name: str, x: np.ndarray, scans: Sequence[np.ndarray]) -> pd.DataFrame:
    """Rows of one curve. scans: its values (x,) of each scan."""
    with_lesion = [values for values in scans if not np.isnan(values).any()]
    if not with_lesion:
        return pd.DataFrame(columns=COLUMNS)
    lower, upper = np.quantile(with_lesion, [0.25, 0.75], axis=0)
    mean = np.mean(with_lesion, axis=0)
    table = {"curve": name, "x": x, "mean": mean, "lower": lower, "upper": upper}
    return pd.DataFrame(table | {"subjects": len(with_lesion)}, columns=COLUMNS)
