"""A scan gets a background of 0 and no brightness below it, and places that hold nothing are no brain."""

import numpy as np
import pytest
from contrasts import brain_of, preprocessed
from heads import SETTINGS

from patch2loc.acquire.phantom import simulate_subject
from patch2loc.data import volumes
from patch2loc.preprocess.background import EMPTY_ML, from_zero, without_empty, zero_flags


@pytest.fixture(scope="module")
def brain():
    """A stripped T1 brain, (x, y, z) float32, 0 outside; its affine."""
    array, affine = brain_of("T1")
    return array.astype(np.float32), affine


@pytest.fixture(scope="module")
def head():
    return simulate_subject("healthy", 1, 7, SETTINGS)["T1"].array.astype(np.float32)


def scores(array):
    inside = array > 0
    return (array - array[inside].mean()) / array[inside].std()


def test_a_scan_without_negative_values_is_left_as_it_is(brain, head):
    for array in (brain[0], head):
        moved, shift = from_zero(array)
        assert moved is array
        assert shift == 0


def test_a_constant_background_becomes_zero_and_the_brain_stays(brain):
    moved, shift = from_zero(np.where(brain[0] > 0, brain[0], np.float32(-1)))
    np.testing.assert_array_equal(moved, brain[0])
    assert shift == 0


@pytest.mark.parametrize(("offset", "flagged"), [(1.0, False), (1000.0, True)])
def test_what_was_added_to_a_scan_with_a_constant_background_is_taken_away(offset, flagged, brain):
    array, _ = brain
    stored = array + np.float32(offset)
    moved, shift = from_zero(stored)
    np.testing.assert_allclose(moved, array, atol=1e-3)
    assert shift == -offset
    assert [flag[:19] for flag in zero_flags(shift, stored, array > 0)] == ["background of 1000 "] * flagged


def test_the_ringing_of_interpolation_below_zero_is_left(brain):
    ringing = brain[0].copy()
    ringing[0, 0, 1:9] = -0.1 * ringing.max()
    assert from_zero(ringing)[0] is ringing


STRIPPED = {
    "z-scores, 0 outside": lambda array: np.where(array > 0, scores(array), 0),
    "z-scores, lowest outside": lambda array: np.where(
        array > 0, scores(array), scores(array)[array > 0].min()
    ),
    "from -1 to 1, -1 outside": lambda array: 2 * array / array.max() - 1,
    "an intercept of -1024": lambda array: array - 1024,
    "1 outside": lambda array: np.where(array > 0, array, 1),
}


@pytest.mark.parametrize("change", STRIPPED.values(), ids=STRIPPED)
def test_the_brain_of_a_stripped_scan_is_all_above_zero(change, brain):
    array, _ = brain
    moved, _ = from_zero(change(array).astype(np.float32))
    assert np.count_nonzero((moved > 0) != (array > 0)) <= 1  # the darkest voxel can be what is outside
    inside = array > 0
    assert np.corrcoef(moved[inside], array[inside])[0, 1] > 0.999


@pytest.mark.parametrize("offset", [-1024.0, -0.4 * 1500])
def test_a_head_with_an_intercept_starts_at_zero_again(offset, head):
    array = 1500 * head / np.percentile(head, 99)
    moved, shift = from_zero((array + np.float32(offset)).astype(np.float32))
    assert moved.min() >= 0
    assert shift == pytest.approx(-offset - np.percentile(array, 0.1), abs=1)


def test_a_scan_that_was_moved_is_read_whole_and_flagged(brain, tmp_path):
    array, affine = brain
    volumes.write(tmp_path / "plain.nii.gz", array, affine)
    volumes.write(tmp_path / "scores.nii.gz", STRIPPED["z-scores, 0 outside"](array), affine)
    plain, moved = (preprocessed(tmp_path / f"{name}.nii.gz", "T1") for name in ("plain", "scores"))
    np.testing.assert_array_equal(moved.mask, plain.mask)
    assert (plain.qc["brightness_shift"], plain.qc["flags"]) == (0, [])
    (flag,) = moved.qc["flags"]
    assert "of the brain lies below 0, none expected" in flag


def test_a_place_that_holds_nothing_is_no_brain(brain):
    array, affine = brain
    mask = array > 0
    hole = np.s_[40:50, 50:60, 40:50]
    emptied = array.copy()
    emptied[hole] = 0
    expected = mask.copy()
    expected[hole] = False
    np.testing.assert_array_equal(without_empty(mask, emptied, affine), expected)


def test_black_voxels_and_a_mask_that_is_too_wide_are_left(brain):
    array, affine = brain
    mask = np.pad(array > 0, 2, mode="edge")
    speckled = np.pad(array, 2, mode="edge")
    speckled[40:43, 50:53, 40:43] = 0  # 0.2 ml
    assert EMPTY_ML > 27 * 8e-3
    wide = mask.copy()
    for axis in range(3):
        wide |= np.roll(mask, 1, axis) | np.roll(mask, -1, axis)
    np.testing.assert_array_equal(without_empty(wide, speckled, affine), wide)
