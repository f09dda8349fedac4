"""Spearman correlation of a patch's lesion fraction with its scores (paper, section 5.2 and Table 2)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from patch2loc.metrics.resampling import resampling_counts

QUANTITIES = ("log_error", "log_variance", "score")
PARTIAL_LESION = (0.1, 0.9)
RESAMPLES = 500
FEWEST_PATCHES = 3


def partial_patches(patches: pd.DataFrame) -> pd.DataFrame:
    """Patches of which 10 % to 90 % is lesion, both ends included."""
    return patches[patches["lesion_fraction"].between(*PARTIAL_LESION)]


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rho with mid-ranks for ties; NaN for fewer than three values or a constant side."""
    if len(first) < FEWEST_PATCHES:
        return float("nan")
    return _pearson(rankdata(first), rankdata(second), np.ones(len(first)))


def lesion_correlations(
    folds: Sequence[pd.DataFrame], seed: int = 0, resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Correlate lesion_fraction with log_error, log_variance and score over patches, mean over folds.

    Args:
        folds: one table of patches per fold, with columns subject, lesion_fraction, log_error, log_variance, score;
            patches in which one of these is missing are left out.
        seed: of the bootstrap.
        resamples: of the bootstrap.

    Returns:
        One row per quantity: quantity, spearman (mean over the folds that have one), sd (over them, n - 1; NaN for one
        fold), ci_low and ci_high (95 %, percentile bootstrap of this mean, that draws whole subjects, the same ones in
        every fold, and folds), n_patches (of the first fold), n_subjects (in any fold). Fewer than three patches give
        NaN; so does a single subject, as interval.
    """
    complete = [fold.dropna(subset=["lesion_fraction", *QUANTITIES]) for fold in folds]
    subjects = sorted(set().union(*(fold["subject"] for fold in complete)))
    correlations = [
        {
            quantity: spearman(fold["lesion_fraction"].to_numpy(), fold[quantity].to_numpy())
            for quantity in QUANTITIES
        }
        for fold in complete
    ]
    resampled = np.full((len(folds), resamples, len(QUANTITIES)), np.nan)
    fold_counts = np.ones((resamples, len(folds)))
    if len(subjects) > 1:
        counts, fold_counts = resampling_counts(len(subjects), len(folds), seed, resamples)
        resampled = np.stack(
            [
                _resampled_correlations(fold, counts, pd.Index(subjects).get_indexer(fold["subject"]))
                for fold in complete
            ]
        )
    rows = []
    for column, quantity in enumerate(QUANTITIES):
        by_fold = pd.Series([fold[quantity] for fold in correlations])
        means = _means_of_drawn_folds(resampled[:, :, column].T, fold_counts)
        low, high = np.quantile(means, [0.025, 0.975]) if means.size else (np.nan, np.nan)
        rows.append(
            {
                "quantity": quantity,
                "spearman": by_fold.mean(),
                "sd": by_fold.std(ddof=1),
                "ci_low": low,
                "ci_high": high,
                "n_patches": len(complete[0]),
                "n_subjects": len(subjects),
            }
        )
    return pd.DataFrame(rows)


def _means_of_drawn_folds(correlations: np.ndarray, fold_counts: np.ndarray) -> np.ndarray:
    """Means over the drawn folds that have a correlation, of the resamples that have any.

    correlations, fold_counts: (resamples, folds).  A fold without one is left out, as it is from the estimate.
    """
    weights = np.where(np.isnan(correlations), 0, fold_counts)
    defined = weights.any(axis=1)
    means: np.ndarray = np.average(np.nan_to_num(correlations[defined]), axis=1, weights=weights[defined])
    return means


def _resampled_correlations(patches: pd.DataFrame, counts: np.ndarray, subject: np.ndarray) -> np.ndarray:
    """Correlations of each resample, (resamples, quantities).

    counts: (resamples, subjects), how often each subject is drawn.  subject: (patches,), index of a patch's subject.
    """
    correlations = np.full((len(counts), len(QUANTITIES)), np.nan)
    if len(patches) < FEWEST_PATCHES:
        return correlations
    fraction = _TieGroups(patches["lesion_fraction"].to_numpy(np.float64))
    values = [_TieGroups(patches[quantity].to_numpy(np.float64)) for quantity in QUANTITIES]
    for row, count in zip(correlations, counts, strict=True):
        weights = count[subject].astype(np.float64)
        ranks = fraction.ranks(weights)
        row[:] = [_pearson(ranks, value.ranks(weights), weights) for value in values]
    return correlations


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
