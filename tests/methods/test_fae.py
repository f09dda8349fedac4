"""FAE: features of slices, their structural similarity, the autoencoder of features, both extractors."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scans import noise_scan
from scipy import ndimage
from torch import nn
from torch.nn import functional
from torchvision.models import resnet18
from written_models import complete_model

import patch2loc.methods.fae.model as fae
import patch2loc.methods.fae_patch2loc.model as fae_patch2loc
from patch2loc.errors import InputError
from patch2loc.method_interface import declaration
from patch2loc.methods.fae_patch2loc.model import location_features
from patch2loc.methods.reconstruction.feature_autoencoder import FeatureAutoencoder, dissimilarity
from patch2loc.methods.reconstruction.slice_features import SliceFeatures, imagenet_features
from patch2loc.methods.reconstruction.structural_similarity import structural_similarity
from patch2loc.models import load_model, save_model
from patch2loc.network.location import LocationNetwork

REST = {"spacing": 2.0, "seed": 1, "precision": "float32"}
SMALL = declaration("fae").settings["smoke"] | REST
SMALL |= {"steps": 4, "batch": 2, "widths": [4, 4, 6, 8], "validations": 2, "validation_slices": 3}
WIDTHS = (4, 6, 8, 10)
SHAPE = (32, 48, 4)


@pytest.fixture
def scans():
    return [noise_scan(n, SHAPE) for n in range(3)], [noise_scan(9, SHAPE)]


def randomized(network, seed=1):
    """The network with random numbers everywhere, statistics of batch normalization among them."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in network.state_dict().items():
        if "var" in name or name.endswith("bn1.weight"):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
        elif value.is_floating_point():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.1)
    return network.eval()


@pytest.fixture
def weights(tmp_path):
    """A file as torchvision's, of random numbers."""
    torch.save(randomized(resnet18()).state_dict(), tmp_path / "resnet18.pth")
    return tmp_path / "resnet18.pth"


@pytest.fixture
def located():
    """State of a small model of Patch2Loc."""
    network = randomized(LocationNetwork(WIDTHS))
    return {
        "weights": {name: value.numpy() for name, value in network.state_dict().items()},
        "widths": WIDTHS,
    }


def settings(weights=None, located=None, **changed):
    models = {"models": {"patch2loc": located}} if located else {}
    return {**SMALL, "pretrained": {"resnet18_imagenet": weights}, **models, **changed}


def test_features_are_those_of_torchvisions_layers():
    whole = randomized(resnet18())
    slices = torch.rand(2, 1, 32, 48)
    found = SliceFeatures(whole)(slices)
    seen = {}
    for name in ("maxpool", "layer1", "layer2"):
        getattr(whole, name).register_forward_hook(
            lambda layer, given, maps, name=name: seen.update({name: maps})
        )
    with torch.no_grad():
        whole((slices * 2 - 1).repeat(1, 3, 1, 1))
    assert found.shape == (2, 256, 8, 12)
    torch.testing.assert_close(found[:, :64], seen["maxpool"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found[:, 64:128], seen["layer1"], rtol=1e-5, atol=1e-6)
    assert seen["layer2"].shape == (2, 128, 4, 6)
    # The corners are the corners', and along an edge places lie between those of the smaller map.
    torch.testing.assert_close(found[:, 128:, ::7, ::11], seen["layer2"][..., ::3, ::5], rtol=1e-5, atol=1e-6)
    row = seen["layer2"][0, 5, 0].numpy()
    expected = np.interp(np.linspace(0, 5, 12), np.arange(6), row)
    np.testing.assert_allclose(found[0, 128 + 5, 0], expected, rtol=1e-4, atol=1e-5)


def test_features_of_the_location_network_are_placed_on_the_slice():
    """A bright voxel lights up the place that it lies in, with and without enlargement."""
    for enlarge in (1, 2):
        torch.manual_seed(0)
        features = location_features(WIDTHS, enlarge)
        assert features.channels == 4 + 4 + 6
        empty = torch.zeros(1, 1, 32, 48)
        for x, y in ((2, 2), (14, 26), (30, 46)):
            slices = empty.clone()
            slices[0, 0, x - 1 : x + 1, y - 1 : y + 1] = 1
            difference = (features(slices) - features(empty)).abs()[0]
            assert difference.shape == (14, 8, 12)
            pooled = difference[:4].sum(dim=0)
            place = np.unravel_index(int(pooled.argmax()), pooled.shape)
            assert abs(place[0] - x // 4) <= 1
            assert abs(place[1] - y // 4) <= 1
            if (x, y) == (14, 26):  # the maps of later layers, which the edges cut off elsewhere
                weight = difference[8:].sum(dim=0)
                rows = (weight.sum(dim=1) * torch.arange(8)).sum() / weight.sum()
                columns = (weight.sum(dim=0) * torch.arange(12)).sum() / weight.sum()
                assert abs(rows - x / 4) < 1.5
                assert abs(columns - y / 4) < 1.5


def test_features_of_the_location_network_are_those_of_its_encoder():
    encoder = randomized(LocationNetwork(WIDTHS)).encoder
    slices = torch.rand(1, 1, 32, 48)
    found = SliceFeatures(encoder)(slices)
    with torch.no_grad():
        maps = encoder.maxpool(encoder.relu(encoder.bn1(encoder.conv1(slices))))
        first = encoder.layer1(maps)
        second = encoder.layer2(first)
    assert maps.shape[2:] == (9, 13)  # the first place is centered 2 voxels before the slice
    assert second.shape[2:] == (5, 7)
    torch.testing.assert_close(found[:, :4], maps[..., 1:, 1:])
    torch.testing.assert_close(found[:, 4:8], first[..., 1:, 1:])
    torch.testing.assert_close(found[:, 8:, 1::2, 1::2], second[..., 1:, 1:], rtol=1e-4, atol=1e-5)
    between = (second[..., 1:, 1:-1] + second[..., 1:, 2:]) / 2
    torch.testing.assert_close(found[:, 8:, 1::2, 2::2], between, rtol=1e-4, atol=1e-5)


def test_features_stay_frozen_in_training_mode():
    features = imagenet_features().train()
    before = {name: value.clone() for name, value in features.state_dict().items()}
    found = features(torch.rand(2, 1, 32, 32))
    assert not found.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in features.state_dict().items())


def test_structural_similarity_of_a_hand_computed_place():
    """The center of a map of one bright place, and one shifted by a constant: window by hand."""
    kernel = np.exp(-np.array([4, 1, 0, 1, 4]) / (2 * 1.5**2))
    kernel /= kernel.sum()
    at_center = kernel[2] ** 2
    first = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    first[0, 0, 4, 4] = 1
    second = torch.full_like(first, 0.5)
    found = structural_similarity(first, second)[0, 0, 4, 4].item()
    mean, other = at_center, 0.5
    luminance = (2 * mean * other + 1e-4) / (mean**2 + other**2 + 1e-4)
    contrast = 9e-4 / (at_center - mean**2 + 9e-4)  # the constant map has neither variance nor covariance
    assert found == pytest.approx(luminance * contrast, rel=1e-9)


def test_structural_similarity_is_that_of_a_convolution():
    """Against scipy's Gaussian filter, cut off after two places and normalized, with zeros around."""
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(2, 2, 3, 11, 14))

    def mean(maps):
        return np.stack(
            [[ndimage.gaussian_filter(one, 1.5, mode="constant", radius=2) for one in each] for each in maps]
        )

    covariance = mean(first * second) - mean(first) * mean(second)
    variances = [mean(maps**2) - mean(maps) ** 2 for maps in (first, second)]
    expected = (2 * mean(first) * mean(second) + 1e-4) * (2 * covariance + 9e-4)
    expected /= (mean(first) ** 2 + mean(second) ** 2 + 1e-4) * (sum(variances) + 9e-4)
    found = structural_similarity(torch.from_numpy(first), torch.from_numpy(second)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)  # torch makes the window in float32
    same = structural_similarity(torch.from_numpy(first), torch.from_numpy(first))
    assert torch.allclose(same, torch.ones_like(same))


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_autoencoder_has_the_papers_size():
    channels, widths = 256, (100, 150, 200, 300)
    down = sum(25 * a * b for a, b in pairwise((channels, *widths))) + 2 * sum(widths)
    back = (300, 200, 150, 100, channels)
    up = sum(36 * a * b for a, b in pairwise(back)) + 2 * sum(back[1:])
    by_hand = down + 25 * 300 * 300 + 300 + up + channels * channels + channels
    assert count(FeatureAutoencoder(channels, widths)) == by_hand == 10_285_604  # 10.29 million
    assert imagenet_features().channels == location_features((64, 128, 256, 512)).channels == channels


@pytest.mark.parametrize(("x", "y"), [(32, 32), (24, 24), (8, 12)])
def test_reconstructions_are_as_large_as_their_features(x, y):
    network = FeatureAutoencoder(5, (4, 4, 6, 8)).eval()
    assert network(torch.rand(2, 5, x, y)).shape == (2, 5, x, y)


def test_dissimilarity_lies_between_0_and_2():
    features = torch.randn(2, 5, 16, 16)

    class Same(nn.Module):
        def forward(self, maps):
            return maps

    class Mirrored(nn.Module):
        def forward(self, maps):
            return 10 - maps

    features = 5 + features
    assert dissimilarity(Same(), features).abs().max() < 1e-5
    high = dissimilarity(Mirrored(), features)
    assert high.shape == (2, 1, 16, 16)
    assert 0 <= high.min() <= high.max() <= 2
    assert high[..., 4:-4, 4:-4].mean() > 1.5  # as bright, and up where the features are down


@pytest.mark.parametrize("method", [fae, fae_patch2loc])
def test_a_state_scores_without_any_file_and_the_extractor_is_as_it_was(
    method, scans, weights, located, tmp_path
):
    given = settings(weights, located)
    state, history = method.fit(*scans, given, None, device="cpu")
    kept = state["extractor"]["weights"]
    if method is fae:
        before = torch.load(weights)
        assert set(history["extractor"]) == {"ResNet-18 of ImageNet"} == {state["extractor"]["of"]}
    else:
        before = {
            name.removeprefix("encoder."): torch.from_numpy(value)
            for name, value in located["weights"].items()
        }
        assert set(history["extractor"]) == {"patch2loc"}
    assert len(kept) > 20
    for name, value in kept.items():
        if "num_batches" not in name:
            np.testing.assert_array_equal(value, before[name])
    weights.unlink()
    save_model(tmp_path / "model.safetensors", complete_model(state=state))
    state = load_model(tmp_path / "model.safetensors")["state"]
    volume, mask = noise_scan(5, SHAPE)
    score = method.scorer(state, "cpu")
    found = score(volume, mask, mask)["score"]
    assert np.array_equal(np.isfinite(found), mask)
    assert found[mask].min() >= 0
    assert found[mask].max() <= 2
    np.testing.assert_array_equal(score(volume, mask, mask)["score"], found)


def test_the_score_is_the_interpolated_dissimilarity(scans, weights):
    state, _ = fae.fit(*scans, settings(weights), None, device="cpu")
    volume, mask = noise_scan(5, SHAPE)
    found = fae.scorer(state, "cpu")(volume, mask, np.ones_like(mask))["score"]
    network = FeatureAutoencoder(**state["network"]).eval()
    network.load_state_dict({name: torch.from_numpy(value) for name, value in state["weights"].items()})
    slices = torch.from_numpy(volume).permute(2, 0, 1)[:, None]
    whole = resnet18()
    whole.load_state_dict(torch.load(weights))
    with torch.no_grad():
        maps = SliceFeatures(whole)(slices)
        places = 1 - structural_similarity(network(maps), maps).mean(dim=1, keepdim=True)
    expected = functional.interpolate(places, (32, 48), mode="bilinear", align_corners=True)[:, 0]
    np.testing.assert_allclose(found, expected.permute(1, 2, 0), rtol=1e-3, atol=1e-5)


def test_without_the_weights_the_extractor_is_random_seeded_and_declared(scans):
    states = [fae.fit(*scans, settings(seed=seed), None, device="cpu") for seed in (1, 1, 2)]
    for state, history in states:
        assert state["extractor"]["of"] == "random ResNet-18"
        assert set(history["extractor"]) == {"random ResNet-18"}
    first, again, other = (state["extractor"]["weights"]["conv1.weight"] for state, _ in states)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    for name, value in states[0][0]["weights"].items():
        np.testing.assert_array_equal(value, states[1][0]["weights"][name])


def test_weights_of_another_network_are_refused(scans, tmp_path):
    torch.save(nn.Conv2d(3, 64, 7).state_dict(), tmp_path / "wrong.pth")
    with pytest.raises(InputError, match=r"wrong\.pth: .*Missing key.* found, weights of SliceFeatures"):
        fae.fit(*scans, settings(tmp_path / "wrong.pth"), None, device="cpu")


@pytest.mark.parametrize("method", [fae, fae_patch2loc])
def test_a_killed_training_goes_on_to_the_same_model(method, scans, located, tmp_path, monkeypatch):
    monkeypatch.setattr("patch2loc.engine.training_loop.CHECKPOINT_SECONDS", -1)  # at every step
    given = settings(None, located)
    whole, history = method.fit(*scans, given, None, device="cpu")
    calls = []

    def dies(network, features):
        calls.append(1)
        if len(calls) == 6:  # in the fourth step: two steps, a validation of two batches, one step
            raise KeyboardInterrupt
        return dissimilarity(network, features)

    checkpoint = tmp_path / "checkpoint.pt"
    with monkeypatch.context() as patch:
        patch.setattr("patch2loc.methods.reconstruction.feature_autoencoder.dissimilarity", dies)
        with pytest.raises(KeyboardInterrupt):
            method.fit(*scans, given, checkpoint, device="cpu")
    assert checkpoint.exists()
    resumed, again = method.fit(*scans, given, checkpoint, device="cpu")
    assert list(again["validation_loss"]) == list(history["validation_loss"])
    for name, value in whole["weights"].items():
        np.testing.assert_array_equal(resumed["weights"][name], value)
    for name, value in whole["extractor"]["weights"].items():
        np.testing.assert_array_equal(resumed["extractor"]["weights"][name], value)


def test_training_lowers_the_loss(scans):
    _, history = fae.fit(*scans, settings(steps=40, validations=4, learning_rate=3e-3), None, device="cpu")
    assert history["validation_loss"].min() < 0.9 * history["validation_loss"].iloc[0]
