from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from patch2loc.metrics.parts import (
    EDGE_DISTANCES,
    EDGE_HIGHEST,
    EDGE_SCORE,
    HIGHEST,
    PARTS,
    Setting,
    edge_measures,
    lesion_measures,
    of_setting,
)
from patch2loc.metrics.ranking import evaluate_scores, rank, ranking_metrics


def by_bin(score, distance):
    ranking = rank(score, np.zeros(len(score), bool))
    found = {name: {} for name in (EDGE_SCORE, EDGE_HIGHEST)}
    for measure in edge_measures(ranking, score, distance):
        found[measure.metric][measure.low, measure.high] = measure.value
    return found


def test_a_score_that_is_the_distance_has_the_mean_of_each_bin_and_is_highest_in_the_last():
    distance = np.arange(0.5, 100.5)
    found = by_bin(distance.astype(np.float32), distance)
    assert found[EDGE_SCORE] == {
        bounds: distance[(distance >= bounds[0]) & (distance < bounds[1])].mean()
        for bounds in pairwise(EDGE_DISTANCES)
    }
    assert found[EDGE_HIGHEST][24, np.inf] == pytest.approx(HIGHEST * 100 / 76)
    assert sum(found[EDGE_HIGHEST].values()) == found[EDGE_HIGHEST][24, np.inf]


def test_without_an_effect_of_the_edge_every_bin_has_the_same_share_of_the_highest():
    generator = np.random.default_rng(0)
    distance = generator.uniform(0, 30, 400_000)
    found = by_bin(generator.normal(size=len(distance)).astype(np.float32), distance)
    np.testing.assert_allclose(list(found[EDGE_HIGHEST].values()), HIGHEST, rtol=0.2)


def test_a_bin_without_a_voxel_has_no_row_and_a_slice_without_an_edge_counts_in_none():
    score = np.array([1.0, 2, 9], np.float32)
    found = by_bin(score, np.array([1.0, 1.9, np.nan]))
    assert found[EDGE_SCORE] == {(0, 2): 1.5}
    assert found[EDGE_HIGHEST] == {(0, 2): 0}  # that in the slice without an edge is the highest


def test_lesions_are_measured_as_everywhere():
    generator = np.random.default_rng(1)
    score, lesion = generator.normal(size=500), generator.random(500) < 0.1
    expected = evaluate_scores(score, lesion, 7)
    found = {
        measure.metric: measure.value for measure in lesion_measures(ranking_metrics(rank(score, lesion, 7)))
    }
    assert found == {name: expected[name] for name in ("auprc", "best_dice")}


def test_the_log_variance_is_of_a_setting_with_any_epsilon():
    rows = [(part, epsilon, 3, 1) for part in PARTS[:2] for epsilon in (0.1, 0.5)]
    table = pd.DataFrame([*rows, ("log_variance", np.nan, 3, 1)], columns=Setting._fields)
    assert list(of_setting(table, Setting("log_error", 0.5, 3, 1))) == [False, False, False, True, False]
    assert list(of_setting(table, Setting("log_variance", 0.5, 3, 1))) == [False] * 4 + [True]
    assert not of_setting(table, Setting("log_variance", 0.5, 3, 2)).any()
