"""Post-processing of the rows of Table 1 as their authors do it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scans import disc_scans
from scipy import ndimage
from scipy.stats import rankdata

from patch2loc import models
from patch2loc.data.volumes import block
from patch2loc.method_interface import declaration
from patch2loc.methods.reconstruction.residual import residual_score
from patch2loc.score.postprocessing import as_published, eroded
from patch2loc.score.scoring import heatmaps_with


def test_erosion_takes_three_voxels_of_every_slice_along_a_cross():
    mask = np.zeros((20, 20, 3), bool)
    mask[2:18, 4:16, 1] = True
    kept = eroded(mask, 3)
    expected = np.zeros_like(mask)
    expected[5:15, 7:13, 1] = True  # a slice between empty ones loses nothing along z
    assert np.array_equal(kept, expected)
    hole = np.ones((15, 15, 1), bool)
    hole[7, 7] = False
    x, y = np.indices((15, 15)) - 7
    inside = np.minimum(7 - abs(x), 7 - abs(y)) >= 3  # beyond the edge there is no brain
    assert np.array_equal(eroded(hole, 3)[:, :, 0], inside & (abs(x) + abs(y) > 3))
    assert np.array_equal(eroded(hole, 0), hole)


def test_the_native_score_is_the_median_of_the_masked_map():
    rng = np.random.default_rng(1)
    mask = ndimage.binary_dilation(np.pad(np.ones((1, 1, 1), bool), 9), iterations=8)
    values = rng.uniform(size=mask.shape).astype(np.float32)
    beyond = ndimage.binary_dilation(mask)
    found = as_published(np.where(beyond, values, np.nan), mask, 2.0, erosion=2, median=5)
    assert np.array_equal(np.isfinite(found), mask)
    masked = np.pad(np.where(eroded(mask, 2), values, 0), 2, mode="symmetric")
    for x, y, z in np.argwhere(mask)[::50]:
        assert found[x, y, z] == np.median(masked[x : x + 5, y : y + 5, z : z + 5])
    assert (found[mask & ~ndimage.binary_erosion(mask)] == 0).any()  # the rim is not scored


@pytest.mark.parametrize("shape", [(16, 12, 8), (15, 11, 7)])
def test_on_a_grid_of_1_mm_widths_are_of_2_mm(shape):
    mask = np.ones(shape, bool)
    values = np.zeros(shape, np.float32)
    values[6:8, 4:6, 2:4] = 8.0
    values[6, 4, 2] = 0.0
    without_median = as_published(values, mask, 1.0, erosion=1, median=1)
    expected = np.zeros(shape)
    expected[6:8, 4:6, 2:4] = 7.0  # the mean of a cube
    np.testing.assert_allclose(without_median, expected)
    # Less than 6 mm from the edge: all of it is rim.
    assert not as_published(values, mask, 1.0, erosion=3, median=1).any()


def test_coarser_grids_are_taken_as_they_are():
    assert [block(spacing) for spacing in (0.5, 1.0, 2.0, 4.0)] == [4, 2, 1, 1]


@pytest.mark.parametrize("shape", [(40, 36, 16), (39, 35, 15)])
def test_a_residual_of_slices_is_post_processed_before_it_is_brought_to_a_grid_of_1_mm(shape, monkeypatch):
    ((volume, mask),) = disc_scans(1, 3, shape, noise=0.1)

    def scorer(state, device, stride, precision):
        return residual_score(lambda slices: 0.5 * slices**2, device, 1.0)

    method = SimpleNamespace(scorer=scorer)
    monkeypatch.setattr(models, "method", lambda name: method)
    model = {"method": "half the square", "state": {}, "grid": {"spacing": 1.0}}
    heatmaps = heatmaps_with(
        model,
        "cpu",
        stride=1,
        median_filter=3,
        precision="float32",
        as_published={"erosion": 2, "median": 3},
    )
    common, found = heatmaps(volume, mask)
    # The reference: all of it on voxels of 2 mm, and their values for the eight voxels of 1 mm in each.
    even = np.pad(np.stack([volume, mask]), [(0, 0), *((0, -size % 2) for size in shape)])
    x, y, z = (size // 2 for size in even.shape[1:])
    scan, brain = even.reshape(2, x, 2, y, 2, z, 2).mean(axis=(2, 4, 6), dtype=np.float64)
    inside = ndimage.binary_erosion(brain >= 0.5, ndimage.generate_binary_structure(2, 1)[:, :, None], 2)
    filtered = ndimage.median_filter(np.abs(scan - 0.5 * scan**2) * inside, 3)
    expected = np.kron(filtered, np.ones((2, 2, 2)))[: shape[0], : shape[1], : shape[2]]
    assert inside.sum() > 100
    np.testing.assert_allclose(found, np.where(mask, expected, np.nan), atol=1e-6)
    assert np.array_equal(np.isfinite(common), mask)
    assert not np.allclose(common[mask], found[mask], atol=0.01)


@pytest.mark.parametrize("spacing", [1.0, 2.0])
def test_thresh_as_published_is_eroded_and_filtered_at_2_mm(spacing):
    factor = round(2 / spacing)
    shape = (24 * factor, 22 * factor, 10 * factor)
    intensities = np.random.default_rng(4).permutation(np.prod(shape)).reshape(shape).astype(np.float32)
    mask = np.zeros(shape, bool)
    mask[2 * factor : -2 * factor, 2 * factor : -2 * factor] = True
    model = {"method": "thresh", "state": {}, "grid": {"spacing": spacing, "shape": shape}}
    heatmaps = heatmaps_with(
        model,
        "cpu",
        stride=1,
        median_filter=3,
        precision="float32",
        as_published=declaration("thresh").as_published,
    )
    common, published = heatmaps(np.where(mask, intensities, 0), mask)
    # Written out: ranks, means of blocks of 2 mm, brain without 3 voxels of its rim, median of 5 voxels.
    ranks = np.zeros(shape)
    ranks[mask] = rankdata(intensities[mask]) / mask.sum()
    blocks = ranks.reshape(24, factor, 22, factor, 10, factor).mean(axis=(1, 3, 5))
    inside = np.zeros((24, 22, 10))
    inside[5:-5, 5:-5] = blocks[5:-5, 5:-5]
    padded = np.pad(inside, 2, mode="symmetric")
    medians = np.median(np.lib.stride_tricks.sliding_window_view(padded, (5, 5, 5)), axis=(3, 4, 5))
    expected = medians.repeat(factor, 0).repeat(factor, 1).repeat(factor, 2)
    np.testing.assert_allclose(published[mask], expected[mask], atol=1e-6)
    assert np.isnan(published[~mask]).all()
    assert not np.allclose(published[mask], common[mask])


def test_a_tensor_is_post_processed_as_an_array_is():
    rng = np.random.default_rng(6)
    mask = rng.random((31, 26, 15)) > 0.4
    blocks = rng.random((16, 13, 8)).astype(np.float32)
    widths = {"erosion": 1, "median": 5}
    expected = as_published(blocks, mask, 1.0, **widths)
    np.testing.assert_array_equal(as_published(blocks, mask, 1.0, threads=2, **widths), expected)
    np.testing.assert_array_equal(
        as_published(torch.from_numpy(blocks), mask, 1.0, **widths).numpy(), expected
    )
