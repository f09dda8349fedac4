import numpy as np
import pytest
import torch
from dispatched import Dispatched, name_of
from scans import noise_scan
from scipy import ndimage

from patch2loc.heatmap import score_volume, score_voxels
from patch2loc.network.inference import DenseNetwork
from patch2loc.network.location import LocationNetwork
from patch2loc.score import device_medians, postprocessing
from patch2loc.score.postprocessing import median_filtered, widened

PATCH, SHAPE = 8, (24, 20, 6)


@pytest.fixture
def network():
    torch.manual_seed(3)
    network = LocationNetwork((8, 8, 16, 16))
    for name, value in network.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
    network.rescale_output_(torch.tensor([50.0, 50.0]), torch.tensor([20.0, 20.0]))
    return network.eval()


@pytest.fixture
def scan():
    return noise_scan(5, SHAPE, np.s_[5:19, 4:17, 1:5], low=0, high=1)


def by_hand(volume, network, x, y, z):
    """Score of one voxel, patch by patch, straight from the definitions."""
    padded = np.pad(volume[:, :, z], PATCH // 2)
    patch = torch.from_numpy(padded[x : x + PATCH, y : y + PATCH])[None, None]
    with torch.no_grad():
        mean, log_variance = network(patch, torch.tensor([100 * z / SHAPE[2]]))
    true = np.array([100 * x / SHAPE[0], 100 * y / SHAPE[1]])
    log_error = np.log(np.sum((true - mean[0].numpy()) ** 2) + 0.5)
    return {"log_error": log_error, "log_variance": float(log_variance.mean())}


def test_dense_inference_equals_patch_by_patch(network, scan):
    volume, mask = scan
    ready = DenseNetwork(network, PATCH)
    ready.batch = 100  # several batches, the last one short
    maps = score_voxels(volume, mask, ready)
    for x, y, z in np.argwhere(mask)[::37]:
        expected = by_hand(volume, network, x, y, z)
        for name, value in expected.items():
            assert maps[name][x, y, z] == pytest.approx(value, abs=1e-4)
        assert maps["score"][x, y, z] == pytest.approx(sum(expected.values()), abs=1e-4)
    for values in maps.values():
        assert np.array_equal(np.isfinite(values), mask)


class Placed:
    """Stands for a network: depends on the patch's content only, so that moving the input moves the output."""

    patch, device, one_shape, sparse = PATCH, "cpu", False, 0.0  # 0: always by whole slices

    def predict_slices(self, slices, progress):
        centers = slices.centers
        middle = slices.padded[centers.z, centers.x + PATCH // 2, centers.y + PATCH // 2]
        return torch.stack([middle * 0, middle * 0, middle, middle], 1)


@pytest.fixture
def content_only():
    return Placed()


@pytest.mark.parametrize("shift", [(3, 0, 0), (0, -2, 0), (0, 0, 1), (-4, 2, -1)])
def test_shifting_the_input_moves_the_heatmap(content_only, scan, shift):
    volume, mask = scan
    maps = score_voxels(volume, mask, content_only)
    moved = score_voxels(np.roll(volume, shift, (0, 1, 2)), np.roll(mask, shift, (0, 1, 2)), content_only)
    np.testing.assert_array_equal(moved["log_variance"], np.roll(maps["log_variance"], shift, (0, 1, 2)))
    np.testing.assert_array_equal(maps["log_variance"][mask], volume[mask])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_flipping_the_input_flips_the_heatmap(content_only, scan, axis):
    volume, mask = scan
    maps = score_voxels(volume, mask, content_only)
    flipped = score_voxels(np.flip(volume, axis).copy(), np.flip(mask, axis).copy(), content_only)
    np.testing.assert_array_equal(np.flip(flipped["log_variance"], axis), maps["log_variance"])


def test_the_location_of_a_voxel_is_its_index_over_the_grid(content_only, scan):
    volume, mask = scan
    maps = score_voxels(volume, mask, content_only)
    x, y, _ = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    # The stand-in predicts (0, 0): the error is the distance of the location from there.
    expected = np.log((100 * x / SHAPE[0]) ** 2 + (100 * y / SHAPE[1]) ** 2 + 0.5)
    np.testing.assert_allclose(maps["log_error"][mask], expected[mask], rtol=1e-5)


def test_stride_keeps_computed_voxels_and_interpolates_between(network, scan):
    volume, mask = scan
    dense = score_volume(volume, mask, network, PATCH)["score"]
    coarse = score_volume(volume, mask, network, PATCH, stride=3)["score"]
    kept = np.zeros_like(mask)
    kept[::3, ::3] = mask[::3, ::3]
    np.testing.assert_allclose(coarse[kept], dense[kept], rtol=1e-5)
    assert np.array_equal(np.isfinite(coarse), mask)
    everywhere = score_volume(volume, np.ones_like(mask), network, PATCH)["score"]
    x, y, z = 10, 9, 2  # between lattice points 9 and 12 along x, on one along y
    expected = everywhere[9, y, z] * 2 / 3 + everywhere[12, y, z] / 3
    assert coarse[x, y, z] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("size", [3, 7, 9])
def test_medians_on_a_device_gather_no_more_than_their_memory_whatever_their_width(size, monkeypatch):
    monkeypatch.setattr(device_medians, "MEMORY_MB", 0.1)

    class Gathered(Dispatched):
        largest = 0

        def computed(self, func, args, kwargs):
            result = super().computed(func, args, kwargs)
            if name_of(func) == "index":
                self.largest = max(self.largest, result.nbytes)
            return result

    with Gathered() as gathered:
        device_medians.medians_at(torch.rand(20, 18, 10), np.ones((20, 18, 10), bool), size)
    assert 0.09e6 < gathered.largest <= 0.1e6


@pytest.mark.parametrize("kind", ["array", "array, two threads", "tensor"])
@pytest.mark.parametrize("size", [1, 3, 7])
def test_the_median_filter_equals_the_unmasked_one_inside_the_mask(size, kind, monkeypatch):
    monkeypatch.setattr(postprocessing, "CHUNK", 500)
    monkeypatch.setattr(device_medians, "MEMORY_MB", 500 * size**3 * 4 / 1e6)
    rng = np.random.default_rng(2)
    everywhere = rng.normal(size=SHAPE).astype(np.float32)
    mask = np.zeros(SHAPE, bool)
    mask[3:20, 0:15, 0:4] = rng.random((17, 15, 4)) > 0.3  # reaches the edge of the grid

    def score(wanted):
        values = np.where(wanted, everywhere, np.nan)
        return torch.from_numpy(values) if kind == "tensor" else values

    found = np.asarray(median_filtered(score, mask, size, threads=2 if "two" in kind else 1))
    expected = ndimage.median_filter(everywhere, size=size, mode="reflect")
    np.testing.assert_array_equal(found[mask], expected[mask])
    assert np.isnan(found[~mask]).all()


@pytest.mark.parametrize("reach", [0, 1, 3, 7])
def test_a_mask_is_widened_along_each_axis(reach):
    mask = np.random.default_rng(reach).random((12, 9, 5)) > 0.98
    np.testing.assert_array_equal(widened(mask, reach), ndimage.maximum_filter(mask, size=2 * reach + 1))
