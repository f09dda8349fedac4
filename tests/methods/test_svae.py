"""SVAE: whole scans, whose slices' codes see each other."""

from functools import cache, partial

import numpy as np
import pytest
import torch
from scans import disc_scans
from torch.nn import functional

import patch2loc.methods.svae.model as svae
from patch2loc.configuration import method_settings
from patch2loc.errors import InputError
from patch2loc.method_interface import declaration
from patch2loc.methods.reconstruction.residual import residual_score
from patch2loc.methods.reconstruction.slice_pools import ScanPool, slices_of
from patch2loc.methods.svae.model import ScanAutoencoder

NETWORK = {"widths": [4, 8], "latent": 8, "layers": 2, "heads": 2, "feedforward": 16, "dropout": 0.1}
SETTINGS = method_settings.resolve_settings("svae", "smoke", {**NETWORK, "steps": 6, "batch": 2}) | {
    "learning_rate": 1e-3,
    "validations": 3,
    "validation_slices": 12,
    "seed": 3,
    "precision": "float32",
    "spacing": 2.0,
}
SHAPE = (16, 12, 6)


scans = partial(disc_scans, shape=SHAPE, empty_last_slice=True)


def network(seed=0, **changed):
    torch.manual_seed(seed)
    return ScanAutoencoder((16, 12), 6, **NETWORK | changed).eval()


def stacked(count=3, seed=1):
    return torch.rand((count, 6, 16, 12), generator=torch.Generator().manual_seed(seed))


def fitted(checkpoint=None, **changed):
    return svae.fit(scans(3), scans(2, 9), SETTINGS | changed, checkpoint, device="cpu")


@cache
def unbroken(precision="float32"):
    """State and history of a fit that nothing broke."""
    return fitted(precision=precision)


def test_the_paper_budget_has_about_as_many_parameters_as_the_vae():
    built = {name: declaration("svae").settings["paper"][name] for name in NETWORK}
    larger = {"latent": 512, "layers": 4, "heads": 8, "feedforward": 1024}
    with torch.device("meta"):
        counts = [
            sum(parameter.numel() for parameter in ScanAutoencoder((96, 96), 50, **chosen).parameters())
            for chosen in (built, built | larger)
        ]
    assert counts == [1_816_497, 10_916_913]  # that of slices one by one: 1,585,969 (test_reconstruction.py)


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_the_code_of_a_slice_depends_on_the_others_by_attention_alone(layers):
    given = stacked(1)
    changed = given.clone()
    changed[0, 2] = torch.rand(16, 12, generator=torch.Generator().manual_seed(7))
    model = network(layers=layers)
    with torch.no_grad():
        parts = zip(model.encode(given), model.encode(changed), strict=True)
        different = [(before != after).any(dim=2)[0].tolist() for before, after in parts]
    expected = [True] * 6 if layers else [False, False, True, False, False, False]
    assert different == [expected, expected]


def test_a_slice_is_decoded_from_its_own_code_alone():
    codes = torch.rand((1, 6, 8), generator=torch.Generator().manual_seed(1))
    changed = codes.clone()
    changed[0, 2] += 1
    model = network()
    with torch.no_grad():
        before, after = model.decode(codes), model.decode(changed)
    assert (before != after).any(dim=(2, 3))[0].tolist() == [False, False, True, False, False, False]


def test_where_a_slice_is_matters():
    given = stacked(1)
    model = network()
    with torch.no_grad():
        moved = model(given.roll(1, 1)).roll(-1, 1)
        assert (moved - model(given)).abs().max() > 1e-4
        model.position.zero_()
        moved = model(given.roll(1, 1)).roll(-1, 1)
        torch.testing.assert_close(moved, model(given))


def test_scans_of_a_batch_do_not_see_each_other():
    given, order = stacked(4), [2, 0, 3, 1]
    model = network()
    with torch.no_grad():
        together = model(given)
        torch.testing.assert_close(model(given[order]), together[order])
        torch.testing.assert_close(model(given[1:2]), together[1:2])


def test_the_attention_is_that_of_its_formula():
    """One head, one layer, without the parts that are tested above."""
    model = network(layers=1, heads=1)
    layer = model.attention[0]
    with torch.no_grad():
        tokens = model.encoder(stacked(1)[0, :, None]) + model.position
        attention = layer.self_attn
        projected = tokens @ attention.in_proj_weight.T + attention.in_proj_bias
        query, key, value = projected.split(8, dim=1)
        weights = (query @ key.T / 8**0.5).softmax(dim=1)
        seen = layer.norm1(tokens + attention.out_proj(weights @ value))
        seen = layer.norm2(seen + layer.linear2(functional.relu(layer.linear1(seen))))
        torch.testing.assert_close(model.encode(stacked(1))[0][0], model.mean(seen))


def test_the_loss_is_the_summed_residual_and_beta_times_the_divergence():
    class Known:
        """Two slices of 1 x 3: means 1, 0 and 0, 2; standard deviations 1, 1 and 1, 2."""

        def encode(self, given):
            mean = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
            return mean, torch.tensor([[[1.0, 1.0], [1.0, 2.0]]]).log()

        def decode(self, codes):
            self.codes = codes
            return torch.tensor([[[[0.5, 0.0, 0.25]], [[1.0, 1.0, 1.0]]]])

    given = torch.tensor([[[[0.0, 0.0, 0.5]], [[1.0, 0.5, 0.0]]]])
    known, generator = Known(), torch.Generator().manual_seed(2)
    # Residuals 0.75 and 1.5; divergences 1 / 2 and (4 + 4 - 2 log 2 - 1) / 2.
    divergence = (0.5 + 3.5 - np.log(2)) / 2
    for beta in (0.0, 1.0, 3.0):
        found = svae.loss(known, given, beta, generator.manual_seed(2))
        assert found.item() == pytest.approx(1.125 + beta * divergence, rel=1e-6)
    noise = torch.randn((1, 2, 2), generator=generator.manual_seed(2))
    mean, log_deviation = known.encode(given)
    torch.testing.assert_close(known.codes, mean + log_deviation.exp() * noise)


def test_whole_scans_are_drawn_none_again_before_all_were():
    given = scans(5)
    given = [(volume * (1 - 0.1 * number), mask) for number, (volume, mask) in enumerate(given)]
    pool = ScanPool(given, "cpu", 2.0, 4)
    expected = torch.stack([slices_of(*map(torch.from_numpy, one), 2.0, 4)[0] for one in given])
    drawn, brain = pool.draw(pool.generator(1), 12)
    assert drawn.shape == brain.shape == (12, 6, 16, 12)
    assert pool.slices_each == 6
    which = [(one - expected).abs().amax(dim=(1, 2, 3)).argmin().item() for one in drawn]
    torch.testing.assert_close(drawn, expected[which].half().float(), rtol=0, atol=0)
    assert [sorted(which[:5]), sorted(which[5:10])] == [[0, 1, 2, 3, 4]] * 2
    assert which[:5] != which[5:10]
    assert brain.any(dim=(2, 3))[0].tolist() == [True] * 5 + [False]
    firsts = [pool.draw(pool.generator(seed), 1)[0][0] for seed in range(200)]
    counts = np.bincount([(one - expected).abs().amax(dim=(1, 2, 3)).argmin().item() for one in firsts])
    assert abs(counts - 40).max() < 5 * np.sqrt(40)


def test_a_code_that_the_heads_cannot_share_is_refused():
    with pytest.raises(InputError, match="latent 8 found with 3 heads"):
        fitted(heads=3)


def test_the_history_counts_slices():
    _, history = unbroken()
    assert list(history["step"]) == [2, 4, 6]
    assert list(history["slices"]) == [24, 48, 72]  # two scans of six slices a step


@pytest.mark.parametrize("killed_at", [3, 6, 9])
def test_a_killed_training_goes_on_to_the_same_weights(tmp_path, monkeypatch, killed_at):
    state, history = unbroken()
    calls, loss = [], svae.loss

    def until_killed(*given):
        calls.append(given)
        if len(calls) == killed_at:
            raise KeyboardInterrupt
        return loss(*given)

    checkpoint = tmp_path / "checkpoint.pt"
    monkeypatch.setattr("patch2loc.engine.training_loop.CHECKPOINT_SECONDS", -1)  # at every step
    monkeypatch.setattr(svae, "loss", until_killed)
    with pytest.raises(KeyboardInterrupt):
        fitted(checkpoint)
    monkeypatch.setattr(svae, "loss", loss)
    assert checkpoint.exists()
    resumed, again = fitted(checkpoint)
    assert state["weights"].keys() == resumed["weights"].keys()
    for name, value in state["weights"].items():
        np.testing.assert_array_equal(value, resumed["weights"][name], name)
    columns = ["step", "slices", "training_loss", "validation_loss", "learning_rate"]
    assert history[columns].equals(again[columns])


@pytest.mark.parametrize("spacing", [1.0, 2.0])
def test_the_score_is_the_residual_of_the_whole_scan(spacing):
    state, _ = unbroken()
    if spacing == 1.0:  # a grid of 1 mm: the same slices of 2 mm
        state = state | {"spacing": 1.0}
    factor = round(2 / spacing)
    volume, mask = scans(1, 5)[0]
    fine = [array.repeat(factor, 0).repeat(factor, 1).repeat(factor, 2) for array in (volume, mask)]
    wanted = np.zeros(fine[1].shape, bool)
    wanted[2:-2, 3:-3, 2 * factor : 3 * factor] = True  # one slice, whose code depends on the others
    found = svae.scorer(state, "cpu")(*fine, wanted)["score"]
    model = ScanAutoencoder(**state["network"]).eval()
    model.load_state_dict({name: torch.from_numpy(value) for name, value in state["weights"].items()})
    slices = torch.from_numpy(volume.transpose(2, 0, 1)[None])
    with torch.no_grad():
        codes = model.encoder(slices[0, :, None]) + model.position
        reconstructed = model.decoder(model.mean(model.attention(codes[None]))[0])[:, 0].numpy()
    residual = np.abs(volume - reconstructed.transpose(1, 2, 0))
    if spacing == 1.0:
        given = torch.from_numpy(residual)[None, None]
        residual = functional.interpolate(given, scale_factor=2, mode="trilinear")[0, 0].numpy()
    np.testing.assert_array_equal(np.isfinite(found), wanted)
    np.testing.assert_allclose(found[wanted], residual[wanted], atol=1e-5)
    again = svae.scorer(state, "cpu")(*fine, wanted)["score"]
    np.testing.assert_array_equal(found, again)


def test_a_network_of_whole_scans_gets_all_slices_and_others_what_is_needed():
    volume, mask = scans(1)[0]
    wanted = np.zeros_like(mask)
    wanted[8, 6, 2] = True
    for batch, expected in ((None, [6]), (32, [3]), (2, [2, 1])):
        seen = []

        def reconstruct(slices, seen=seen):
            seen.append(len(slices))
            return slices

        residual_score(reconstruct, "cpu", 2.0, multiple=4, batch=batch)(volume, mask, wanted)
        assert seen == expected


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_learns(precision):
    given = scans(3)
    settings = SETTINGS | {"steps": 40, "learning_rate": 1e-2, "precision": precision}
    state, history = svae.fit(given, given[:2], settings, None, device="cpu")
    losses = history["validation_loss"]
    assert losses.iloc[-1] < 0.7 * losses.iloc[0]
    volume, mask = given[0]
    score = svae.scorer(state, "cpu", precision=precision)(volume, mask, mask)["score"]
    assert np.array_equal(np.isfinite(score), mask)
    assert score[mask].mean() < 0.7 * volume[mask].mean()  # of what reconstructing nothing would leave
