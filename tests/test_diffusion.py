import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from patch2loc import augmentation, diffusion, slice_encoder
from patch2loc.errors import InputError
from patch2loc.methods import cddpm, ddpm, pddpm
from patch2loc.models import load_model, save_model
from patch2loc.simplex import PERSISTENCE, WAVELENGTHS, simplex_bank, simplex_noise
from patch2loc.slice_encoder import (
    MaskedModel,
    SliceEncoder,
    VisibleNorm,
    completion_loss,
    random_visible,
)

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
ENCODER = {"encoder_widths": [4, 4, 4, 4], "pretraining_steps": 2}


def settings(name, **changed):
    return TINY | (ENCODER if name == "cddpm" else {}) | changed


def scans(count, seed=0, shape=(16, 16, 6)):
    """Discs of a smooth brightness, a little different in each scan."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    mask = x**2 + y**2 < 0.8
    return [
        ((0.5 + 0.2 * x + 0.1 * y * z + 0.1 * rng.normal()) * mask).clip(0, 1).astype(np.float32)
        for _ in range(count)
    ], mask


def volumes(count, seed=0, shape=(16, 16, 6)):
    made, mask = scans(count, seed, shape)
    return [(volume, mask) for volume in made]


def fitted(name, checkpoint=None, **changed):
    # Two patches of the pre-training.
    shape = (40, 16, 4) if name == "cddpm" else (16, 16, 6)
    both = volumes(3, 0, shape), volumes(2, 9, shape)
    return METHODS[name].fit(*both, settings(name, **changed), checkpoint, "cpu")


@cache
def unbroken(name):
    """State and history of a fit that nothing broke."""
    return fitted(name)


def score_of(name, state, volume, mask):
    return METHODS[name].scorer(state, "cpu")(volume, mask, mask)["score"]


def weights_equal(first, second):
    return all(np.array_equal(first["weights"][name], second["weights"][name]) for name in first["weights"])


@pytest.fixture(scope="module")
def bank():
    return simplex_bank((96, 96), 4, 3)


def test_networks_have_the_parameters_of_the_references():
    with torch.device("meta"):
        plain = diffusion.Denoiser()
        conditioned = diffusion.Denoiser(encoder_widths=diffusion.ENCODER_WIDTHS)
        masked = MaskedModel(conditioned.encoder)
    count = {
        name: sum(value.numel() for value in network.parameters())
        for name, network in (
            ("unet", plain),
            ("conditioned", conditioned.unet),
            ("encoder", conditioned.encoder),
            ("decoder", nn.ModuleList([masked.blocks, masked.output])),
        )
    }
    assert round(count.pop("decoder"), -5) == 10_300_000  # all that is known of it
    assert count == {"unet": 37_513_857, "conditioned": 44_068_481, "encoder": 24_550_848}


def test_networks_of_the_paper_budget_are_those():
    paper = {name: module.SETTINGS["paper"] for name, module in METHODS.items()}
    assert all(
        tuple(given["widths"]) == diffusion.WIDTHS and given["blocks"] == 3 for given in paper.values()
    )
    assert tuple(paper["cddpm"]["encoder_widths"]) == diffusion.ENCODER_WIDTHS
    assert (paper["ddpm"]["steps"], paper["pddpm"]["steps"], paper["cddpm"]["steps"]) == (19200, 19200, 14400)


def test_attention_is_normalised_and_in_the_middle_only():
    for network in (diffusion.unet([32, 32, 32], 1), diffusion.conditioned_unet([32, 32, 32], 1)):
        where = {
            name: module for name, module in network.named_modules() if type(module).__name__ == "Attention"
        }
        assert list(where) == ["mid_block.attentions.0"]
        assert where["mid_block.attentions.0"].group_norm is not None


def test_the_schedule_is_that_of_the_reference():
    rates = diffusion.signal_rates()
    assert len(rates) == 1000
    assert rates[[249, 499, 749]].sqrt().tolist() == pytest.approx([0.920, 0.703, 0.380], abs=5e-4)
    assert (rates.diff() < 0).all()
    # Cosine schedule of Nichol and Dhariwal 2021, before its clipping at the end.
    angle = np.cos((np.array([250, 500, 750]) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
    expected = angle / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    assert rates[[249, 499, 749]].tolist() == pytest.approx(expected, rel=1e-4)


def test_each_octave_of_noise_is_weaker_by_the_persistence(bank):
    spread = bank.float().std(dim=(1, 2, 3)) / PERSISTENCE ** torch.arange(len(WAVELENGTHS))
    assert spread[1:].tolist() == pytest.approx([0.367] * 5, abs=0.03)
    assert bank.shape == (6, 32, 96, 96)


def test_noise_has_the_spread_of_the_reference(bank):
    noise = simplex_noise(bank, torch.Generator().manual_seed(0), 400)
    assert noise.shape == (400, 1, 96, 96)
    assert noise.std(dim=(2, 3)).mean().item() == pytest.approx(0.55, abs=0.04)  # and not 1
    assert noise.mean(dim=(2, 3)).std().item() == pytest.approx(0.18, abs=0.08)  # a field's mean wanders
    assert len(noise.flatten(1).unique(dim=0)) == 400


def test_noise_is_coarse_and_fine(bank):
    """How values go together at 8 voxels: not at all in white noise, and nearly equal in its coarsest octave."""
    noise = simplex_noise(bank, torch.Generator().manual_seed(1), 50)
    noise = noise - noise.mean(dim=(2, 3), keepdim=True)
    together = (noise[..., 8:] * noise[..., :-8]).mean() / noise.square().mean()
    assert together.item() == pytest.approx(0.58, abs=0.12)


def test_every_field_lies_in_the_bank_in_eight_ways():
    bank = simplex_bank((8, 8), 1, 0)[0]
    field = bank[0]
    ways = [torch.rot90(side, turns) for side in (field, field.T) for turns in range(4)]
    assert {tuple(way.flatten().tolist()) for way in ways} == {tuple(way.flatten().tolist()) for way in bank}
    assert simplex_bank((8, 4), 1, 0).shape == (6, 4, 8, 4)


def test_noise_depends_on_the_seed_alone():
    first, again, other = (simplex_bank((8, 8), 1, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("shape", [(96, 96), (16, 48), (10, 7)])
def test_the_quarters_cover_a_slice_once(shape):
    boxes = diffusion.quarters(shape)
    assert (boxes.sum(dim=0) == 1).all()
    if shape == (96, 96):
        assert boxes.sum(dim=(1, 2, 3)).tolist() == [48 * 48] * 4
    assert diffusion.whole(shape).all()


def test_noise_is_in_the_box_only_and_so_is_the_loss():
    clean, noise = torch.rand(3, 1, 8, 8), torch.rand(3, 1, 8, 8) + 1
    box = diffusion.quarters((8, 8))[[0, 3, 2]]
    step, rates, seen = torch.tensor([0, 499, 999]), diffusion.signal_rates(), []

    def one_too_bright(noisy, step, clean):
        seen.append(noisy)
        return clean + 1

    loss = diffusion.l1_loss(one_too_bright, clean, noise, box, step, rates)
    assert loss.item() == pytest.approx(0.25)  # 1 in a quarter of the voxels
    assert torch.equal(seen[0][~box], clean[~box])
    expected = rates[499].sqrt() * clean[1] + (1 - rates[499]).sqrt() * noise[1]
    torch.testing.assert_close(seen[0][1][box[1]], expected[box[1]])
    assert diffusion.l1_loss(lambda noisy, step, clean: clean, clean, noise, box, step, rates) == 0


@pytest.mark.parametrize(
    "masks", [diffusion.whole((8, 8)), diffusion.quarters((8, 8))], ids=["whole", "quarters"]
)
def test_a_perfect_network_leaves_no_residual(masks):
    clean, noise, rates = torch.rand(5, 1, 8, 8), torch.rand(5, 1, 8, 8), diffusion.signal_rates()
    found = diffusion.reconstruction(lambda noisy, step, clean: clean, clean, noise, masks, (499,), rates)
    assert torch.equal(found, clean)


def test_the_mosaic_takes_each_quarter_from_the_pass_with_noise_in_it():
    clean, noise, rates = torch.zeros(2, 1, 8, 8), torch.ones(2, 1, 8, 8), diffusion.signal_rates()
    level = (1 - rates[499]).sqrt()
    share = []

    def as_it_is(noisy, step, clean):
        assert step.tolist() == [499, 499]
        share.append((noisy != 0).float().mean().item())
        return noisy

    found = diffusion.reconstruction(as_it_is, clean, noise, diffusion.quarters((8, 8)), (499,), rates)
    assert share == [0.25] * 4
    torch.testing.assert_close(found, level.expand(2, 1, 8, 8))


def test_the_ensemble_is_the_mean_over_time_steps():
    clean, noise = torch.rand(2, 2, 1, 8, 8)
    rates, masks = diffusion.signal_rates(), diffusion.whole((8, 8))
    of = {
        steps: diffusion.reconstruction(lambda noisy, *_: noisy, clean, noise, masks, steps, rates)
        for steps in (cddpm.TIME_STEPS, *((step,) for step in cddpm.TIME_STEPS))
    }
    torch.testing.assert_close(of[cddpm.TIME_STEPS], sum(of[step,] for step in cddpm.TIME_STEPS) / 3)


def test_a_slice_has_the_same_noise_whatever_is_scored_with_it():
    slices = torch.rand(200, 1, 16, 16)
    chosen = diffusion.field_of(slices, 64)
    assert torch.equal(diffusion.field_of(slices[7:9], 64), chosen[7:9])
    assert len(chosen.unique()) > 50  # of 64; 61 expected
    assert chosen.min() >= 0
    assert chosen.max() < 64


def test_only_the_network_of_cddpm_is_told_of_the_clean_slice():
    torch.manual_seed(0)
    noisy, step, dark, bright = torch.rand(2, 1, 32, 32), torch.tensor([3, 700]), *torch.rand(2, 2, 1, 32, 32)
    for encoder, told in ((None, False), ([4, 4, 4, 4], True)):
        network = diffusion.Denoiser([8, 8, 8], 1, encoder).eval()
        assert not network(noisy, step, dark).any()  # a new network predicts 0
        nn.init.normal_(network.unet.conv_out.weight)
        assert torch.equal(network(noisy, step, dark), network(noisy, step, bright)) is not told
        assert not torch.equal(network(noisy, step, dark), network(noisy, step.flip(0), dark))


@pytest.mark.parametrize("name", METHODS)
def test_a_killed_training_goes_on_to_the_same_weights(name, tmp_path, monkeypatch):
    state, history = unbroken(name)
    loss, calls = diffusion.l1_loss, []

    def killed(*given):
        calls.append(1)
        if len(calls) == 7:  # in step 5, after two steps and a validation, twice
            raise KeyboardInterrupt
        return loss(*given)

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
    save_model(tmp_path / "model.safetensors", {"state": state})
    (volume, mask), *_ = volumes(1, 7, (40, 16, 4) if name == "cddpm" else (16, 16, 6))
    score = score_of(name, state, volume, mask)
    assert np.isfinite(score[mask]).all()
    assert np.isnan(score[~mask]).all()
    loaded = load_model(tmp_path / "model.safetensors")["state"]
    np.testing.assert_array_equal(score_of(name, loaded, volume, mask), score)


def test_a_killed_pretraining_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    state, _ = unbroken("cddpm")
    loss, calls = slice_encoder.completion_loss, []

    def killed(*given):
        calls.append(1)
        if len(calls) == 3:  # in step 2, after step 1 and its validation
            raise KeyboardInterrupt
        return loss(*given)

    monkeypatch.setattr(slice_encoder, "completion_loss", killed)
    with pytest.raises(KeyboardInterrupt):
        fitted("cddpm", tmp_path / "checkpoint.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["pretraining-checkpoint.pt"]
    gone_on, _ = fitted("cddpm", tmp_path / "checkpoint.pt")
    assert len(calls) == 5  # step 2 and its validation, and not step 1 again
    assert weights_equal(state, gone_on)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_pretraining_changes_what_cddpm_learns():
    without, _ = fitted("cddpm", pretraining_steps=0)
    assert not weights_equal(unbroken("cddpm")[0], without)


def test_what_is_hidden_changes_nothing():
    torch.manual_seed(0)
    network = MaskedModel(SliceEncoder([4, 4, 4, 16], 8))
    visible = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, 0, 0]])[None, None].repeat(2, 1, 1, 1)
    slices, other = torch.rand(2, 2, 1, 96, 96)
    shown = visible.repeat_interleave(32, 2).repeat_interleave(32, 3) > 0
    other = torch.where(shown, slices, other)
    for training in (True, False):
        network.train(training)
        assert torch.equal(network(slices, visible), network(other, visible))
        assert not torch.equal(network(slices, visible), network(slices + 0.1, visible))
    for output in network.encoder.of_visible(slices, visible):
        side = output.shape[2] // 3
        hidden = visible.repeat_interleave(side, 2).repeat_interleave(side, 3).expand(output.shape) == 0
        assert not output[hidden].any()
        assert output[~hidden].any()


def test_the_normalisation_is_that_of_the_visible_places():
    torch.manual_seed(0)
    x, visible = 3 * torch.rand(4, 5, 6, 6) + 1, random_visible(torch.zeros(4, 1, 96, 96), torch.Generator())
    shown = visible.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, 0] > 0
    own, known = VisibleNorm(5), nn.BatchNorm1d(5)
    own.visible = visible
    for training in (True, False):
        own.train(training)
        known.train(training)
        expected = torch.zeros(4, 6, 6, 5)
        expected[shown] = known(x.permute(0, 2, 3, 1)[shown])
        torch.testing.assert_close(own(x), expected.permute(0, 3, 1, 2))
    torch.testing.assert_close(own.running_var, known.running_var)
    torch.testing.assert_close(own.running_mean, known.running_mean)


def test_a_third_of_the_patches_is_visible_and_the_loss_is_of_the_others():
    slices = torch.ones(200, 1, 96, 96)
    visible = random_visible(slices, torch.Generator().manual_seed(0))
    assert (visible.sum(dim=(1, 2, 3)) == 3).all()
    assert visible.mean(dim=0).flatten().tolist() == pytest.approx([1 / 3] * 9, abs=0.1)

    def wrong_where_hidden(slices, visible):
        shown = visible.repeat_interleave(32, 2).repeat_interleave(32, 3)
        return slices + 0.5 * (1 - shown) + 7 * shown

    loss = completion_loss(wrong_where_hidden, slices, None, torch.Generator().manual_seed(0))
    assert loss.item() == pytest.approx(0.25)


def test_another_seed_gives_other_weights_and_noise():
    first, other = unbroken("ddpm")[0], fitted("ddpm", seed=6)[0]
    assert not weights_equal(first, other)
    assert not np.array_equal(first["noise"], other["noise"])


def test_training_learns_to_take_noise_off_and_a_spot_stays_in_the_residual():
    state, history = fitted("ddpm", steps=100, batch=8, learning_rate=5e-3)
    blank = np.mean([np.abs(2 * volume - 1).mean() for volume in scans(2, 9)[0]])  # predicting 0 everywhere
    assert history["validation_loss"].iloc[-1] < 0.25 * blank
    (volume, mask), *_ = volumes(1, 7)
    spotted = volume.copy()
    spotted[6:9, 6:9, 2:4] = 1
    residual = score_of("ddpm", state, spotted, mask)
    assert residual[6:9, 6:9, 2:4].mean() > 2 * np.nanmean(score_of("ddpm", state, volume, mask))


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "opensimplex", None)
    with pytest.raises(InputError, match=r"opensimplex was not found .*pip install diffusers opensimplex"):
        simplex_bank((8, 8), 1, 0)


def test_the_optional_packages_are_pinned_where_networks_run():
    """They are imported by name, which the tests of the environments do not see."""
    repository = Path(__file__).parent.parent
    for name in ("diffusers", "opensimplex"):
        pin = f"{name}=={version(name)}"
        assert f"\n{pin}\n" in (repository / "requirements.txt").read_text()
        assert f"- {pin}\n" in (repository / "envs" / "network.yaml").read_text()


@pytest.mark.parametrize("name", METHODS)
def test_half_precision_changes_scores_by_its_rounding_only(name):
    state, _ = unbroken(name)
    (volume, mask), *_ = volumes(1, 7, (40, 16, 4) if name == "cddpm" else (16, 16, 6))
    full, half = (
        METHODS[name].scorer(state, "cpu", precision=precision)(volume, mask, mask)["score"][mask]
        for precision in ("float32", "bfloat16")
    )
    assert 0 < np.abs(full - half).max() < 0.01  # of intensities of 0 to 1


def test_intensities_change_for_the_chosen_slices_only(monkeypatch):
    slices = torch.rand(64, 1, 16, 16)
    changed = augmentation.change_intensities(slices, torch.Generator().manual_seed(0))
    same = (changed == slices).all(dim=3).all(dim=2)[:, 0]
    assert same.float().mean().item() == pytest.approx(0.5 * 0.75 * 0.75 * 0.5, abs=0.12)
    monkeypatch.setattr(augmentation, "CHANCES", dict.fromkeys(augmentation.CHANCES, 0))
    assert torch.equal(augmentation.change_intensities(slices, torch.Generator()), slices)


def test_the_bias_field_is_the_exponential_of_a_polynomial():
    coefficients = torch.zeros(2, 4, 4)
    coefficients[0, 0, 0] = 0.3
    coefficients[1, 1, 2] = 0.5  # x y^2
    coefficients[1, 3, 3] = 9  # of too high an order
    constant, bent = augmentation.bias_field(coefficients, (5, 3))[:, 0]
    torch.testing.assert_close(constant, torch.full((5, 3), 0.3).exp())
    expected = 0.5 * torch.linspace(-1, 1, 5)[:, None] * torch.tensor([1.0, 0.0, 1.0])
    torch.testing.assert_close(bent, expected.exp())


def test_the_blur_has_the_width_it_says():
    spot = torch.zeros(1, 1, 32, 32)
    spot[..., 16, 16] = 1
    gain = augmentation.blur_gain(torch.tensor([[1.5, 0.0]]), (32, 32))
    blurred = torch.fft.ifft2(torch.fft.fft2(spot) * gain).real[0, 0]
    place = torch.arange(32) - 16.0
    assert blurred.sum().item() == pytest.approx(1, abs=1e-5)
    assert (blurred.sum(dim=1) * place**2).sum().item() == pytest.approx(1.5**2, rel=1e-3)
    assert (blurred.sum(dim=0) * place**2).sum().item() == pytest.approx(0, abs=1e-4)


def test_ghosts_are_faint_copies_at_even_distances():
    spot = torch.zeros(1, 1, 24, 24)
    spot[..., 0, 5] = 1
    gain = augmentation.ghost_gain(torch.tensor([4]), torch.tensor([0.6]), torch.tensor([True]), (24, 24))
    ghosted = torch.fft.ifft2(torch.fft.fft2(spot) * gain).real[0, 0]
    assert not ghosted[:, torch.arange(24) != 5].abs().gt(1e-6).any()
    # A quarter of what was lost comes back at each quarter of the width; the mean stays.
    assert ghosted[[6, 12, 18], 5].tolist() == pytest.approx([-0.6 * (1 / 4 - 1 / 24)] * 3, abs=1e-6)
    assert ghosted.sum().item() == pytest.approx(1, abs=1e-5)
