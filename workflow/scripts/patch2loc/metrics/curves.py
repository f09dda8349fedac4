"""Curves over the subjects of a dataset: precision against recall, and Dice against the threshold.

Scores of methods have different scales. So a threshold is named by the share of healthy validation voxels that score
above it, which compares.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from patch2loc.metrics.ranking import Ranking

RECALLS = np.arange(101) / 100
# Shares of healthy validation voxels above a threshold, from the highest threshold down; the curve shows every fifth.
SHARES = np.geomspace(1e-4, 0.5, 201)
SHOWN = slice(None, None, 5)
COLUMNS = ["curve", "x", "mean", "lower", "upper", "subjects"]


def precision_at_recalls(ranking: Ranking) -> np.ndarray:
    """The highest precision of a scan at a recall of at least each of RECALLS, (recalls,).

    0 where no threshold reaches the recall, because lesion voxels are missed; NaN without any lesion.
    """
    scores, of_lesion, missed = ranking
    positives = of_lesion.size + missed
    if not positives:
        return np.full(RECALLS.size, np.nan)
    # A threshold at which no lesion voxel is added has the recall of the one above it, and less precision.
    thresholds = np.unique(of_lesion)[::-1]
    hits = of_lesion.size - np.searchsorted(of_lesion, thresholds)
    precision = hits / (scores.size - np.searchsorted(scores, thresholds))
    best = np.maximum.accumulate(precision[::-1])[::-1]  # at this threshold or a lower one
    reached = np.searchsorted(hits / positives, RECALLS)
    return np.append(best, 0.0)[reached]


def dice_above(ranking: Ranking, thresholds: np.ndarray) -> np.ndarray:
    """Dice of a scan when every voxel above a threshold is called lesion, (thresholds,); NaN without any lesion."""
    scores, of_lesion, missed = ranking
    positives = of_lesion.size + missed
    if not positives:
        return np.full(len(thresholds), np.nan)
    hits = of_lesion.size - np.searchsorted(of_lesion, thresholds, side="right")
    predicted = scores.size - np.searchsorted(scores, thresholds, side="right")
    return 2 * hits / (predicted + positives)


def place_of_best_mean(dice: Sequence[np.ndarray]) -> int:
    """Which of some thresholds has the highest mean Dice over scans; the first one of several.

    dice: (thresholds,) of each scan, as `dice_above`; NaN for scans without lesion, which have no part in it.
    Raises ValueError when no scan has a lesion.
    """
    with_lesion = [of_scan for of_scan in dice if not np.isnan(of_scan).any()]
    if not with_lesion:
        raise ValueError("no validation scan with a lesion found, one at least expected")
    return int(np.argmax(np.mean(with_lesion, axis=0)))


def curve_table(precision: Sequence[np.ndarray], dice: Sequence[np.ndarray]) -> pd.DataFrame:
    """Both curves in long form, mean and quartiles over the scans with lesion (columns: COLUMNS).

    precision: `precision_at_recalls` of each scan.  dice: `dice_above` of each scan, at the thresholds that SHARES
    of healthy validation voxels exceed.  curve: "precision_recall" (x: recall) or "dice_threshold" (x: share).
    Without a scan with lesion the table has no row.
    """
    curves = {
        "precision_recall": (RECALLS, list(precision)),
        "dice_threshold": (SHARES[SHOWN], [of_scan[SHOWN] for of_scan in dice]),
    }
    return pd.concat([_over_scans(name, *curve) for name, curve in curves.items()], ignore_index=True)


def _over_scans(name: str, x: np.ndarray, values: Sequence[np.ndarray]) -> pd.DataFrame:
    with_lesion = [of_scan for of_scan in values if not np.isnan(of_scan).any()]
    if not with_lesion:
        return pd.DataFrame(columns=COLUMNS)
    lower, upper = np.quantile(with_lesion, [0.25, 0.75], axis=0)
    mean = np.mean(with_lesion, axis=0)
    table = {"curve": name, "x": x, "mean": mean, "lower": lower, "upper": upper}
    return pd.DataFrame(table | {"subjects": len(with_lesion)}, columns=COLUMNS)
