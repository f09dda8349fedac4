import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_curve

from patch2loc.metrics.curves import (
    COLUMNS,
    RECALLS,
    SHARES,
    curve_table,
    dice_above,
    index_of_best_mean,
    precision_at_recalls,
)
from patch2loc.metrics.ranking import best_dice, rank


def scored(seed, levels=None, size=4000):
    """A score that tells something of the lesion, with `levels` distinct values or all distinct."""
    generator = np.random.default_rng(seed)
    lesion = generator.random(size) < 0.07
    score = generator.normal(1.5 * lesion).astype(np.float32)
    return (np.round(score * levels) / levels if levels else score), lesion


@pytest.mark.parametrize(("seed", "levels", "missed"), [(0, None, 0), (1, 2, 0), (2, None, 90), (3, 1, 40)])
def test_precision_is_the_best_of_scikit_learn_at_a_recall_or_more(seed, levels, missed):
    score, lesion = scored(seed, levels)
    low = score.min() - 1
    precision, recall, thresholds = precision_recall_curve(
        np.append(lesion, np.ones(missed, bool)), np.append(score, np.full(missed, low))
    )
    detected = thresholds > low  # missed voxels are below every threshold that can be set
    precision, recall = precision[:-1][detected], recall[:-1][detected]
    expected = [precision[recall >= wanted].max(initial=0) for wanted in RECALLS]
    np.testing.assert_allclose(precision_at_recalls(rank(score, lesion, missed)), expected, rtol=1e-12)


def test_a_perfect_score_has_precision_one_and_dice_one():
    lesion = np.repeat([True, False], [30, 70])
    ranking = rank(lesion.astype(float), lesion)
    assert precision_at_recalls(ranking).tolist() == [1] * 101
    assert dice_above(ranking, np.array([0.5])).tolist() == [1]
    missed = rank(lesion.astype(float), lesion, missed=30)
    assert precision_at_recalls(missed).tolist() == [1] * 51 + [0] * 50  # half of the lesion has no score
    assert dice_above(missed, np.array([0.5])).item() == pytest.approx(2 / 3)


def test_a_constant_score_has_the_prevalence_and_finds_nothing_above_itself():
    ranking = rank(np.ones(100), np.repeat([True, False], [20, 80]))
    np.testing.assert_allclose(precision_at_recalls(ranking), 0.2)
    np.testing.assert_allclose(dice_above(ranking, np.array([1.0, 0.9])), [0, 2 * 20 / 120])


def test_all_of_a_lesion_missed_is_zero_and_no_lesion_is_no_number():
    nothing = np.zeros(50, bool)
    missed, healthy = rank(np.arange(50), nothing, missed=5), rank(np.arange(50), nothing)
    assert not precision_at_recalls(missed).any()
    assert not dice_above(missed, np.array([-1.0, 25.0])).any()
    assert np.isnan(precision_at_recalls(healthy)).all()
    assert np.isnan(dice_above(healthy, np.array([25.0]))).all()


def test_dice_is_that_of_scikit_learn_and_reaches_the_best():
    score, lesion = scored(4, levels=4)
    thresholds = np.array([-0.5, 0.25, 1.0, 2.0])
    found = dice_above(rank(score, lesion), thresholds)
    np.testing.assert_allclose(found, [f1_score(lesion, score > threshold) for threshold in thresholds])
    below = np.unique(score) - 0.125
    assert dice_above(rank(score, lesion), below).max() == best_dice(score, lesion)


def test_curves_are_means_and_quartiles_of_the_scans_with_lesion():
    healthy = np.full(RECALLS.size, np.nan), np.full(SHARES.size, np.nan)
    scans = [(np.full(RECALLS.size, value), value * SHARES) for value in (0.0, 0.1, 0.2, 0.3, 0.9)]
    table = curve_table(*zip(healthy, *scans, strict=True))
    assert list(table.columns) == COLUMNS
    assert (table["subjects"] == 5).all()
    recall, dice = (part for _, part in table.groupby("curve", sort=False))
    assert recall["curve"].unique().tolist() == ["precision_recall"]
    assert recall["x"].tolist() == [place / 100 for place in range(101)]
    np.testing.assert_allclose(recall[["mean", "lower", "upper"]], np.tile([0.3, 0.1, 0.3], (101, 1)))
    assert dice["curve"].unique().tolist() == ["dice_threshold"]
    np.testing.assert_allclose(dice["x"], np.geomspace(1e-4, 0.5, 41))
    np.testing.assert_allclose(dice["mean"], 0.3 * dice["x"])


def test_healthy_scans_have_a_header_alone():
    table = curve_table([np.full(RECALLS.size, np.nan)], [np.full(SHARES.size, np.nan)])
    assert list(table.columns) == COLUMNS
    assert table.empty


def test_the_best_threshold_is_that_of_the_mean_and_the_first_of_equals():
    dice = [np.array([0.9, 0.5, 0.6]), np.array([0.1, 0.5, 0.4]), np.full(3, np.nan)]
    assert index_of_best_mean(dice) == 0
    assert index_of_best_mean([*dice, np.array([0.0, 0.3, 0.4])]) == 2
    with pytest.raises(ValueError, match="no validation scan with a lesion"):
        index_of_best_mean(dice[2:])
