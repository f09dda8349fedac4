import numpy as np
import pandas as pd
import pytest

from patch2loc.metrics.summary import SUMMARIZED, bootstrap_interval, subject_means, summarize


def metrics(values, subjects=None):
    subjects = subjects or [f"sub-{number}" for number in range(len(values))]
    return pd.DataFrame(
        {"subject": subjects, **dict.fromkeys(SUMMARIZED, values), "prevalence": 0.02, "prevalence_any": 0.04}
    )


def test_summary_by_hand():
    summary = summarize([metrics([0.2, 0.4]), metrics([0.4, 0.6])]).set_index("metric").loc["auprc"]
    assert summary["mean"] == pytest.approx(0.4)
    assert summary["sd"] == pytest.approx(np.sqrt(0.02))  # fold means 0.3 and 0.5
    assert (summary["n_subjects"], summary["n_folds"]) == (2, 2)
    assert (summary["ci_low"], summary["ci_high"]) == pytest.approx((0.3, 0.5))  # subject means 0.3, 0.5
    assert summary["prevalence"] == pytest.approx(0.02)


def test_metrics_by_any_stand_beside_their_own_prevalence():
    prevalence = summarize([metrics([0.2, 0.4])]).set_index("metric")["prevalence"]
    assert prevalence[["auprc_any", "best_dice_any"]].tolist() == [0.04, 0.04]
    assert prevalence["auprc"] == 0.02


def test_order_of_subjects_does_not_matter_and_folds_are_matched_by_name():
    first = summarize([metrics([0.1, 0.5, 0.9]), metrics([0.2, 0.4, 0.6])])
    second = summarize([metrics([0.1, 0.5, 0.9]), metrics([0.6, 0.4, 0.2], ["sub-2", "sub-1", "sub-0"])])
    pd.testing.assert_frame_equal(first, second)


def test_one_fold_has_no_spread_and_one_subject_no_interval():
    summary = summarize([metrics([0.5])]).set_index("metric").loc["best_dice"]
    assert summary["mean"] == 0.5
    assert np.isnan(summary[["sd", "ci_low", "ci_high"]].astype(float)).all()


def test_healthy_cohort_summarizes_to_nothing():
    summary = summarize([metrics([np.nan, np.nan])])
    assert (summary["n_subjects"] == 0).all()
    assert summary["mean"].isna().all()


def test_a_subject_listed_twice_is_refused():
    with pytest.raises(ValueError, match="sub-a"):
        summarize([metrics([0.1, 0.2], ["sub-a", "sub-a"])])


def test_bootstrap_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    hits = 0
    for trial in range(300):
        low, high = bootstrap_interval(generator.normal(0.5, 0.1, 40), seed=trial, resamples=400)
        hits += low <= 0.5 <= high
    # 95 % nominal; the percentile interval of 40 values covers about 93 %, three standard errors are 4.4 %.
    assert 0.886 <= hits / 300 <= 0.985


def test_bootstrap_interval_matches_the_normal_interval_and_is_repeatable():
    values = np.random.default_rng(1).normal(0, 1, 400)
    low, high = bootstrap_interval(values)
    assert (low, high) == bootstrap_interval(values)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.012)


def test_means_of_subjects_leave_out_who_has_no_value():
    folds = [metrics([0.2, np.nan, np.nan]), metrics([0.4, 0.6, np.nan])]
    assert subject_means(folds, "auprc").to_dict() == pytest.approx({"sub-0": 0.3, "sub-1": 0.6})
