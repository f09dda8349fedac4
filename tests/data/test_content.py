"""A scan is known by its voxels, wherever and however they are stored."""

import gzip
import hashlib

import nibabel as nib
import numpy as np
import pytest
from poses import rigid

from patch2loc.data import volumes
from patch2loc.data.content import content_hash

VOXELS = np.random.default_rng(1).integers(0, 900, (7, 6, 5)).astype(np.int16)
AFFINE = rigid((4, -8, 12), (15, -10, 20)) @ np.diag([0.9375, 0.9375, 1.2, 1])


def content(path, image):
    nib.save(image, path)
    return content_hash(*volumes.read(path))


@pytest.fixture
def original(tmp_path):
    return content(tmp_path / "original.nii", nib.Nifti1Image(VOXELS, AFFINE))


def test_the_hash_is_of_shape_and_voxels_in_the_order_of_files():
    """By hand: an image that is RAS has the order of a NIfTI file, x fastest, after its header."""
    stored = nib.Nifti1Image(VOXELS.astype("<f4"), np.diag([2.0, 1, 1, 1])).to_bytes()[352:]
    found = content_hash(VOXELS, np.diag([2.0, 1, 1, 1]))
    assert found == hashlib.sha256(b"(7, 6, 5)" + stored).hexdigest()


@pytest.mark.parametrize(
    "storage",
    [
        [[0, -1], [1, 1], [2, 1]],
        [[1, 1], [0, 1], [2, 1]],
        [[2, -1], [0, -1], [1, 1]],
        [[1, -1], [2, -1], [0, -1]],
    ],
)
def test_another_order_of_storage_is_the_same_scan(storage, original, tmp_path):
    image = nib.Nifti1Image(VOXELS, AFFINE).as_reoriented(np.array(storage))
    assert image.shape != VOXELS.shape or not np.array_equal(image.dataobj, VOXELS)
    assert content(tmp_path / "other.nii.gz", image) == original


@pytest.mark.parametrize("dtype", [">i2", "<u2", "<i4", "<f4", ">f4", "<f8"])
def test_another_type_of_number_is_the_same_scan(dtype, original, tmp_path):
    assert content(tmp_path / "other.nii", nib.Nifti1Image(VOXELS.astype(dtype), AFFINE)) == original


def test_names_compression_scaling_place_and_voxel_size_are_not_content(original, tmp_path):
    (tmp_path / "sub-02_T1w.nii.gz").write_bytes(gzip.compress((tmp_path / "original.nii").read_bytes()))
    assert content_hash(*volumes.read(tmp_path / "sub-02_T1w.nii.gz")) == original
    assert content(tmp_path / "pair.img", nib.Nifti1Pair(VOXELS, AFFINE)) == original
    halved = nib.Nifti1Image(VOXELS * 2, AFFINE)
    halved.header.set_slope_inter(0.5, 0)
    assert content(tmp_path / "scaled.nii", halved) == original
    moved = AFFINE.copy()
    moved[:3, 3] += 30
    assert content(tmp_path / "moved.nii", nib.Nifti1Image(VOXELS, moved)) == original
    other_size = AFFINE @ np.diag([1.0001, 1.0001, 1.0001, 1])
    assert content(tmp_path / "size.nii", nib.Nifti1Image(VOXELS, other_size)) == original
    assert content_hash(-0.0 * VOXELS, AFFINE) == content_hash(0 * VOXELS, AFFINE)


def test_one_voxel_a_section_or_a_mirror_make_another_scan(original):
    changed = VOXELS.copy()
    changed[3, 2, 1] += 1
    others = [changed, VOXELS[:-1], VOXELS[::-1], VOXELS.reshape(6, 7, 5), 2 * VOXELS, VOXELS[:, ::-1]]
    hashes = {content_hash(other, AFFINE) for other in others}
    assert len(hashes | {original}) == len(others) + 1
    # The same bytes with left and right exchanged by the header alone.
    assert content_hash(VOXELS, AFFINE @ np.diag([-1.0, 1, 1, 1])) != original
