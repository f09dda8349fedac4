"""Spearman correlation of a patch's lesion fraction with its scores (paper, section 5.2 and Table 2)."""

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from patch2loc.evaluate import resampling_counts

QUANTITIES = ("log_error", "log_variance", "score")
PARTIAL = (0.1, 0.9)
RESAMPLES = 500
FEWEST = 3


def partial_patches(patches: pd.DataFrame) -> pd.DataFrame:
    """The patches of which 10 % to 90 % is lesion, both ends included."""
    return patches[patches["lesion_fraction"].between(*PARTIAL)]


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rho with mid-ranks for ties; NaN for fewer than three values or a constant side."""
    if len(first) < FEWEST:
        return float("nan")
    return _pearson(rankdata(first), rankdata(second), np.ones(len(first)))


def lesion_correlations(patches: pd.DataFrame, seed: int = 0, resamples: int = RESAMPLES) -> pd.DataFrame:
    """Correlate lesion_fraction with log_error, log_variance and score over the patches of one fold.

    patches: columns subject, lesion_fraction, log_error, log_variance, score; patches in which one of
    these is missing are left out. One row per quantity: quantity, spearman, ci_low, ci_high (95 %,
    percentile bootstrap that draws whole subjects), n_patches, n_subjects.
    Fewer than three patches give NaN; a single subject gives NaN as interval.
    """
    used = patches.dropna(subset=["lesion_fraction", *QUANTITIES])
    subject, names = pd.factorize(used["subject"], sort=True)
    fraction = _TieGroups(used["lesion_fraction"].to_numpy(np.float64))
    values = {quantity: _TieGroups(used[quantity].to_numpy(np.float64)) for quantity in QUANTITIES}
    enough = len(used) >= FEWEST
    drawn = {quantity: [] for quantity in QUANTITIES}
    if enough and len(names) > 1:
        for counts in resampling_counts(len(names), seed, resamples):
            weights = counts[subject].astype(np.float64)
            ranks = fraction.ranks(weights)
            for quantity in QUANTITIES:
                drawn[quantity].append(_pearson(ranks, values[quantity].ranks(weights), weights))
    rows = []
    for quantity in QUANTITIES:
        usable = np.asarray(drawn[quantity])
        usable = usable[~np.isnan(usable)]
        low, high = np.quantile(usable, [0.025, 0.975]) if usable.size else (np.nan, np.nan)
        rows.append(
            {
                "quantity": quantity,
                "spearman": spearman(used["lesion_fraction"].to_numpy(), used[quantity].to_numpy()),
                "ci_low": low,
                "ci_high": high,
                "n_patches": len(used),
                "n_subjects": len(names),
            }
        )
    return pd.DataFrame(rows)


class _TieGroups:
    """Values sorted once, so that the mid-ranks of any resample cost a cumulative sum and no sort."""

    def __init__(self, values: np.ndarray):
        distinct, self.group = np.unique(values, return_inverse=True)
        self.size = distinct.size

    def ranks(self, weights: np.ndarray) -> np.ndarray:
        """Mid-rank of each value when value i occurs weights[i] times."""
        members = np.bincount(self.group, weights, minlength=self.size)
        return (np.cumsum(members) - (members - 1) / 2)[self.group]


def _pearson(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> float:
    """Weighted Pearson correlation; NaN when a side does not vary."""
    total = weights.sum()
    first = first - (weights @ first) / total
    second = second - (weights @ second) / total
    scale = np.sqrt((weights @ first**2) * (weights @ second**2))
    return float((weights @ (first * second)) / scale) if scale > 0 else float("nan")
