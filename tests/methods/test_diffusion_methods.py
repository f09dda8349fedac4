"""The methods ddpm, pddpm and cddpm: their training and scoring, with tiny networks."""

from functools import cache

import numpy as np
import pytest
import torch
from scans import disc_scans
from written_models import complete_model

import patch2loc.methods.cddpm.model as cddpm
import patch2loc.methods.ddpm.model as ddpm
import patch2loc.methods.pddpm.model as pddpm
from patch2loc.methods.reconstruction import diffusion, slice_encoder
from patch2loc.models import load_model, save_model

for package in ("diffusers", "opensimplex"):
    pytest.importorskip(
        package, reason=f"{package} is not installed: ddpm, pddpm and cddpm are not tested here"
    )

METHODS = {"ddpm": ddpm, "pddpm": pddpm, "cddpm": cddpm}
TINY = {
    "widths": [8, 8, 8],
    "blocks": 1,
    "noise_fields": 1,
    "steps": 6,
    "batch": 4,
    "learning_rate": 2e-3,
    "validations": 3,
    "validation_slices": 4,
    "seed": 5,
    "precision": "float32",
    "spacing": 2.0,
}
ALL_CHANGES = dict.fromkeys(("gamma", "bias", "blur", "ghosts"), 1)
ENCODER = {"encoder_widths": [4, 4, 4, 4], "pretraining_steps": 2}


def settings(name, **changed):
    return TINY | (ENCODER if name == "cddpm" else {}) | changed


def fitted(name, checkpoint=None, **changed):
    # Two patches of the pre-training.
    shape = (40, 16, 4) if name == "cddpm" else (16, 16, 6)
    both = disc_scans(3, 0, shape), disc_scans(2, 9, shape)
    return METHODS[name].fit(*both, settings(name, **changed), checkpoint, device="cpu")


@cache
def unbroken(name):
    """State and history of a fit that nothing broke."""
    return fitted(name)


def score_of(name, state, volume, mask):
    return METHODS[name].scorer(state, "cpu")(volume, mask, mask)["score"]


def weights_equal(first, second):
    return all(np.array_equal(first["weights"][name], second["weights"][name]) for name in first["weights"])


@pytest.mark.parametrize("name", METHODS)
def test_a_killed_training_goes_on_to_the_same_weights(name, tmp_path, monkeypatch):
    monkeypatch.setattr("patch2loc.engine.training_loop.CHECKPOINT_SECONDS", -1)  # at every step
    state, history = unbroken(name)
    loss, calls = diffusion.l1_loss, []

    def killed(*given, **named):
        calls.append(1)
        if len(calls) == 7:  # in step 5, after two steps and a validation, twice
            raise KeyboardInterrupt
        return loss(*given, **named)

    monkeypatch.setattr(diffusion, "l1_loss", killed)
    with pytest.raises(KeyboardInterrupt):
        fitted(name, tmp_path / "checkpoint.pt")
    monkeypatch.setattr(diffusion, "l1_loss", loss)
    assert (tmp_path / "checkpoint.pt").exists()
    gone_on, again = fitted(name, tmp_path / "checkpoint.pt")
    assert weights_equal(state, gone_on)
    assert history["validation_loss"].tolist() == again["validation_loss"].tolist()
    assert history["training_loss"].tolist() == again["training_loss"].tolist()


@pytest.mark.parametrize("name", METHODS)
def test_a_model_file_scores_as_the_model_does(name, tmp_path):
    state, _ = unbroken(name)
    save_model(tmp_path / "model.safetensors", complete_model(state=state))
    (volume, mask), *_ = disc_scans(1, 7, (40, 16, 4) if name == "cddpm" else (16, 16, 6))
    score = score_of(name, state, volume, mask)
    assert np.isfinite(score[mask]).all()
    assert np.isnan(score[~mask]).all()
    loaded = load_model(tmp_path / "model.safetensors")["state"]
    np.testing.assert_array_equal(score_of(name, loaded, volume, mask), score)


def test_a_killed_pretraining_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr("patch2loc.engine.training_loop.CHECKPOINT_SECONDS", -1)  # at every step
    state, _ = unbroken("cddpm")
    loss, calls = slice_encoder.completion_loss, []

    def killed(*given, **named):
        calls.append(1)
        if len(calls) == 3:  # in step 2, after step 1 and its validation
            raise KeyboardInterrupt
        return loss(*given)

    monkeypatch.setattr(slice_encoder, "completion_loss", killed)
    with pytest.raises(KeyboardInterrupt):
        fitted("cddpm", tmp_path / "checkpoint.pt")
    assert [path.name for path in tmp_path.glob("*checkpoint*")] == ["pretraining-checkpoint.pt"]
    gone_on, _ = fitted("cddpm", tmp_path / "checkpoint.pt")
    assert len(calls) == 5  # step 2 and its validation, and not step 1 again
    assert weights_equal(state, gone_on)
    assert [path.name for path in tmp_path.glob("*checkpoint*")] == ["checkpoint.pt"]


def test_pretraining_changes_what_cddpm_learns():
    without, _ = fitted("cddpm", pretraining_steps=0)
    assert not weights_equal(unbroken("cddpm")[0], without)


def test_another_seed_gives_other_weights_and_noise():
    first, other = unbroken("ddpm")[0], fitted("ddpm", seed=6)[0]
    assert not weights_equal(first, other)
    assert not np.array_equal(first["noise"], other["noise"])


def test_training_learns_to_take_noise_off_and_a_spot_stays_in_the_residual():
    state, history = fitted("ddpm", steps=100, batch=8, learning_rate=5e-3)
    # Predicting 0 everywhere.
    blank = np.mean([np.abs(2 * volume - 1).mean() for volume, _ in disc_scans(2, 9)])
    assert history["validation_loss"].iloc[-1] < 0.25 * blank
    (volume, mask), *_ = disc_scans(1, 7)
    spotted = volume.copy()
    spotted[6:9, 6:9, 2:4] = 1
    residual = score_of("ddpm", state, spotted, mask)
    assert residual[6:9, 6:9, 2:4].mean() > 2 * np.nanmean(score_of("ddpm", state, volume, mask))


@pytest.mark.parametrize("name", METHODS)
def test_half_precision_changes_scores_by_its_rounding_only(name):
    state, _ = unbroken(name)
    (volume, mask), *_ = disc_scans(1, 7, (40, 16, 4) if name == "cddpm" else (16, 16, 6))
    full, half = (
        METHODS[name].scorer(state, "cpu", precision=precision)(volume, mask, mask)["score"][mask]
        for precision in ("float32", "bfloat16")
    )
    assert 0 < np.abs(full - half).max() < 0.01  # of intensities of 0 to 1


@pytest.mark.parametrize("name", METHODS)
def test_slices_are_drawn_and_changed_in_float32_whatever_the_precision(name, monkeypatch):
    seen = {}
    loss = diffusion.l1_loss

    def recording(network, clean, noise, box, **named):
        if network.training:
            seen.setdefault(precision, []).append((clean, noise))
        return loss(network, clean, noise, box, **named)

    monkeypatch.setattr(diffusion, "l1_loss", recording)
    monkeypatch.setattr("patch2loc.methods.reconstruction.slice_augmentation.CHANCES", ALL_CHANGES)
    for precision in ("float32", "bfloat16"):
        fitted(name, precision=precision, steps=2, validations=1)
    assert len(seen["float32"]) == len(seen["bfloat16"]) == 2
    for full, half in zip(seen["float32"], seen["bfloat16"], strict=True):
        assert all(map(torch.equal, full, half))
