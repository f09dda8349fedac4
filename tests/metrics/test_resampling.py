import itertools
import warnings

import numpy as np
import pytest
from scipy.stats import bootstrap, permutation_test

from patch2loc.metrics.resampling import (
    PERMUTATIONS,
    bootstrap_interval,
    mean_over_folds,
    permutation_p,
    resampling_counts,
)


def scipy_interval(values, seed, resamples, method="BCa"):
    """The interval of scipy: indices of scans and of folds are two independent samples."""

    def mean_of_cells(scans, folds, axis=-1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # means of no value
            return np.nanmean(np.nanmean(values[scans[..., :, None], folds[..., None, :]], axis=-2), axis=-1)

    def mean_of_scans(scans, axis=-1):
        return values[scans, 0].mean(axis=axis)

    scans, folds = values.shape
    samples, statistic = ((np.arange(scans), np.arange(folds)), mean_of_cells)
    if folds == 1:
        samples, statistic = samples[:1], mean_of_scans
    generator = np.random.default_rng([seed, scans, folds])
    options = {"n_resamples": resamples, "rng": generator, "vectorized": True, "method": method}
    return tuple(bootstrap(samples, statistic, **options).confidence_interval)


def skewed(scans, folds, seed=0):
    generator = np.random.default_rng(seed)
    return generator.lognormal(0, 1, (scans, folds)) + generator.normal(0, 0.3, folds)


@pytest.mark.parametrize(("scans", "folds"), [(40, 1), (30, 5), (12, 3), (9, 2)])
def test_the_interval_is_that_of_scipy(scans, folds):
    values = skewed(scans, folds)
    expected = scipy_interval(values, 3, 500)
    assert bootstrap_interval(values, 3, 500) == pytest.approx(expected, rel=1e-12)


def test_the_interval_is_that_of_scipy_where_scans_lack_folds():
    values = skewed(20, 4)
    values[np.random.default_rng(1).random(values.shape) < 0.3] = np.nan
    expected = scipy_interval(values, 5, 500)
    assert bootstrap_interval(values, 5, 500) == pytest.approx(expected, rel=1e-12)


def test_the_interval_of_a_skewed_sample_is_not_the_percentile_interval():
    values = skewed(25, 1)
    low, high = bootstrap_interval(values)
    percentile_low, percentile_high = scipy_interval(values, 0, 2000, "percentile")
    assert low > percentile_low  # BCa follows the long tail upwards
    assert high > percentile_high


def test_shift_and_scale_of_the_values_shift_and_scale_the_interval():
    values = skewed(15, 3)
    low, high = bootstrap_interval(values)
    assert bootstrap_interval(2 * values + 1) == pytest.approx((2 * low + 1, 2 * high + 1))
    assert bootstrap_interval(-values) == pytest.approx(
        (-high, -low), rel=0.05
    )  # other resamples are extreme


def test_the_interval_is_repeatable_and_depends_on_the_seed():
    values = skewed(15, 3)
    assert bootstrap_interval(values, 1) == bootstrap_interval(values.copy(), 1)
    assert bootstrap_interval(values, 1) != bootstrap_interval(values, 2)


def test_a_scan_or_a_fold_without_any_value_is_not_there():
    values = skewed(12, 3)
    padded = np.full((14, 4), np.nan)
    padded[np.ix_([*range(5), *range(6, 13)], [0, 2, 3])] = values
    assert bootstrap_interval(padded) == bootstrap_interval(values)
    assert permutation_p(padded - 1) == permutation_p(values - 1)


def test_intervals_of_few_or_equal_values():
    assert np.isnan(bootstrap_interval(np.array([0.3]))).all()
    assert np.isnan(bootstrap_interval(np.empty((0, 5)))).all()
    assert np.isnan(bootstrap_interval(np.array([[0.3, 0.4, 0.5]]))).all()  # one scan, whatever its folds
    assert bootstrap_interval(np.array([0.3, 0.5])) == pytest.approx((0.3, 0.5))
    assert bootstrap_interval(np.full((7, 5), 0.1)) == pytest.approx((0.1, 0.1))
    low, high = bootstrap_interval(np.array([0.0, 0.0, 0.0, 0.0, 1.0]))
    assert 0 <= low < 0.2 < high <= 1
    one_fold_empty = np.array([[0.2, np.nan], [0.4, np.nan], [0.9, np.nan]])
    assert bootstrap_interval(one_fold_empty) == bootstrap_interval(one_fold_empty[:, 0])


def test_means_that_tie_up_to_rounding_are_ties():
    # Sums of whole numbers are exact. In those of their tenths, rounding would decide which resamples are below.
    for whole in ([1.0, 2.0, 2.0, 9.0], [1.0, 4.0, 4.0, 4.0], [3.0, 3.0, 7.0, 7.0]):
        exact = bootstrap_interval(np.array(whole))
        assert bootstrap_interval(np.array(whole) / 10) == pytest.approx(np.array(exact) / 10, rel=1e-12)


def test_resamples_draw_as_many_as_there_are():
    scan_counts, fold_counts = resampling_counts(7, 3, 1, 200)
    assert (scan_counts.sum(axis=1) == 7).all()
    assert (fold_counts.sum(axis=1) == 3).all()
    assert scan_counts.mean(axis=0) == pytest.approx(1, abs=0.25)
    assert resampling_counts(7, 1, 1, 200)[1].tolist() == [[1]] * 200


def test_the_mean_is_over_folds_of_the_means_over_scans():
    assert mean_over_folds(np.array([[0.1, 0.4], [0.3, np.nan]])) == pytest.approx((0.2 + 0.4) / 2)
    assert np.isnan(mean_over_folds(np.full((3, 2), np.nan)))


def test_the_interval_covers_the_mean_of_skewed_scans_better_than_the_percentile_interval():
    generator = np.random.default_rng(4)
    repetitions, mean = 500, 1.0
    covers = above = percentile_covers = percentile_above = 0
    for _ in range(repetitions):
        values = generator.exponential(mean, (40, 1))
        low, high = bootstrap_interval(values, resamples=500)
        covers, above = covers + (low <= mean <= high), above + (high < mean)
        scan_counts, _ = resampling_counts(40, 1, 0, 500)
        low, high = np.quantile(scan_counts @ values / 40, [0.025, 0.975])
        percentile_covers += low <= mean <= high
        percentile_above += high < mean
    assert 0.9 <= covers / repetitions <= 0.98
    assert abs(covers / repetitions - 0.95) < abs(percentile_covers / repetitions - 0.95)
    # The truth is missed on one side by the percentile interval, more evenly by BCa.
    assert above < 0.8 * percentile_above


def test_the_interval_covers_the_mean_over_trainings_which_that_of_one_sample_of_them_does_not():
    generator = np.random.default_rng(5)
    repetitions = 300
    crossed = scans_alone = 0
    for _ in range(repetitions):
        scan_effect = generator.exponential(1, (60, 1)) - 1
        fold_effect = generator.normal(0, 0.2, (1, 8))
        values = scan_effect + fold_effect + generator.normal(0, 0.3, (60, 8))
        low, high = bootstrap_interval(values, resamples=500)
        crossed += low <= 0 <= high
        # Trainings that are taken as fixed: another one would fall outside much more often than 5 % of the time.
        low, high = bootstrap_interval(values[:, 0], resamples=500)
        scans_alone += low <= 0 <= high
    assert 0.9 <= crossed / repetitions <= 0.98
    assert scans_alone / repetitions < 0.85


@pytest.mark.parametrize("scans", [2, 5, 12])
def test_p_is_that_of_scipy_where_all_signs_are_tried(scans):
    values = np.random.default_rng(scans).normal(0.3, 1, scans)
    expected = permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    assert permutation_p(values) == pytest.approx(expected, abs=1e-12)


def test_p_of_folds_exchanges_the_methods_in_a_whole_scan():
    values = np.random.default_rng(0).normal(0.2, 1, (9, 4))
    # Whole folds: the mean over folds is that of the means of scans.
    assert permutation_p(values) == permutation_p(values.mean(axis=1))
    values[0, 1:] = values[3, 0] = np.nan

    def mean(signs):
        return abs(mean_over_folds(values * np.array(signs)[:, None]))

    extreme = [mean(signs) >= mean([1] * 9) - 1e-12 for signs in itertools.product((-1, 1), repeat=9)]
    assert permutation_p(values) == pytest.approx(np.mean(extreme), abs=1e-12)


def test_drawn_signs_agree_with_all_signs_and_never_give_zero():
    values = np.random.default_rng(7).normal(0.12, 1, 200)
    draws = {"n_resamples": 20_000, "vectorized": True, "rng": np.random.default_rng(1)}
    expected = permutation_test((values,), np.mean, permutation_type="samples", **draws).pvalue
    assert permutation_p(values) == pytest.approx(expected, abs=4 * np.sqrt(0.25 / PERMUTATIONS))
    assert permutation_p(values) == permutation_p(values.copy())
    assert permutation_p(np.full(50, 0.1)) == 1 / (PERMUTATIONS + 1)


def test_the_least_p_of_few_scans():
    for scans in range(2, 14):
        assert permutation_p(np.arange(1.0, scans + 1)) == 2 / 2**scans
    assert permutation_p(np.arange(1.0, 15)) < 0.001


def test_p_of_equal_methods_is_one_and_of_a_single_scan_none():
    assert permutation_p(np.zeros(6)) == 1
    assert permutation_p(np.zeros((60, 5))) == 1
    assert np.isnan(permutation_p(np.array([[0.3, 0.2]])))
    values = np.random.default_rng(2).normal(0.4, 1, 30)
    assert permutation_p(values) == permutation_p(-values) == permutation_p(1000 * values)


def test_p_is_below_five_percent_in_five_percent_of_equal_methods():
    generator = np.random.default_rng(6)
    p = np.array([permutation_p(generator.normal(0, 1, 10)) for _ in range(600)])
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 600))


def test_p_is_of_the_mean_also_where_the_median_has_the_other_sign():
    # Many small losses and a few large gains: Wilcoxon's test would be about the losses.
    values = np.concatenate([np.full(9, -0.01), np.linspace(0.3, 0.5, 4)])
    assert values.mean() > 0 > np.median(values)
    assert permutation_p(values) > 0.05
    assert permutation_p(values) == permutation_p(-values)
