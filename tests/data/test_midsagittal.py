import nibabel as nib
import numpy as np
import pytest

from patch2loc.data.midsagittal import midline_location, midline_mm, midsagittal_plane, mirrored
from patch2loc.data.volumes import Grid
from patch2loc.preprocess.atlas import common_grid, load_atlas


def symmetric(shape, plane, seed=0):
    """Smooth texture in an ellipsoid that is its own mirror image about a plane of constant x."""
    x, y, z = np.indices(shape)
    distance = np.abs(x - plane)
    inside = (distance / 9) ** 2 + ((y - shape[1] / 2) / 11) ** 2 + ((z - shape[2] / 2) / 5) ** 2 < 1
    return np.where(inside, 1 + np.sin(distance / 2 + seed) * np.cos(y / 3), 0).astype(np.float32)


def test_a_mirrored_volume_is_mirrored_about_its_plane():
    volume = np.arange(6.0)[:, None, None] * np.ones((1, 2, 2))
    np.testing.assert_array_equal(mirrored(volume, 2.5)[:, 0, 0], [5, 4, 3, 2, 1, 0])
    np.testing.assert_array_equal(mirrored(volume, 2.0)[:, 0, 0], [4, 3, 2, 1, 0, 0])
    np.testing.assert_array_equal(mirrored(volume, 3.5)[:, 0, 0], [0, 0, 5, 4, 3, 2])


@pytest.mark.parametrize("plane", [15.5, 14.0, 18.5])
def test_the_midline_is_where_the_brain_is_and_not_in_the_middle_of_its_grid(plane):
    image = symmetric((32, 28, 12), plane)
    assert midsagittal_plane(image, 1.0) == plane
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[0, 3] = -100.0  # the origin is nowhere near the brain, as in SRI24
    millimeters = -100 + 2 * plane
    # Ten voxels of 4 mm, whose middle lies 3 mm to the right of the plane.
    grid = Grid((10, 10, 4), 4.0, (millimeters + 3, 0.0, 0.0))
    first = millimeters + 3 - 4 * 4.5
    assert midline_location(image, affine, grid) == pytest.approx(100 * (millimeters - first) / 4 / 10)


@pytest.mark.parametrize(("shape", "spacing"), [((192, 192, 100), 1.0), ((96, 96, 50), 2.0)])
def test_the_midline_of_icbm152_is_at_zero_millimeters_of_its_coordinates(shape, spacing):
    atlas = load_atlas("icbm152", "T1")
    grid = common_grid(atlas, shape, spacing)
    voxel_at_zero = -grid.affine[0, 3] / spacing
    assert midline_location(atlas.image, atlas.affine, grid) == pytest.approx(100 * voxel_at_zero / shape[0])


def test_the_midline_of_an_atlas_with_its_origin_at_a_corner_is_found_in_its_crop(tmp_path):
    """As SRI24 is stored: x from right to left, the origin in the first voxel."""
    stored = np.zeros((60, 50, 40), np.float32)
    stored[:32, :28, :12] = symmetric((32, 28, 12), 15.5)
    stored = np.roll(stored, (13, 10, 12), (0, 1, 2))
    nib.save(nib.Nifti1Image(stored, np.diag([-1.0, 1, 1, 1])), tmp_path / "spgr.nii")
    atlas = load_atlas(tmp_path, "T1")
    grid = common_grid(atlas, (40, 40, 20), 1.0)
    # Voxel 28.5 from the right is voxel 30.5 from the left, and the crop starts at voxel 10.
    assert midline_location(atlas.image, atlas.affine, grid) == pytest.approx(100 * 20.5 / 40)
    assert midline_mm(atlas.image, atlas.affine) == pytest.approx(-28.5)


@pytest.mark.parametrize(("size", "spacing"), [(40, 1.0), (41, 2.0), (9, 1.0)])
def test_the_plane_is_the_one_whose_mirror_image_differs_least_from_the_volume(size, spacing):
    volume = np.random.default_rng(size).normal(size=(size, 4, 5))
    reach = round(2 * 10.0 / spacing)
    doubles = [size - 1 + offset for offset in range(-reach, reach + 1)]
    planes = [double / 2 for double in doubles if 0 <= double <= 2 * (size - 1)]
    differences = [np.abs(volume - mirrored(volume, plane)).sum() for plane in planes]
    assert midsagittal_plane(volume, spacing) == planes[np.argmin(differences)]
