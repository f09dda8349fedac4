import numpy as np
from scipy import ndimage

from patch2loc.preprocess.masks import largest_part, largest_part_filled


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
