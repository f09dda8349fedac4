import numpy as np
import pytest
import SimpleITK as sitk

from patch2loc.data.volumes import Grid
from patch2loc.own_scan.native_labels import labels_on_scan
from patch2loc.score.candidates import find_candidates

GRID = Grid((40, 48, 36), 2.0, (0.0, 0.0, 0.0))


@pytest.fixture
def found():
    rarity = np.zeros(GRID.shape)
    rarity[5:11, 8:14, 10:16] = 6.0  # 216 voxels
    rarity[8, 10, 12] = 7.0
    rarity[30:33, 30:33, 20:23] = 4.0  # 27 voxels
    rarity[31, 31, 21] = 5.0
    return find_candidates(rarity, 3.0, GRID.voxel_ml)


def shifted(millimeters):
    """Atlas to scan: shifted, LPS mm as SimpleITK has them."""
    transform = sitk.AffineTransform(3)
    transform.SetTranslation([-millimeters[0], -millimeters[1], millimeters[2]])
    return transform


def test_each_voxel_has_the_label_of_the_nearest_one(found):
    labels, candidates = found
    fine = GRID.affine @ np.diag([0.5, 0.5, 0.5, 1])
    fine[:3, 3] = GRID.affine[:3, 3] - 0.5  # a voxel of the grid is 2 x 2 x 2 of the scan
    move = (6.0, -4.0, 10.0)
    affine = fine.copy()
    affine[:3, 3] += move
    native = labels_on_scan(
        labels,
        candidates,
        GRID,
        shifted(move),
        shape=tuple(2 * size for size in GRID.shape),
        affine=affine,
    )
    assert native.dtype == np.int16
    np.testing.assert_array_equal(native, labels.repeat(2, 0).repeat(2, 1).repeat(2, 2))


def test_a_scan_stored_the_other_way_round_has_them_there(found):
    labels, candidates = found
    affine = GRID.affine @ np.diag([-1.0, 1, 1, 1])
    affine[0, 3] = -GRID.affine[0, 3]
    native = labels_on_scan(labels, candidates, GRID, shifted((0, 0, 0)), shape=GRID.shape, affine=affine)
    np.testing.assert_array_equal(native, labels[::-1])


def test_no_candidate_vanishes_between_thick_slices(found):
    labels, candidates = found
    thick = GRID.affine.copy()
    thick[2] = [0, 0, 12.0, GRID.affine[2, 3] + 4.0]  # slices at voxels 2, 8, 14, 20 and so on of the grid
    shape = (*GRID.shape[:2], 6)
    thick[2, 3] += 2.0 * 4  # 6, 12, 18, 24, ...: none of them in the second candidate
    native = labels_on_scan(labels, candidates, GRID, shifted((0, 0, 0)), shape=shape, affine=thick)
    counts = np.bincount(native.ravel(), minlength=3)
    assert counts[1] == 36
    assert counts[2] == 1
    assert native[31, 31, 2] == 2  # slice at voxel 18, nearest to 21 with the one at 24, which comes later
