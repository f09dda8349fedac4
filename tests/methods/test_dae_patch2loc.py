"""The DAE that is given Patch2Loc's features: what they are, where they enter, and the whole method."""

from functools import partial

import numpy as np
import pytest
import torch
from networks import untrained_state
from scans import noise_scan
from torch.nn import functional
from written_models import complete_model

import patch2loc.methods.dae.model as dae
import patch2loc.methods.dae_patch2loc.model as dae_patch2loc
from patch2loc.configuration.method_settings import resolve_settings
from patch2loc.engine.weights import with_weights
from patch2loc.methods.dae_patch2loc.model import LocatedUNet, patch_features
from patch2loc.methods.reconstruction.patch_features import PatchFeatures
from patch2loc.models import load_model, save_model
from patch2loc.network.location import LocationNetwork
from patch2loc.network.patches import cut, pad_slices

WIDTHS, LOCATION_WIDTHS, PATCH = (8, 16, 16, 32), (4, 4, 6, 8), 12
SHAPE = (32, 40, 4)
FEW = {
    "steps": 6,
    "batch": 3,
    "half_period": 64,
    "widths": list(WIDTHS),
    "validations": 2,
    "validation_slices": 4,
}
located = partial(untrained_state, LOCATION_WIDTHS, PATCH)  # one state, the same at every call


def settings(name="dae_patch2loc", **changed):
    resolved = resolve_settings(name, "smoke", {**FEW, **changed})
    run = {"seed": 1, "spacing": 2.0, "precision": "float32", "models": {"patch2loc": located()}}
    return resolved | run


def scans():
    return [noise_scan(1, SHAPE), noise_scan(2, SHAPE)], [noise_scan(9, SHAPE)]


def fitted(checkpoint=None, **changed):
    return dae_patch2loc.fit(*scans(), settings(**changed), checkpoint, device="cpu")


def encoder():
    return with_weights(LocationNetwork(LOCATION_WIDTHS), located()["weights"], "cpu").encoder


@pytest.mark.parametrize("patch", [8, 12, 6])
def test_features_are_the_latent_vectors_of_the_patches_in_the_middle_of_each_place(patch):
    slices = torch.rand(2, 1, 32, 40)
    features = PatchFeatures(encoder(), patch, reduction=8)(slices)
    assert features.shape == (2, LOCATION_WIDTHS[-1], 4, 5)
    padded = pad_slices(slices[:, 0], patch)
    for index, x, y in ((0, 0, 0), (1, 3, 4), (0, 2, 1)):
        # Voxel 8 x + 4 is the first after the middle of place x, as it is in a patch that is centered on it.
        place = (torch.tensor([number]) for number in (index, 8 * x + 4, 8 * y + 4))
        with torch.no_grad():
            expected = encoder()(cut(padded, *place, patch=patch))[0]
        torch.testing.assert_close(features[index, :, x, y], expected, rtol=1e-4, atol=1e-5)


def test_slices_of_larger_voxels_are_enlarged_to_those_of_the_grid():
    slices = torch.rand(1, 1, 32, 32)
    enlarged = functional.interpolate(slices, scale_factor=2, mode="bilinear")
    found = patch_features(encoder(), 24, 1.0)(slices)  # a grid of 1 mm, slices of 2 mm
    assert found.shape == (1, 8, 4, 4)
    torch.testing.assert_close(found, PatchFeatures(encoder(), 24, reduction=16)(enlarged))


def test_without_features_it_is_the_dae_of_the_same_weights():
    slices = torch.rand(2, 1, 32, 40)
    features = patch_features(encoder(), PATCH, 2.0)
    torch.manual_seed(1)
    plain = dae.UNet(WIDTHS)
    torch.manual_seed(1)
    network = LocatedUNet(WIDTHS, features, LOCATION_WIDTHS[-1])
    with torch.no_grad():
        torch.testing.assert_close(network(slices), plain(slices), rtol=0, atol=0)  # as it starts
        network.mix.weight.normal_()
        assert (network(slices) - plain(slices)).abs().max() > 1e-3
        network.features.forward = lambda given: torch.zeros(2, LOCATION_WIDTHS[-1], 4, 5)
        torch.testing.assert_close(network(slices), plain(slices), rtol=0, atol=0)


def test_features_are_those_of_the_noisy_slices(monkeypatch):
    """Of clean ones they would hold what the network shall find."""
    seen, inputs = [], []
    features, levels = PatchFeatures.forward, dae.UNet.levels
    monkeypatch.setattr(
        PatchFeatures, "forward", lambda self, slices: seen.append(slices) or features(self, slices)
    )
    monkeypatch.setattr(
        dae.UNet, "levels", lambda self, slices: inputs.append(slices) or levels(self, slices)
    )
    fitted(steps=2, validations=1)
    assert len(seen) == len(inputs) > 2
    assert all(map(torch.equal, seen, inputs))


def test_it_learns_the_mixing_and_leaves_the_location_network_as_it_is():
    state, history = fitted(steps=60, validations=4)
    assert history["validation_loss"].iloc[-1] < history["validation_loss"].iloc[0]
    assert np.abs(state["weights"]["mix.weight"]).max() > 1e-3
    for name, value in encoder().state_dict().items():
        np.testing.assert_array_equal(state["weights"][f"features.encoder.{name}"], value)


def test_its_training_differs_from_that_of_dae_by_the_features_alone(monkeypatch):
    monkeypatch.setattr(PatchFeatures, "forward", lambda self, slices: torch.zeros(len(slices), 8, 4, 6))
    mine, history = fitted()
    plain, other = dae.fit(*scans(), settings("dae"), None, device="cpu")
    assert list(history["validation_loss"]) == list(other["validation_loss"])
    for name, value in plain["weights"].items():
        np.testing.assert_array_equal(mine["weights"][name], value)


def test_a_killed_training_goes_on_to_the_same_model(tmp_path, monkeypatch):
    monkeypatch.setattr("patch2loc.engine.training_loop.CHECKPOINT_SECONDS", -1)  # at every step
    whole, history = fitted()
    noise, calls = dae.coarse_noise, []

    def dies(*given):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return noise(*given)

    with monkeypatch.context() as patch:
        patch.setattr(dae, "coarse_noise", dies)
        with pytest.raises(KeyboardInterrupt):
            fitted(tmp_path / "checkpoint.pt")
    assert (tmp_path / "checkpoint.pt").exists()
    gone_on, again = fitted(tmp_path / "checkpoint.pt")
    assert list(again["validation_loss"]) == list(history["validation_loss"])
    for name, value in whole["weights"].items():
        np.testing.assert_array_equal(gone_on["weights"][name], value)


def test_a_model_file_is_all_that_scoring_needs(tmp_path):
    state, _ = fitted()
    save_model(tmp_path / "model.safetensors", complete_model(state=state))
    volume, mask = noise_scan(7, SHAPE)
    read = load_model(tmp_path / "model.safetensors")["state"]
    found, same = (dae_patch2loc.scorer(each, "cpu")(volume, mask, mask)["score"] for each in (state, read))
    np.testing.assert_array_equal(found, same)
    assert np.array_equal(np.isfinite(found), mask)
    network = LocatedUNet(WIDTHS, patch_features(encoder(), PATCH, 2.0), LOCATION_WIDTHS[-1])
    network = with_weights(network, state["weights"], "cpu")
    slices = functional.pad(torch.from_numpy(volume.transpose(2, 0, 1))[:, None], (0, 8))
    with torch.no_grad():
        residual = (network(slices) - slices).abs()[:, 0, :, :40].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found[mask], residual[mask], atol=1e-5)
