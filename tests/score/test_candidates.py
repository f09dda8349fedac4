"""Candidates of maps whose parts are known."""

from itertools import pairwise

import numpy as np
import pytest

from patch2loc.score.candidates import SMALLEST_ML, find_candidates

SHAPE = (20, 20, 20)
ML = 0.064  # of a voxel of 4 mm


def blob(rarity, corner, size, value):
    rarity[tuple(slice(start, start + size) for start in corner)] = value
    return rarity


def test_volume_excess_peak_and_place_are_those_of_the_parts():
    rarity = np.full(SHAPE, 1.0, np.float32)
    blob(rarity, (2, 3, 4), 2, 4.0)  # 8 voxels, 1 above the threshold
    blob(rarity, (10, 10, 10), 3, 3.5)  # 27 voxels, 0.5 above
    rarity[11, 12, 10] = 6.0
    labels, (first, second) = find_candidates(rarity, 3.0, ML)
    assert first.volume_ml == pytest.approx(27 * ML)
    assert first.excess == pytest.approx((26 * 0.5 + 3) * ML)
    assert first.peak == 6.0
    assert first.peak_voxel == (11, 12, 10)
    assert second.volume_ml == pytest.approx(8 * ML)
    assert second.excess == pytest.approx(8 * ML)
    assert second.peak_voxel == (2, 3, 4)  # of equal voxels the first
    assert labels.dtype == np.int16
    assert np.array_equal(labels == 1, (rarity > 3) & (np.arange(20)[:, None, None] > 5))
    assert np.array_equal(labels == 2, (rarity > 3) & (np.arange(20)[:, None, None] < 5))


def test_the_order_is_that_of_the_excess_not_of_size_or_height():
    rarity = np.zeros(SHAPE, np.float32)
    blob(rarity, (0, 0, 0), 3, 3.1)  # large and low: 2.7 voxels
    blob(rarity, (10, 0, 0), 2, 5.0)  # 16
    rarity[15:19, 15, 15] = 6.9  # small and high: 15.6
    _, candidates = find_candidates(rarity, 3.0, ML)
    assert [round(each.excess / ML, 3) for each in candidates] == [16, 15.6, 2.7]


def test_voxels_that_touch_by_a_corner_are_one_part_and_a_gap_makes_two():
    rarity = np.zeros(SHAPE, np.float32)
    for place in range(5):
        rarity[place, place, place] = 5
    rarity[0, 0, 7:11] = 5
    labels, candidates = find_candidates(rarity, 3.0, ML)
    assert [round(each.volume_ml / ML) for each in candidates] == [5, 4]
    assert labels[4, 4, 4] == labels[0, 0, 0] == 1


@pytest.mark.parametrize(("voxels", "count"), [(3, 0), (4, 1)])
def test_parts_below_the_smallest_volume_are_left_out(voxels, count):
    rarity = np.zeros(SHAPE, np.float32)
    rarity[:voxels, 0, 0] = 9
    labels, candidates = find_candidates(rarity, 3.0, 0.05)  # 0.15 and 0.2 ml
    assert SMALLEST_ML == 0.2
    assert len(candidates) == count
    assert np.count_nonzero(labels) == voxels * count
    assert len(find_candidates(rarity, 3.0, 0.05, smallest_ml=0.0)[1]) == 1


def test_the_threshold_itself_and_places_outside_the_brain_belong_to_none():
    rarity = np.full(SHAPE, 3.0, np.float32)
    rarity[:10] = np.nan
    labels, candidates = find_candidates(rarity, 3.0, ML)
    assert not labels.any()
    assert candidates == []


def test_parts_do_not_grow_with_the_threshold():
    rarity = np.random.default_rng(0).gamma(2.0, 1.0, SHAPE).astype(np.float32)
    labels = [find_candidates(rarity, threshold, ML, smallest_ml=0.0)[0] > 0 for threshold in (1, 2, 3, 4)]
    assert all((low | high).sum() == low.sum() > high.sum() for low, high in pairwise(labels))
    assert labels[0].sum() == np.count_nonzero(rarity > 1)


def test_a_map_that_is_turned_has_the_same_candidates_elsewhere():
    rarity = np.random.default_rng(1).gamma(2.0, 1.0, SHAPE).astype(np.float32)
    _, candidates = find_candidates(rarity, 4.0, ML)
    _, turned = find_candidates(rarity[::-1], 4.0, ML)
    assert len(candidates) > 5
    assert sorted(each.excess for each in turned) == pytest.approx(sorted(each.excess for each in candidates))
    assert {(19 - x, y, z) for x, y, z in (each.peak_voxel for each in turned)} == {
        each.peak_voxel for each in candidates
    }
