"""Lesion masks on the grid, by half of a voxel and by any of it."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from patch2loc.data.volumes import Grid
from patch2loc.preprocess.images import resample
from patch2loc.preprocess.lesions import carry_lesion


def random_pose(rng, degrees=25, stretch=0.1):
    """Affine map from grid to scan points, turned, stretched and shifted by parts of a voxel."""
    turn = Rotation.from_euler("xyz", rng.uniform(-degrees, degrees, 3), degrees=True).as_matrix()
    transform = sitk.AffineTransform(3)
    transform.SetMatrix((turn @ np.diag(1 + rng.uniform(-stretch, stretch, 3))).ravel().tolist())
    transform.SetTranslation(rng.uniform(-1, 1, 3).tolist())
    return transform


def centered(shape, voxel):
    """Affine of a volume around the origin."""
    affine = np.diag([*voxel, 1.0])
    affine[:3, 3] = -np.array(voxel) * (np.array(shape) - 1) / 2
    return affine


def spheres(shape, voxel, centers, radii):
    """Spheres, by voxel centers: (x, y, z) bool. Centers as shares of the extent, radii in mm."""
    points = np.moveaxis(np.indices(shape), 0, -1) * voxel
    extent = np.array(shape) * voxel
    return np.any(
        [
            ((points - extent * center) ** 2).sum(axis=-1) < radius**2
            for center, radius in zip(centers, radii, strict=True)
        ],
        axis=0,
    )


def carried(lesion, affine, grid, transform):
    return carry_lesion(lesion, affine, grid, transform=transform, mask=np.ones(grid.shape, bool))


@pytest.mark.parametrize("voxel", [(1.0, 1.0, 1.0), (0.94, 0.94, 1.2), (0.96, 0.96, 3.0)])
def test_any_is_the_released_code_s_rule_where_scan_and_grid_have_voxels_of_one_size(voxel):
    """It brings lesion masks to 1 mm by linear interpolation, and takes what is above 0."""
    rng = np.random.default_rng(0)
    grid = Grid((50, 50, 50), 1.0, (0.3, -0.2, 0.1))
    shape = tuple(np.ceil(50 / np.array(voxel)).astype(int))
    affine = centered(shape, voxel)
    for _ in range(5):
        lesion = spheres(shape, voxel, rng.uniform(0.25, 0.75, (4, 3)), [0.6, 2, 4, 7])
        transform = random_pose(rng)
        by_half, by_any, report = carried(lesion, affine, grid, transform)
        np.testing.assert_array_equal(by_any, resample(lesion, affine, grid, transform) > 0)
        assert not (by_half & ~by_any).any()
        assert report["any_ml"] == pytest.approx(by_any.sum() / 1000)


@pytest.mark.parametrize(("radius", "ratio"), [(2, 3.1), (3, 2.1), (5, 1.6), (10, 1.25)])
def test_volume_by_any_over_volume_by_half(radius, ratio):
    """Of spheres around a voxel of 1 mm, in random poses on a grid of 1 mm: how far the printed rows' truth is off."""
    rng = np.random.default_rng(radius)
    shape, grid = (33, 33, 33), Grid((33, 33, 33), 1.0, (0.0, 0.0, 0.0))
    lesion = spheres(shape, (1, 1, 1), [[16 / 33] * 3], [radius + 1e-6])
    found = [carried(lesion, centered(shape, (1, 1, 1)), grid, random_pose(rng, 180, 0)) for _ in range(20)]
    by_half, by_any = (np.mean([masks[kind].sum() for masks in found]) for kind in (0, 1))
    assert by_any / by_half == pytest.approx(ratio, rel=0.08)


def test_volume_by_any_is_that_of_a_sphere_at_the_corners_of_a_voxel():
    """A point counts if one of the eight voxels around it is lesion: on average the union of eight spheres."""
    rng = np.random.default_rng(4)
    shape, grid, radius = (16, 16, 16), Grid((16, 16, 16), 1.0, (0.0, 0.0, 0.0)), 3
    volumes = []
    for _ in range(200):
        lesion = spheres(shape, (1, 1, 1), [0.5 + rng.uniform(-0.5, 0.5, 3) / 16], [radius])
        volumes.append(carried(lesion, centered(shape, (1, 1, 1)), grid, random_pose(rng, 180, 0))[1].sum())
    points = np.moveaxis(np.mgrid[-4:5:0.1, -4:5:0.1, -4:5:0.1], 0, -1)
    corners = np.moveaxis(np.indices((2, 2, 2)), 0, -1).reshape(-1, 3)
    union = np.any([((points - corner) ** 2).sum(axis=-1) < radius**2 for corner in corners], axis=0)
    assert np.mean(volumes) == pytest.approx(union.sum() * 0.1**3, rel=0.01)


def test_on_a_coarse_grid_any_misses_no_lesion_voxel():
    rng = np.random.default_rng(1)
    shape, voxel, grid = (60, 60, 20), (0.5, 0.5, 2.0), Grid((15, 15, 15), 4.0, (0.0, 0.0, 0.0))
    affine, transform = centered(shape, voxel), random_pose(rng)
    for _ in range(20):
        lesion = np.zeros(shape, bool)
        lesion[(*rng.integers(15, 45, 2), rng.integers(6, 14))] = True
        by_half, by_any, report = carried(lesion, affine, grid, transform)
        assert report["lesions_kept_as_one_voxel"] == by_half.sum() == 1
        assert (by_any & by_half).any()
    center_only = resample(lesion, affine, grid, transform) > 0
    assert by_any.sum() > center_only.sum()


def test_a_mask_on_the_grid_s_own_voxels_stays_as_it_is():
    """Rounding errors of the interpolation are no lesion."""
    lesion = spheres((20, 20, 20), (1, 1, 1), [[0.5, 0.4, 0.6]], [4])
    grid = Grid((20, 20, 20), 1.0, (3.7, -11.3, 0.1))
    by_half, by_any, _ = carried(lesion, grid.affine, grid, sitk.AffineTransform(3))
    np.testing.assert_array_equal(by_half, lesion)
    np.testing.assert_array_equal(by_any, lesion)


def test_thick_slices_fill_half_of_voxels_far_from_their_middle():
    """A slice of 6 mm is 6 voxels of the grid, of which the outer ones must not be cut off."""
    lesion = np.zeros((20, 20, 9), bool)
    lesion[6:14, 6:14, 4] = True
    affine, grid = centered(lesion.shape, (1, 1, 6)), Grid((20, 20, 20), 1.0, (0.0, 0.0, 0.0))
    by_half, by_any, _ = carried(lesion, affine, grid, sitk.AffineTransform(3))
    # The profile of a linearly interpolated slice is a triangle of 12 mm, above one half along 6 mm.
    np.testing.assert_array_equal(np.flatnonzero(by_half.any(axis=(0, 1))), np.arange(7, 13))
    np.testing.assert_array_equal(np.flatnonzero(by_any.any(axis=(0, 1))), np.arange(4, 16))


def test_without_lesion_both_are_empty():
    lesion, grid = np.zeros((9, 9, 9), bool), Grid((9, 9, 9), 1.0, (0.0, 0.0, 0.0))
    by_half, by_any, report = carried(lesion, grid.affine, grid, sitk.AffineTransform(3))
    assert not by_half.any()
    assert not by_any.any()
    assert (report["grid_ml"], report["any_ml"]) == (0, 0)
