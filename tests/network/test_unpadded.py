"""The network without padding inside a patch: the dense pass gives the numbers of patch by patch, and it learns."""

import math

import numpy as np
import pytest
import torch
from networks import SETTINGS, Killed, cohort, patch_by_patch, randomized, relative, same_training
from scans import noise_scan
from torch.nn import functional

import patch2loc.methods.patch2loc.model as patch2loc
import patch2loc.methods.patch2loc_unpadded.model as patch2loc_unpadded
from patch2loc.engine import training_loop
from patch2loc.errors import InputError
from patch2loc.heatmap import abnormality, score_voxels
from patch2loc.network import patches, training
from patch2loc.network.centers import sorted_centers
from patch2loc.network.location import LocationNetwork, for_inference
from patch2loc.network.prediction import predict
from patch2loc.network.ready import DeviceCenters, PaddedSlices
from patch2loc.network.unpadded import (
    Layer,
    ReadyUnpadded,
    UnpaddedNetwork,
    encoder,
    layer_widths,
    layout,
    pooled_apart,
)
from patch2loc.score.patch_predictions import predicted_patches

WIDTHS = (4, 6, 8, 12)
SIZES = [8, 10, 12, 16, 18, 20, 24, 32]


def network_of(patch):
    """Its outputs differ between places by much more than rounding."""
    torch.manual_seed(patch)
    network = randomized(UnpaddedNetwork(patch, WIDTHS))
    with torch.no_grad():
        for value in network.parameters():
            if value.ndim > 1:
                value.mul_(1.6)
    return network


def scan(patch, shape=(37, 30, 3)):
    return 10 * np.random.default_rng(patch).random(shape).astype(np.float32)


def as_one(outputs):
    return np.concatenate(outputs, axis=1)


def unlike(found, expected):
    """Difference over the spread of what is expected between places."""
    return np.linalg.norm(found - expected) / np.linalg.norm(expected - expected.mean(axis=0))


def test_layers_by_hand():
    assert layout(12) == [Layer(3, False, 10), Layer(3, True, 4), Layer(3, False, 2), Layer(2, False, 1)]
    # 24, 22, 20 pooled to 10, 8 pooled to 4, 2, 1.
    assert [layer.size for layer in layout(24)] == [22, 10, 4, 2, 1]
    assert [layer.pooled for layer in layout(24)] == [False, True, True, False, False]
    assert layer_widths(24, WIDTHS) == [4, 4, 6, 8, 12]
    assert layer_widths(12, WIDTHS) == [4, 6, 8, 12]
    assert layer_widths(8, WIDTHS) == [6, 8, 12]


def test_parameters_by_hand():
    weights = 9 * (16 + 16 * 32 + 32 * 128) + 4 * 128 * 128
    norms = 2 * (16 + 32 + 128 + 128)
    assert sum(part.numel() for part in encoder(12, (16, 32, 128, 128)).parameters()) == weights + norms


@pytest.mark.parametrize("patch", range(8, 42, 2))
def test_every_layer_fits_and_sees_the_whole_patch(patch):
    convolutions = encoder(patch, (4, 4, 4, 4))  # normalized by the batch, so that no channel is all zeros
    noise = torch.rand(40, 1, patch, patch, requires_grad=True)
    latent = convolutions(noise)
    assert latent.shape == (40, 4)
    latent.sum().backward()
    assert (noise.grad.abs().sum(dim=(0, 1)) > 0).float().mean() > 0.9  # a pool takes one voxel of four
    # No pool drops a row: each leaves half of what it is given.
    size = patch
    for layer in layout(patch):
        size = (size - layer.kernel + 1) / (2 if layer.pooled else 1)
        assert size == layer.size


@pytest.mark.parametrize("patch", [4, 6, 11, 25])
def test_an_impossible_patch_gets_its_message(patch):
    with pytest.raises(
        InputError, match=f"patch: {patch} found, an even number of 8 voxels or more expected"
    ):
        UnpaddedNetwork(patch)


def test_the_pool_at_every_place_is_that_of_torch():
    maps = torch.randn(3, 5, 9, 13)
    expected = functional.max_pool2d(maps, 2, stride=1)
    apart = pooled_apart(maps)
    assert apart.shape == (12, 5, 4, 6)
    for x in range(8):
        for y in range(12):
            number = 2 * (y % 2) + x % 2
            found = apart[3 * number : 3 * number + 3, :, x // 2, y // 2]
            assert torch.equal(found, expected[:, :, x, y])


@pytest.mark.parametrize("density", [0.02, 0.6], ids=["few voxels", "many voxels"])
@pytest.mark.parametrize("patch", SIZES)
def test_the_dense_pass_equals_patch_by_patch(patch, density):
    network, volume = network_of(patch), scan(patch)
    chosen = np.random.default_rng(1).random(volume.shape) < density
    chosen[[0, -1], 0, 0] = chosen[0, -1, 1] = chosen[-1, -1, 2] = True  # at the edges and in the corners
    voxels = np.argwhere(chosen)
    expected = as_one(patch_by_patch(volume, voxels, network, patch))
    assert expected.std(axis=0).min() > 1e-3
    assert unlike(as_one(predict(volume, voxels, ReadyUnpadded(network))), expected) < 1e-4


@pytest.mark.parametrize("patch", [12, 24])
def test_strips_of_any_height_give_the_same_map(patch):
    network, volume = network_of(patch), scan(patch, (41, 19, 1))
    voxels = np.argwhere(volume >= 0)
    expected = as_one(predict(volume, voxels, ReadyUnpadded(network, memory_mb=1000)))
    heights = set()
    for memory_mb in (1e-4, 0.1, 0.2, 0.4):
        ready = ReadyUnpadded(network, memory_mb=memory_mb)
        heights.add(ready._rows(19))
        assert unlike(as_one(predict(volume, voxels, ready)), expected) < 1e-4
    assert len(heights) >= 3
    assert min(heights) == ready.apart


@pytest.mark.parametrize("memory_mb", [0.3, 0.8])
def test_what_a_layer_reads_and_gives_keeps_within_the_memory(memory_mb):
    ready = ReadyUnpadded(network_of(12), memory_mb=memory_mb)
    volume = np.zeros((150, 50, 1), np.float32)
    most = []
    for convolution in ready.convolutions:
        convolution.register_forward_hook(
            lambda _, given, found: most.append(4e-6 * (given[0].numel() + found.numel()))
        )
    predict(volume, np.argwhere(volume == 0), ready)
    assert len(most) > len(ready.convolutions)  # several strips
    assert max(most) <= memory_mb
    assert max(most) > memory_mb / 8  # and no smaller than they need to be


def test_strips_are_halved_where_memory_is_short(monkeypatch):
    network, volume = network_of(12), scan(12, (30, 31, 1))
    voxels = np.argwhere(volume >= 0)
    expected = as_one(predict(volume, voxels, ReadyUnpadded(network)))
    headed, refused = ReadyUnpadded._headed, []

    def limited(self, latent):
        if len(latent) > 200:
            refused.append(len(latent))
            raise torch.OutOfMemoryError("more than 200 places")
        return headed(self, latent)

    monkeypatch.setattr(ReadyUnpadded, "_headed", limited)
    found = as_one(predict(volume, voxels, ReadyUnpadded(network)))
    assert len(refused) > 1
    assert unlike(found, expected) < 1e-4
    monkeypatch.setattr(ReadyUnpadded, "_headed", lambda self, latent: limited(self, latent.repeat(1000, 1)))
    with pytest.raises(torch.OutOfMemoryError):
        predict(volume, voxels, ReadyUnpadded(network))


def test_single_patches_equal_the_dense_pass():
    ready, volume = ReadyUnpadded(network_of(12)), scan(12)
    padded = patches.pad_slices(torch.from_numpy(volume).permute(2, 0, 1), 12)[:, :-1, :-1]
    centers, _ = sorted_centers(np.array([[0, 0, 1], [36, 29, 1], [5, 22, 1], [18, 7, 2]]), volume.shape)
    places = DeviceCenters(*map(torch.from_numpy, (centers.z, centers.x, centers.y)))
    location = torch.tensor([0.0, 33.0, 67.0])
    slices = PaddedSlices(padded, centers.ends, places, location)
    dense, single = ready.predict_slices(slices), ready.predict_few(slices)
    torch.testing.assert_close(single, dense, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("patch", "widths", "share"),
    # Multiplications of the convolutions on docs/reference/methods/patch2loc_unpadded.md.
    [(12, (16, 32, 128, 128), 107_152 / 522_304), (24, (64, 128, 256, 512), 930_368 / 21_446_912)],
)
def test_few_patches_are_computed_by_themselves_where_sharing_them_is_more_work(patch, widths, share):
    ready = ReadyUnpadded(UnpaddedNetwork(patch, widths).eval())
    assert ready.sparse == pytest.approx(share / 2, rel=1e-12)


def test_what_is_quicker_depends_on_the_share_of_voxels(monkeypatch):
    ready, volume, ways = ReadyUnpadded(network_of(12)), scan(12), []
    for way in ("predict_few", "predict_slices"):
        compute = getattr(ready, way)
        monkeypatch.setattr(
            ready, way, lambda *slices, way=way, compute=compute: ways.append(way) or compute(*slices)
        )
    for factor in (0.9, 1.1):
        padded = np.prod([size + 11 for size in volume.shape[:2]])
        count = int(factor * ready.sparse * padded)
        voxels = np.argwhere(np.ones(volume.shape, bool))[:: volume.shape[2]][:count]  # of one slice
        predict(volume, voxels, ready)
    assert ways == ["predict_few", "predict_slices"]


def test_folding_the_normalizations_changes_no_output():
    network = network_of(24)
    cut, slice_location = torch.rand(9, 1, 24, 24), torch.linspace(0, 99, 9)
    with torch.no_grad():
        for found, expected in zip(
            for_inference(network)(cut, slice_location), network(cut, slice_location), strict=True
        ):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_close(precision):
    network, volume = network_of(12), scan(12)
    voxels = np.argwhere(volume > 5)
    exact = as_one(predict(volume, voxels, ReadyUnpadded(network)))
    half = as_one(predict(volume, voxels, ReadyUnpadded(network, precision=precision)))
    assert 1e-4 < unlike(half, exact) < (0.03 if precision == "bfloat16" else 0.005)


def test_a_stride_skips_places_and_changes_none():
    ready, volume = ReadyUnpadded(network_of(8)), scan(8)
    mask = np.zeros(volume.shape, bool)
    mask[4:33, 5:27, 1:] = True
    whole, coarse = (score_voxels(volume, mask, ready, stride)["score"] for stride in (1, 3))
    kept = np.zeros_like(mask)
    kept[::3, ::3] = mask[::3, ::3]
    np.testing.assert_allclose(coarse[kept], whole[kept], rtol=1e-5)
    assert np.array_equal(np.isfinite(coarse), mask)


def unpadded(settings):
    return UnpaddedNetwork(settings.patch, settings.widths)


def trained(settings, *more, build=unpadded, **others):
    return training.train(cohort(3), cohort(2, seed=9), settings, *more, build=build, **others)


def test_training_learns_where_patches_come_from():
    longer = training.Settings(**{**SETTINGS.__dict__, "patches": 128 * 100, "batch": 128})
    network, history = trained(longer)
    assert isinstance(network, UnpaddedNetwork)
    pool = cohort(2, seed=11)
    cut, place, slice_location = pool.draw(pool.generator(4), 300)
    blind = (place - place.mean(dim=0)).norm(dim=1).mean().item()  # always guessing the middle
    with torch.no_grad():
        mean, log_variance = network(cut, slice_location)
    assert (mean - place).norm(dim=1).mean().item() < 0.5 * blind
    assert 0.2 < (((mean - place) ** 2) / log_variance.exp()).mean() < 5  # predicted variance fits the error
    assert history[-1]["validation_loss"] < history[0]["validation_loss"]


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    whole = trained(SETTINGS)
    monkeypatch.setattr(training_loop, "CHECKPOINT_SECONDS", -1)  # at every step
    drawn, checkpoint, said = [], tmp_path / "checkpoint.pt", []
    one_slice_each = training.PatchPool.one_slice_each

    def killed(self, generator):
        drawn.append(1)
        if len(drawn) == 8:
            raise Killed
        return one_slice_each(self, generator)

    with monkeypatch.context() as patched:
        patched.setattr(training.PatchPool, "one_slice_each", killed)
        with pytest.raises(Killed):
            trained(SETTINGS, checkpoint, progress=said.append)
    same_training(trained(SETTINGS, checkpoint, progress=said.append), whole)
    assert f"going on from step 7 of {SETTINGS.steps}" in said


def test_without_a_choice_the_published_network_is_trained():
    short = training.Settings(**{**SETTINGS.__dict__, "patches": 128})
    default = training.train(cohort(3), cohort(2, seed=9), short)
    assert type(default[0]) is LocationNetwork
    same_training(default, trained(short, build=lambda settings: LocationNetwork(settings.widths)))


def test_the_method_trains_scores_and_predicts_by_its_own_network():
    settings = {**SETTINGS.__dict__, "patches": 128, "validations": 1}
    shape = (24, 20, 5)
    volume, mask = noise_scan(3, shape, np.s_[3:21, 3:17, 1:4], low=0, high=1)
    state, history = patch2loc_unpadded.fit(
        [(volume, mask)] * 2, [(volume, mask)], settings, None, device="cpu"
    )
    assert len(history) == 1
    assert state["patch"] == 8
    network = patch2loc_unpadded.location_network(state)
    voxels = np.argwhere(mask)
    expected = patch_by_patch(volume, voxels, network, 8)
    predicted = patch2loc_unpadded.predictor(state, "cpu")
    for found, wanted in zip(predicted(volume, voxels), expected, strict=True):
        assert relative(found, wanted) < 1e-5
    maps = patch2loc_unpadded.scorer(state, "cpu")(volume, mask, mask)
    np.testing.assert_allclose(
        maps["score"][mask], abnormality(*expected, voxels, shape)["score"], rtol=1e-4, atol=1e-4
    )
    assert np.isnan(maps["score"][~mask]).all()
    table = predicted_patches(volume, mask, 8, predicted)
    places = table[["x", "y", "z"]].to_numpy()
    assert len(table) > 4
    np.testing.assert_allclose(
        table[["mean_x", "mean_y"]], patch_by_patch(volume, places, network, 8)[0], rtol=1e-4
    )
    # Another network than the published one: its weights do not fit.
    with pytest.raises(InputError, match=r"weights of another network found .*of LocationNetwork"):
        patch2loc.location_network(state)


def test_the_dense_pass_multiplies_each_weight_once_a_place():
    ready, volume = ReadyUnpadded(network_of(24), memory_mb=1000), np.zeros((96, 96, 1), np.float32)
    products = []
    for convolution in ready.convolutions:
        convolution.register_forward_hook(
            lambda layer, _, found: products.append(
                layer.weight.numel() * math.prod(found.shape) / found.shape[1]
            )
        )
    predict(volume, np.argwhere(volume == 0), ready)
    weights = sum(part.weight.numel() for part in ready.convolutions)
    # More by the places that the first layers see around the slice, and not by the 4 or 16 maps of a pool.
    assert weights < sum(products) / 96**2 < 1.3 * weights
