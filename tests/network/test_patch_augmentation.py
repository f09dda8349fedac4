"""Random changes of training patches: pose and edge of the brain, and patches drawn with what their pose needs."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from patch2loc.network.patch_augmentation import (
    ANGLE,
    LOG_SIZE,
    change_edge,
    change_patches,
    change_pose,
    margin,
)
from patch2loc.network.sampling import PatchPool

CHANGES = ("pose", "contrast", "edge")
PATCH = 24
REACH = margin(["pose"], PATCH)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def blobs(count):
    """Patches with their margins of a Gaussian around the center, 2 by 3.5 voxels, on a brain of small values."""
    x = torch.arange(PATCH + 2 * REACH, dtype=torch.float32) - PATCH // 2 - REACH
    blob = torch.exp(-(x[:, None] ** 2) / (2 * 2.0**2) - x**2 / (2 * 3.5**2)) + 1e-6
    return blob.expand(count, 1, *blob.shape).contiguous()


def moments(patches):
    """Centroid (n, 2) and covariance (n, 2, 2) of patches as densities, voxels from the center."""
    density = patches[:, 0].double() / patches.double().sum(dim=(1, 2, 3))[:, None, None]
    offset = torch.arange(PATCH, dtype=torch.float64) - PATCH // 2
    place = torch.stack(torch.meshgrid(offset, offset, indexing="ij"))
    mean = torch.einsum("nxy,cxy->nc", density, place)
    return mean, torch.einsum("nxy,cxy,dxy->ncd", density, place, place) - mean[:, :, None] * mean[:, None]


def test_a_pose_turns_and_resizes_around_the_center():
    patches = blobs(400)
    posed, brain = change_pose(patches, patches > 0, generator(), REACH)
    assert brain.all()
    mean, covariance = moments(posed)
    assert mean.abs().max() < 0.05
    variance, axes = torch.linalg.eigh(covariance)
    angle = torch.atan(axes[:, 1, 0] / axes[:, 0, 0])  # of the short axis, which lay along x
    assert angle.abs().max() < ANGLE + 0.02
    assert angle.max() > 0.7 * ANGLE
    assert angle.min() < -0.7 * ANGLE
    size = 0.5 * (variance.log() - torch.tensor([2.0, 3.5]).log() * 2)
    assert size.abs().max() < LOG_SIZE + 0.03  # interpolation widens a little
    assert size.max() > 0.7 * LOG_SIZE
    assert size.min() < -0.7 * LOG_SIZE
    untouched = (posed == blobs(1)[:, :, REACH:-REACH, REACH:-REACH]).all(dim=3).all(dim=2).flatten()
    assert 0.4 < untouched.float().mean() < 0.6


@pytest.mark.parametrize("patch", [8, 12, 24, 32])
def test_a_margin_holds_all_that_a_posed_patch_shows(patch):
    cut = torch.ones(500, 1, *[patch + 2 * margin(CHANGES, patch)] * 2)
    posed = change_patches(cut, generator(), ["pose"], patch)
    assert posed.shape == (500, 1, patch, patch)
    torch.testing.assert_close(posed, torch.ones_like(posed))
    assert margin(["contrast", "edge"], patch) == 0


def test_outside_the_brain_stays_exactly_0_at_any_pose():
    cut = blobs(100)
    cut[..., : PATCH // 2 + REACH, :] = 0
    changed = change_patches(cut, generator(), CHANGES, PATCH)
    assert (changed[..., : PATCH // 4, PATCH // 2] == 0).all()
    assert 0.35 < (changed == 0).float().mean() < 0.65


def test_an_edge_loses_one_voxel_or_none():
    brain = np.random.default_rng(0).normal(size=(1, 40, 40))
    brain = ndimage.gaussian_filter(brain, (0, 3, 3))[0] > 0
    patches = torch.from_numpy(brain.astype(np.float32)).expand(200, 1, 40, 40).contiguous()
    changed = change_edge(patches, patches > 0, generator())[:, 0].numpy() > 0
    eroded = ndimage.binary_erosion(brain, np.ones((3, 3)), border_value=1)
    smaller = [np.array_equal(each, eroded) for each in changed]
    same = [np.array_equal(each, brain) for each in changed]
    assert sum(smaller) + sum(same) == 200
    assert 70 < sum(smaller) < 130


def test_patches_are_drawn_with_their_margin_at_the_same_places():
    rng = np.random.default_rng(1)
    scans = [(rng.uniform(0.5, 1, (40, 36, 3)).astype(np.float32), np.ones((40, 36, 3), bool))]
    wide = PatchPool(scans, 12, "cpu", change=lambda cut, _: cut, margin=3)
    usual = PatchPool(scans, 12, "cpu")
    cut, place, height = wide.draw(generator(5), 64)
    expected, same_place, same_height = usual.draw(generator(5), 64)
    assert cut.shape == (64, 1, 18, 18)
    torch.testing.assert_close(cut[:, :, 3:-3, 3:-3], expected, rtol=0, atol=0)
    assert torch.equal(place, same_place)
    assert torch.equal(height, same_height)
    assert cut.min() == 0  # beyond the slice is nothing
