import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from patch2loc.metrics.ranking import average_precision, best_dice, evaluate_scores, rank, ranking_metrics
from patch2loc.metrics.released_code import (
    OURS,
    STEPS,
    bisected_dice,
    chosen_metrics,
    released_code_metrics,
    with_background,
)


@pytest.fixture(params=[-3.0, 0.0, 2.0])
def scan(request):
    """A noisy scan around a level, with a lesion that is partly outside the mask."""
    generator = np.random.default_rng(4)
    mask = np.zeros((20, 20, 8), bool)
    mask[3:17, 3:17, 1:7] = True
    lesion = np.zeros(mask.shape, bool)
    lesion[1:8, 8:12, 3:6] = True
    score = generator.normal(request.param + 2.0 * lesion, 1.0).round(1)
    return np.where(mask, score, np.nan), mask, lesion


def dice(found, lesion, missed=0):
    return 2 * (found & lesion).sum() / (found.sum() + lesion.sum() + missed)


def test_background_at_zero_is_the_grid_with_zeros(scan):
    heatmap, mask, lesion = scan
    filled = np.where(mask, heatmap, 0)
    row = released_code_metrics(heatmap, mask, lesion)
    assert row["auprc_background_zero"] == pytest.approx(
        average_precision_score(lesion.ravel(), filled.ravel())
    )
    assert row["best_dice_background_zero"] == pytest.approx(best_dice(filled, lesion))
    with_lost = released_code_metrics(heatmap, mask, lesion, lost=9)
    assert with_lost["auprc_background_zero"] == pytest.approx(average_precision(filled, lesion, 9))
    assert with_lost["best_dice_background_zero"] == pytest.approx(best_dice(filled, lesion, 9))


def test_what_is_not_varied_is_the_protocol(scan):
    heatmap, mask, lesion = scan
    missed = int((lesion & ~mask).sum()) + 9
    row = released_code_metrics(heatmap, mask, lesion, lost=9)
    assert row["auprc"] == average_precision(heatmap[mask], lesion[mask], missed)
    assert row["best_dice"] == best_dice(heatmap[mask], lesion[mask], missed)


def test_background_above_confident_brain_costs_precision():
    mask = np.zeros((10, 10, 10), bool)
    mask[3:7, 3:7, 3:7] = True
    lesion = np.zeros(mask.shape, bool)
    lesion[4, 4, 4] = True
    row = released_code_metrics(np.where(mask, np.where(lesion, -1.0, -2.0), np.nan), mask, lesion)
    assert row["auprc"] == 1
    assert row["auprc_background_zero"] == pytest.approx(1 / (1000 - 64 + 1))
    above = released_code_metrics(np.where(mask, np.where(lesion, 1.0, -2.0), np.nan), mask, lesion)
    assert above["auprc_background_zero"] == 1


def test_more_voxels_in_a_ranking_are_as_if_they_had_been_ranked(scan):
    heatmap, mask, lesion = scan
    before = rank(heatmap[mask], lesion[mask], missed=20)
    score = np.append(heatmap[mask], np.full(50, 0.5))
    truth = np.append(lesion[mask], np.arange(50) < 12)
    assert ranking_metrics(with_background(before, 0.5, 12, 38)) == ranking_metrics(
        rank(score, truth, missed=8)
    )


def test_bisection_is_the_best_of_the_thresholds_that_it_visits(scan):
    heatmap, mask, lesion = scan
    score, truth = heatmap[mask], lesion[mask]
    visited, low, high = [], 0.0, score.max() if score.max() > 0 else 1.0
    for _ in range(STEPS):
        places = [low + (high - low) * share for share in (0.25, 0.75)]
        pair = [dice(score > place, truth, 5) for place in places]
        visited += pair
        middle = (low + high) / 2
        low, high = (low, middle) if pair[0] >= pair[1] else (middle, high)
    found = bisected_dice(rank(score, truth, 5))
    assert found == pytest.approx(max(visited))
    assert found <= best_dice(score, truth, 5) + 1e-12


def test_bisection_stops_short_of_a_peak_in_the_worse_half():
    # Dice is best for thresholds in 0.5 to 0.6, but the quarter at 2.5 is beaten by three quarters, 7.5.
    score = np.concatenate([[10.0], np.full(6, 0.6), np.full(4, 0.5), np.zeros(5)])
    lesion = np.concatenate([[True], np.full(6, True), np.zeros(9, bool)]).astype(bool)
    high = np.append(score, np.full(3, 5.0)), np.append(lesion, np.zeros(3, bool))
    assert bisected_dice(rank(*high)) < best_dice(*high) - 0.1


def test_bisection_finds_nothing_where_no_score_is_positive_and_nothing_is_nan():
    score, lesion = np.linspace(-5, -1, 50), np.arange(50) > 40
    assert bisected_dice(rank(score, lesion)) == 0
    assert best_dice(score, lesion) == 1
    assert np.isnan(bisected_dice(rank(score, np.zeros(50))))


def test_a_healthy_scan_has_no_variants(scan):
    heatmap, mask, _ = scan
    assert np.isnan(list(released_code_metrics(heatmap, mask, np.zeros(mask.shape, bool)).values())).all()


@pytest.mark.parametrize("background", ["left-out", "zero"])
@pytest.mark.parametrize("best_dice", ["exact", "bisection"])
def test_chosen_metrics_are_those_of_the_voxels_that_are_ranked(background, best_dice):
    """Background at 0: the same as scoring the whole grid with zeros outside the mask."""
    generator = np.random.default_rng(4)
    shape = (12, 10, 8)
    mask, lesion = generator.random(shape) < 0.6, generator.random(shape) < 0.1
    heatmap = np.where(mask, generator.normal(0.3, 1, shape) + 1.5 * lesion, np.nan).astype(np.float32)
    outside = int((lesion & ~mask).sum())
    ranking = rank(heatmap[mask], lesion[mask], outside + 3)
    choices = {"background": background, "best_dice": best_dice, "off_grid": "missed"}
    found = chosen_metrics(ranking, mask, lesion, choices)
    if background == "zero":
        expected = evaluate_scores(np.where(mask, heatmap, 0), lesion, 3)
    else:
        expected = evaluate_scores(heatmap[mask], lesion[mask], outside + 3)
    for name in ("auprc", "auroc", "prevalence"):
        assert found[name] == pytest.approx(expected[name])
    if best_dice == "exact":
        assert found == pytest.approx(expected)
        return
    predicted = np.where(mask, heatmap, 0) > found["best_threshold"]
    dice = 2 * (predicted & lesion).sum() / (predicted.sum() + lesion.sum() + 3)
    assert found["best_dice"] == pytest.approx(dice)
    assert found["best_dice"] <= expected["best_dice"]
    assert found["best_dice"] == bisected_dice(ranking)


def test_confident_brain_ranks_below_the_background():
    """Negative scores everywhere: background at 0 is then the most abnormal, and the precision falls."""
    mask = np.ones((4, 4, 4), bool)
    mask[2:] = False
    lesion = np.zeros_like(mask)
    lesion[0, 0, :2] = True
    heatmap = np.where(mask, np.where(lesion, -1.0, -2.0), np.nan)
    ranking = rank(heatmap[mask], lesion[mask])
    ours = chosen_metrics(ranking, mask, lesion, OURS)
    theirs = chosen_metrics(ranking, mask, lesion, {**OURS, "background": "zero"})
    assert (ours["auprc"], ours["best_dice"]) == (1, 1)
    assert theirs["auprc"] == pytest.approx(2 / 34)
    assert theirs["best_dice"] == pytest.approx(4 / 36)
    assert chosen_metrics(ranking, mask, lesion, {**OURS, "best_dice": "bisection"})["best_dice"] == 0
