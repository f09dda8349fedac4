import numpy as np
import pytest
from scipy import ndimage

from patch2loc.data import icbm152, volumes
from patch2loc.preprocess.masks import (
    box_around,
    center_of,
    closed_by_a_voxel,
    eroded,
    largest_part,
    largest_part_filled,
    within,
)


def random_mask(shape=(30, 34, 28), order="C"):
    """Parts of many shapes, some at the ends of the array, none at one of them."""
    noise = np.random.default_rng(2).normal(size=shape)
    mask = ndimage.gaussian_filter(noise, 2.0) > 0.02
    mask[:3] = False
    return np.asarray(mask, order=order)


def test_the_largest_part_is_taken_and_its_holes_filled():
    mask = np.zeros((12, 10, 9), bool)
    mask[1:8, 2:8, 3:8] = True  # touches no edge
    mask[3:5, 4:6, 5] = False  # a hole
    mask[10, 8, 1] = True
    expected = np.zeros_like(mask)
    expected[1:8, 2:8, 3:8] = True
    assert largest_part(mask).sum() == 7 * 6 * 5 - 4
    np.testing.assert_array_equal(largest_part_filled(mask), expected)


def test_filling_in_the_box_around_the_mask_is_filling_in_the_whole_array():
    rng = np.random.default_rng(1)
    for _ in range(5):
        mask = np.zeros((20, 22, 18), bool)
        mask[4:, 3:15, :12] = ndimage.gaussian_filter(rng.normal(size=(16, 12, 12)), 1.0) > 0
        np.testing.assert_array_equal(
            largest_part_filled(mask), ndimage.binary_fill_holes(largest_part(mask))
        )


def test_an_empty_mask_stays_empty():
    empty = np.zeros((4, 4, 4), bool)
    assert not largest_part(empty).any()
    assert not largest_part_filled(empty).any()


def test_the_atlas_brain_is_one_part_without_holes():
    """As `atlas` takes it: to find that out costs more than to read it."""
    mask = volumes.read(icbm152.map_path("t1"))[0] > 0
    np.testing.assert_array_equal(largest_part_filled(mask), mask)


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_box_and_the_center_of_a_mask_are_those_of_its_voxels(order):
    mask = random_mask(order=order)
    assert box_around(mask) == ndimage.find_objects(mask.astype(np.uint8))[0]
    np.testing.assert_allclose(center_of(mask), np.argwhere(mask).mean(axis=0), rtol=1e-14)


@pytest.mark.parametrize("voxels", [1, 2, 3])
@pytest.mark.parametrize("order", ["C", "F"])
def test_erosion_is_that_of_scipy(voxels, order):
    mask = random_mask(order=order)
    expected = ndimage.binary_erosion(mask, iterations=voxels)
    assert expected.any()
    np.testing.assert_array_equal(eroded(mask, voxels), expected)
    assert not eroded(np.zeros((4, 4, 4), bool), voxels).any()


def test_a_closing_by_a_voxel_is_that_of_scipy_by_a_cube():
    mask = random_mask()
    expected = ndimage.binary_closing(np.pad(mask, 2), np.ones((3, 3, 3)))
    assert expected.sum() > mask.sum()
    np.testing.assert_array_equal(closed_by_a_voxel(mask), expected)


@pytest.mark.parametrize(
    "spacing", [(2.0, 2.0, 2.0), (1.8, 1.8, 5.5), (1.72, 2.4, 2.03), (1 + 4e-8, 1 - 5e-9, 1.0)]
)
@pytest.mark.parametrize("distance", [3.0, 5.0, 8.0])
def test_what_is_within_a_distance_is_that_of_a_distance_map(spacing, distance):
    seeds = np.zeros((20, 24, 21), bool)
    seeds[tuple(np.random.default_rng(3).integers(0, 20, (3, 12)))] = True
    exact = np.round(
        spacing, 6
    )  # a header's rounding does not decide where a distance is one of whole voxels
    expected = ndimage.distance_transform_edt(~seeds, sampling=exact) <= distance + 1e-9
    assert seeds.sum() < expected.sum() < expected.size
    np.testing.assert_array_equal(within(seeds, distance, np.array(spacing)), expected)
    assert not within(np.zeros_like(seeds), distance, np.array(spacing)).any()
