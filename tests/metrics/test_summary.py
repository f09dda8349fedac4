import numpy as np
import pandas as pd
import pytest

from patch2loc.metrics.summary import SUMMARIZED, subject_means, summarize, summary_of


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
    assert (summary["ci_low"], summary["ci_high"]) == pytest.approx((0.2, 0.6))  # subject and fold are drawn
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


def test_folds_that_differ_widen_the_interval_and_equal_ones_do_not():
    values = np.random.default_rng(0).uniform(0.2, 0.6, 40)
    one = summary_of([metrics(values)], "auprc")
    equal = summary_of([metrics(values)] * 5, "auprc")
    shifts = (-0.1, -0.05, 0.0, 0.05, 0.1)
    differing = summary_of([metrics(values + shift) for shift in shifts], "auprc")
    widths = [row["ci_high"] - row["ci_low"] for row in (one, equal, differing)]
    assert widths[1] == pytest.approx(widths[0], rel=0.05)
    assert widths[2] > 1.5 * widths[1]
    assert differing["mean"] == pytest.approx(one["mean"])


def test_the_interval_is_about_the_mean_that_is_reported():
    # The scan that one fold alone has is the best: the mean over folds counts it by half of that fold.
    folds = [metrics([0.1, 0.2, 0.9]), metrics([0.1, 0.2], ["sub-0", "sub-1"])]
    summary = summary_of(folds, "auprc")
    assert summary["mean"] == pytest.approx((0.4 + 0.15) / 2)
    assert summary["ci_low"] <= summary["mean"] <= summary["ci_high"]


def test_means_of_subjects_leave_out_who_has_no_value():
    folds = [metrics([0.2, np.nan, np.nan]), metrics([0.4, 0.6, np.nan])]
    assert subject_means(folds, "auprc").to_dict() == pytest.approx({"sub-0": 0.3, "sub-1": 0.6})
