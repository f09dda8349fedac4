"""Intervals and tests of a mean over scans and folds, by resampling.

Values are a matrix of scans by folds, NaN where a scan has no value in a fold. Its mean is the mean over folds of the
means over scans. Scans and folds are crossed random effects: every fold is another training, and all of them score the
same scans. A resample therefore draws scans and, independently, folds, both with replacement, and keeps the cells where
they meet (the pigeonhole bootstrap of Owen, Annals of Applied Statistics 1, 2007).
"""

from functools import lru_cache

import numpy as np
from scipy.special import ndtr, ndtri

RESAMPLES = 2000
MOST_SCANS_OF_EXACT_TEST = 13  # 8,192 patterns of signs: up to here all of them are tried
PERMUTATIONS = 9999  # patterns drawn for more scans
ROUNDING = 1e-12  # of the largest value: means that differ by less are equal


def mean_over_folds(values: np.ndarray) -> float:
    """Mean over folds of the means over scans of (scans, folds) values, NaN left out; NaN without any value."""
    present = ~np.isnan(values)
    counts = present.sum(axis=0)
    sums = np.where(present, values, 0).sum(axis=0)
    with_value = counts > 0
    return float(np.mean(sums[with_value] / counts[with_value])) if with_value.any() else float("nan")


def bootstrap_interval(
    values: np.ndarray, seed: int = 0, resamples: int = RESAMPLES, level: float = 0.95
) -> tuple[float, float]:
    """BCa bootstrap interval of the mean, over scans and folds (Efron, JASA 82, 1987).

    The same as `scipy.stats.bootstrap` with method "BCa", two samples (indices of scans and of folds) and a generator
    seeded with [seed, scans, folds], in a fraction of its time. One fold is not resampled: the interval is then that of
    the scans alone.

    Args:
        values: (scans,) or (scans, folds), NaN where there is none.
        seed: of the resamples, which depend on it and on the numbers of scans and folds alone.
        resamples: their number.
        level: of confidence.

    Returns:
        Its lower and upper end; (NaN, NaN) for fewer than two scans with a value, the value twice where all are equal.
    """
    values = _with_values(values)
    scans, folds = values.shape
    if scans < 2:
        return float("nan"), float("nan")
    estimate = mean_over_folds(values)
    means = _resampled_means(values, *resampling_counts(scans, folds, seed, resamples))
    means = means[~np.isnan(means)]
    tolerance = ROUNDING * float(np.nanmax(np.abs(values)))
    if np.ptp(means) <= tolerance:
        return estimate, estimate
    # Ties count half. Rounding, which differs between machines, must not decide on which side of the mean they are.
    below = np.mean(means < estimate - tolerance)
    bias = ndtri((below + np.mean(means <= estimate + tolerance)) / 2)
    acceleration = _acceleration(values)
    normal = bias + ndtri([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(means, ndtr(bias + normal / (1 - acceleration * normal)))
    return float(low), float(high)


@lru_cache(maxsize=8)
def resampling_counts(scans: int, folds: int, seed: int, resamples: int) -> tuple[np.ndarray, np.ndarray]:
    """Number of times that each scan and each fold is drawn in each resample: (resamples, scans), (resamples, folds).

    Cached and read-only, because all metrics and methods of a dataset share them. A single fold is in every resample.
    """
    generator = np.random.default_rng([seed, scans, folds])
    counts = []
    for size in (scans, folds):
        # Whole numbers, because functions of floats behind other distributions differ between machines.
        drawn = generator.integers(0, size, (resamples, size)) + np.arange(resamples)[:, None] * size
        count = np.bincount(drawn.ravel(), minlength=resamples * size).reshape(resamples, size).astype(float)
        count.setflags(write=False)
        counts.append(count)
    return counts[0], counts[1]


def permutation_p(differences: np.ndarray, seed: int = 0) -> float:
    """p of the two-sided paired permutation test of a mean difference over scans and folds.

    If two methods do not differ, the differences of a scan could as well have the other sign, in all folds at once. p
    is the share of the patterns of signs of scans whose mean difference is at least as far from 0. Up to 13 scans all
    2^n patterns are tried, and the least p is 2 / 2^n; beyond, 9,999 are drawn, p is (count + 1) / 10,000, and the
    least is 0.0001. The folds, which are trainings, are taken as they are.

    Args:
        differences: (scans,) or (scans, folds), NaN where there is none.
        seed: of the signs, which depend on it and on the number of scans alone.

    Returns:
        p; NaN for fewer than two scans with a value.
    """
    differences = _with_values(differences)
    scans, folds = differences.shape
    if scans < 2:
        return float("nan")
    # What each scan adds to the mean over folds of the means over scans.
    shares = np.nansum(differences / np.count_nonzero(~np.isnan(differences), axis=0), axis=1) / folds
    exact = scans <= MOST_SCANS_OF_EXACT_TEST
    means = (_all_signs(scans) if exact else _drawn_signs(scans, seed)) @ shares
    extreme = np.count_nonzero(np.abs(means) >= abs(shares.sum()) - ROUNDING * np.abs(shares).sum())
    return float(extreme / len(means)) if exact else float((extreme + 1) / (len(means) + 1))


def _with_values(values: np.ndarray) -> np.ndarray:
    """(scans, folds), of scans and folds that have any value."""
    values = np.asarray(values, dtype=float)
    matrix = values[:, None] if values.ndim == 1 else values
    present = ~np.isnan(matrix)
    rows: np.ndarray = matrix[present.any(axis=1)][:, present.any(axis=0)]
    return rows


def _resampled_means(values: np.ndarray, scan_counts: np.ndarray, fold_counts: np.ndarray) -> np.ndarray:
    """`mean_over_folds` of each resample, (resamples,); NaN where it has no value."""
    present = ~np.isnan(values)
    return _weighted_means(scan_counts @ np.where(present, values, 0), scan_counts @ present, fold_counts)


def _weighted_means(sums: np.ndarray, counts: np.ndarray, fold_weights: np.ndarray) -> np.ndarray:
    """Weighted means over folds of sums over counts, (resamples, folds) to (resamples,); NaN without any count."""
    weights = fold_weights * (counts > 0)
    totals, total_weights = (weights * sums / np.maximum(counts, 1)).sum(axis=1), weights.sum(axis=1)
    means = np.full(len(totals), np.nan)
    np.divide(totals, total_weights, out=means, where=total_weights > 0)
    return means


def _acceleration(values: np.ndarray) -> float:
    """Acceleration of the BCa interval from the jackknife over scans and, where there are several, over folds."""
    present = ~np.isnan(values)
    filled, folds = np.where(present, values, 0), values.shape[1]
    left_out = [
        _weighted_means(filled.sum(axis=0) - filled, present.sum(axis=0) - present, np.ones((1, folds)))
    ]
    if folds > 1:
        left_out.append(np.array([mean_over_folds(np.delete(values, fold, 1)) for fold in range(folds)]))
    third = second = 0.0
    for means in left_out:
        influence = (len(means) - 1) * (means.mean() - means)
        third += np.sum(influence**3) / len(means) ** 3
        second += np.sum(influence**2) / len(means) ** 2
    return float(third / (6 * second**1.5)) if second > 0 else 0.0


@lru_cache(maxsize=MOST_SCANS_OF_EXACT_TEST)
def _all_signs(scans: int) -> np.ndarray:
    """Every pattern of signs, (2^scans, scans), each -1 or 1."""
    patterns = np.arange(2**scans)[:, None] >> np.arange(scans)
    signs: np.ndarray = 1.0 - 2 * (patterns & 1)
    return signs


@lru_cache(maxsize=2)
def _drawn_signs(scans: int, seed: int) -> np.ndarray:
    """Patterns of signs drawn at random, (PERMUTATIONS, scans), each -1 or 1."""
    generator = np.random.default_rng([seed, scans])
    signs: np.ndarray = 1.0 - 2 * generator.integers(0, 2, (PERMUTATIONS, scans), dtype=np.int8)
    return signs
