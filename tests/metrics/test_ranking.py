import time

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from patch2loc.metrics.ranking import auroc, auroc_against, average_precision, best_dice, evaluate_scores


def scores_and_lesion(seed, size=400, prevalence=0.1, levels=None):
    generator = np.random.default_rng(seed)
    lesion = generator.random(size) < prevalence
    score = generator.normal(lesion.astype(float), 1.0).astype(np.float32)
    if levels is not None:
        score = np.round(score * levels) / levels
    return score, lesion


def dice_at(score, lesion, threshold, missed=0):
    found = score >= threshold
    return 2 * np.count_nonzero(found & lesion) / (found.sum() + lesion.sum() + missed)


@pytest.mark.parametrize("levels", [None, 8, 1])
@pytest.mark.parametrize("prevalence", [0.02, 0.5, 0.95])
@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scikit_learn_also_with_ties(seed, prevalence, levels):
    score, lesion = scores_and_lesion(seed, prevalence=prevalence, levels=levels)
    assert average_precision(score, lesion) == pytest.approx(
        average_precision_score(lesion, score), abs=1e-12
    )
    assert auroc(score, lesion) == pytest.approx(roc_auc_score(lesion, score), abs=1e-12)


@pytest.mark.parametrize("missed", [0, 7])
@pytest.mark.parametrize("levels", [None, 3])
@pytest.mark.parametrize("seed", range(5))
def test_best_dice_is_the_maximum_over_every_threshold(seed, levels, missed):
    score, lesion = scores_and_lesion(seed, levels=levels)
    dice, threshold = best_dice(score, lesion, missed, return_threshold=True)
    thresholds = np.unique(score)
    every = [dice_at(score, lesion, each, missed) for each in thresholds]
    assert dice == pytest.approx(max(every), abs=1e-12)
    assert dice_at(score, lesion, threshold, missed) == dice
    assert threshold == thresholds[np.flatnonzero(np.isclose(every, max(every), atol=1e-12))[-1]]


def test_known_answer_by_hand():
    # Ranked: 4 lesion, 3 healthy, 2 lesion, 1 healthy. Precision at the lesions 1/1 and 2/3.
    score, lesion = np.array([1.0, 4.0, 2.0, 3.0]), np.array([0, 1, 1, 0])
    found = evaluate_scores(score, lesion)
    assert found["auprc"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert found["best_dice"] == pytest.approx(4 / 5)  # threshold 2: two hits of three, two lesion voxels
    assert found["best_threshold"] == 2.0
    assert found["auroc"] == pytest.approx(3 / 4)
    assert found["prevalence"] == 0.5


def test_missed_voxels_cap_recall_by_hand():
    # The same scan with two more lesion voxels that have no score.
    score, lesion = np.array([1.0, 4.0, 2.0, 3.0]), np.array([0, 1, 1, 0])
    found = evaluate_scores(score, lesion, missed=2)
    assert found["auprc"] == pytest.approx(0.25 * 1 + 0.25 * 2 / 3)
    assert found["best_dice"] == pytest.approx(4 / 7)
    assert found["auroc"] == pytest.approx(3 / 8)
    assert found["prevalence"] == pytest.approx(4 / 6)


def test_missed_voxels_are_those_that_rank_last_but_are_never_predicted():
    score, lesion = scores_and_lesion(3)
    missed = 11
    padded = np.append(score, np.full(missed, score.min() - 1)), np.append(lesion, np.full(missed, True))
    last_step = missed / (lesion.sum() + missed) * padded[1].mean()
    assert average_precision(score, lesion, missed) == pytest.approx(average_precision(*padded) - last_step)
    assert auroc(score, lesion, missed) == pytest.approx(auroc(*padded))


def test_perfect_scores_reach_one_and_constant_scores_reach_the_prevalence():
    lesion = np.arange(100) >= 90
    assert evaluate_scores(lesion * 2.0, lesion) == {
        "auprc": 1.0,
        "best_dice": 1.0,
        "best_threshold": 2.0,
        "auroc": 1.0,
        "prevalence": 0.1,
    }
    constant = evaluate_scores(np.full(100, 3.0), lesion)
    assert constant["auprc"] == pytest.approx(0.1)
    assert constant["best_dice"] == pytest.approx(2 * 10 / 110)
    assert constant["auroc"] == 0.5


def test_no_lesion_is_nan_and_a_lesion_wholly_missed_is_zero():
    score = np.arange(5.0)
    healthy = evaluate_scores(score, np.zeros(5))
    assert all(np.isnan(healthy[name]) for name in ("auprc", "best_dice", "best_threshold", "auroc"))
    assert healthy["prevalence"] == 0
    missed = evaluate_scores(score, np.zeros(5), missed=5)
    assert (missed["auprc"], missed["best_dice"], missed["auroc"]) == (0, 0, 0)
    assert missed["prevalence"] == 0.5
    assert np.isnan(missed["best_threshold"])


def test_all_lesion():
    found = evaluate_scores(np.arange(5.0), np.ones(5))
    assert (found["auprc"], found["best_dice"], found["best_threshold"]) == (1.0, 1.0, 0.0)
    assert np.isnan(found["auroc"])


def test_order_and_monotone_transforms_change_nothing_but_the_threshold():
    score, lesion = scores_and_lesion(1)
    before = evaluate_scores(score, lesion)
    shuffled = np.random.default_rng(0).permutation(score.size)
    assert evaluate_scores(score[shuffled], lesion[shuffled]) == before
    after = evaluate_scores(np.exp(score.astype(float)), lesion)
    assert {**after, "best_threshold": 0} == {**before, "best_threshold": 0}


def test_masked_voxels_are_left_out():
    score, lesion = scores_and_lesion(2)
    keep = np.random.default_rng(0).random(score.size) < 0.6
    hidden = np.where(keep, score, np.nan)
    masked = np.ma.masked_array(hidden, mask=~keep)
    assert average_precision(masked, lesion) == average_precision(score[keep], lesion[keep])
    assert best_dice(masked, np.ma.masked_array(lesion, mask=~keep)) == best_dice(score[keep], lesion[keep])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(bad):
    with pytest.raises(ValueError, match="1 scores are not finite"):
        average_precision(np.array([1.0, bad, 2.0]), np.array([0, 1, 1]))


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="shape"):
        best_dice(np.zeros(4), np.zeros(5))


def test_auroc_against_healthy_scans_matches_scikit_learn():
    generator = np.random.default_rng(5)
    healthy = [generator.normal(0, 2, (20, 10)) for _ in range(4)]
    lesion = generator.normal(1.5, 2, 450)
    healthy[0][0, :] = np.nan
    negatives = np.concatenate([scan[~np.isnan(scan)] for scan in healthy])
    truth = np.repeat([0, 1], [negatives.size, lesion.size])
    expected = roc_auc_score(truth, np.concatenate([negatives, lesion]))
    assert auroc_against(iter(healthy))(lesion) == pytest.approx(expected, abs=1e-3)
    assert auroc_against(healthy)(np.array(healthy)) == pytest.approx(0.5)


def test_auroc_against_healthy_scans_orders_signs_and_tiny_scores():
    assert auroc_against([np.array([-3.0, -1e-6, 0.0])])(np.array([1e-6, 2.0])) == 1.0
    assert auroc_against([np.array([-2.0])])(np.array([-8.0])) == 0.0
    assert auroc_against([np.array([0.0])])(np.array([-0.0])) == 0.5
    assert np.isnan(auroc_against([np.array([1.0])])(np.array([])))
    assert np.isnan(auroc_against([])(np.array([1.0])))


@pytest.mark.slow
def test_a_brain_at_1_mm_takes_under_half_a_second():
    score, lesion = scores_and_lesion(0, size=1_500_000, prevalence=0.01)
    start = time.perf_counter()
    evaluate_scores(score, lesion)
    assert time.perf_counter() - start < 0.5
