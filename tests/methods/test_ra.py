"""Reversed autoencoders: network, losses, two optimizers in turn, scores."""

import numpy as np
import pytest
import torch
from scans import noise_scan
from torch import nn
from written_models import complete_model

import patch2loc.methods.ra.model as ra
from patch2loc.configuration.method_settings import resolve_settings
from patch2loc.engine.training_loop import train_in_steps
from patch2loc.method_interface import declaration
from patch2loc.methods.reconstruction import reversed_autoencoder as module
from patch2loc.methods.reconstruction.reversed_autoencoder import (
    ReversedAutoencoder,
    decoder_loss,
    divergence,
    encoder_loss,
    losses,
    mean_squared_error,
    moved,
    optimizers,
    reversed_embedding,
)
from patch2loc.models import load_model, save_model
from patch2loc.score.scoring import heatmaps_with

TINY = {"steps": 6, "batch": 3, "validations": 3, "validation_slices": 4, "learning_rate": 0.003} | {
    "widths": [4, 4, 8, 8, 8],
    "latent": 6,
}
REST = {
    "spacing": 2.0,
    "seed": 1,
    "precision": "float32",
    "pretrained": {name: None for name in declaration("ra").pretrained},
}


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def tiny_network():
    torch.manual_seed(1)
    return ReversedAutoencoder((32, 32), TINY["widths"], TINY["latent"])


@pytest.mark.parametrize(
    ("size", "encoder", "decoder"), [(128, 16_360_896, 13_069_889), (96, 15_443_392, 12_607_553)]
)
def test_the_networks_have_the_parameters_of_the_paper(size, encoder, decoder):
    chosen = resolve_settings("ra", "paper")
    with torch.device("meta"):
        network = ReversedAutoencoder((size, size), chosen["widths"], chosen["latent"])
    assert (parameters(network.encoder), parameters(network.decoder)) == (encoder, decoder)
    assert parameters(network) == {128: 29_430_785, 96: 28_050_945}[size]


def test_slices_go_through_three_by_three_voxels_and_back():
    network = ReversedAutoencoder((96, 64), TINY["widths"], 6)
    slices = torch.rand(2, 1, 96, 64)
    mean, log_variance, features = network.encoder(slices)
    assert mean.shape == log_variance.shape == (2, 6)
    assert [tuple(maps.shape[1:]) for maps in features] == [
        (4, 48, 32),
        (4, 24, 16),
        (8, 12, 8),
        (8, 6, 4),
        (8, 3, 2),
    ]
    reconstructed = network(slices)
    assert reconstructed.shape == slices.shape
    assert 0 < reconstructed.min() < reconstructed.max() < 1


def test_the_divergence_of_known_codes():
    mean = torch.tensor([[0.0, 0.0], [1.0, -2.0], [0.0, 3.0]])
    log_variance = torch.tensor([[0.0, 0.0], [0.0, 0.0], [np.log(4.0), 0.0]], dtype=torch.float32)
    expected = [0, (1 + 4) / 2, (9 + 4 - 1 - np.log(4)) / 2]
    torch.testing.assert_close(divergence(mean, log_variance), torch.tensor(expected, dtype=torch.float32))


def test_the_reversed_embedding_is_0_for_equal_features_and_grows_with_their_angle():
    features = [torch.rand(2, 3, 4, 4), torch.rand(2, 5, 2, 2)]
    assert reversed_embedding(features, features).item() == pytest.approx(0, abs=1e-6)
    one, other = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
    both = [torch.stack([one, one])[..., None, None]], [torch.stack([other, one])[..., None, None]]
    # First slice: squares 1 and 4, cosine 0; second: equal.
    assert reversed_embedding(*both).item() == pytest.approx(0.5 * 5 / 4 + 0.5)


class MeanCode(nn.Module):
    """Stands in for an encoder: a slice's mean is the mean of its code, 0.1 the logarithm of its variance."""

    def forward(self, slices):
        mean = slices.mean(dim=(1, 2, 3))[:, None]
        return mean, torch.full_like(mean, 0.1), [slices]


class Spread(nn.Module):
    """Stands in for a decoder: half of the code in every voxel, and a quarter more in the first."""

    def forward(self, codes):
        pattern = torch.tensor([[0.75, 0.5], [0.5, 0.5]])
        return codes[:, :, None, None] * pattern


class StandIn(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder, self.latent = MeanCode(), Spread(), 1


TWO = np.array([[[0.2, 0.4], [0.6, 0.8]], [[1.0, 0.0], [0.0, 0.2]]])
PATTERN = np.array([[0.75, 0.5], [0.5, 0.5]])
DEVIATION = np.exp(0.05)


def by_hand(noise):
    """What the losses of the stand-in are made of, in numpy, slice by slice; noise: of the three codes."""

    def decoded(code):
        return code[:, None, None] * PATTERN

    def divergent(slices):
        return 0.5 * (slices.mean(axis=(1, 2)) ** 2 + np.exp(0.1) - 0.1 - 1)

    def error(slices, others):
        return ((slices - others) ** 2).sum(axis=(1, 2))

    def repeated(slices, noise):
        return decoded(slices.mean(axis=(1, 2)) + DEVIATION * noise)

    return decoded, divergent, error, repeated


def test_the_losses_are_those_of_the_paper_on_two_slices():
    slices = torch.from_numpy(TWO)[:, None].float()
    noise = np.array([[0.5, -1.0], [0.3, 0.8], [-0.2, 0.1], [1.5, -0.4]])
    decoded, divergent, error, repeated = by_hand(noise)
    codes = TWO.mean(axis=(1, 2)) + DEVIATION * noise[0]
    reconstructed, made_up = decoded(codes), decoded(noise[1])
    expected = (0.5 * error(TWO, reconstructed) + divergent(TWO)).mean() / 4
    for given, second in ((reconstructed, noise[2]), (made_up, noise[3])):
        unlike = 0.5 * error(given, repeated(given, second)) + 128 * divergent(given)
        expected += 0.25 * np.exp(-2 / 4 * unlike).mean()
    cosine = (TWO * reconstructed).sum(axis=(1, 2)) / np.sqrt(
        (TWO**2).sum(axis=(1, 2)) * (reconstructed**2).sum(axis=(1, 2))
    )
    expected += 0.005 * (0.5 * ((TWO - reconstructed) ** 2).mean() + (1 - cosine).mean())
    network = StandIn()
    given = torch.from_numpy(noise).float()[:, :, None]
    loss, found = encoder_loss(network, slices, given)
    np.testing.assert_allclose(found[:, 0], codes, rtol=1e-5)
    assert loss.item() == pytest.approx(expected, rel=1e-5)

    expected = 0.5 * error(TWO, reconstructed)
    for made, second in ((reconstructed, noise[2]), (made_up, noise[3])):
        expected = expected + 0.5 * divergent(made)
        expected = expected + 1e-8 * 0.5 * 0.5 * error(made, repeated(made, second))
    loss = decoder_loss(network, slices, found, given[1:])
    assert loss.item() == pytest.approx(expected.mean() / 4, rel=1e-5)


def test_each_loss_moves_its_own_part_and_the_decoders_comes_after_the_encoders_step():
    network, slices = tiny_network(), torch.rand(3, 1, 32, 32)
    adams = optimizers(network, 0.01)
    before = {name: value.clone() for name, value in network.named_parameters()}
    found = losses(network, slices, None, torch.Generator().manual_seed(1))
    next(found).backward()
    assert all(value.grad is not None for value in network.encoder.parameters())
    assert all(value.grad is None for value in network.decoder.parameters())
    adams[0].step()
    changed = {name for name, value in network.named_parameters() if not torch.equal(value, before[name])}
    assert {name.partition(".")[0] for name in changed} == {"encoder"}
    adams[0].zero_grad()
    next(found).backward()
    assert all(value.grad is None for value in network.encoder.parameters())
    assert all(value.grad is not None for value in network.decoder.parameters())
    assert next(found, None) is None
    assert all(value.requires_grad for value in network.parameters())


def test_optimizers_take_turns():
    network = nn.Module()
    network.first, network.second = (nn.Parameter(torch.zeros(1)) for _ in range(2))
    steps = [torch.optim.SGD([value], lr=0.5) for value in (network.first, network.second)]

    def losses_of():
        yield (network.first - 1).square().sum()
        yield (network.second - network.first.detach()).square().sum()

    history = train_in_steps(
        network, steps, None, lambda step: (), losses_of,
        validate=lambda rate: {"validation_loss": 1.0, "learning_rate": rate}, steps=1, batch=1, validations=1,
        unit="slices", checkpoint=None, progress=lambda _: None,
    )  # fmt: skip
    assert network.first.item() == 1  # half of the gradient, -2, away from 0
    assert network.second.item() == 1  # 0 without the first one's step
    assert history[0]["training_loss"] == 1 + 1  # the sum, each as it was asked for


def test_moved_slices_are_slices_or_their_mirror_images_where_nothing_else_changes(monkeypatch):
    monkeypatch.setattr(module, "DEGREES", 0.0)
    monkeypatch.setattr(module, "SHIFT", 0.0)
    monkeypatch.setattr(module, "SCALE", (1.0, 1.0))
    slices = torch.rand(64, 1, 16, 24)
    found = moved(slices, torch.Generator().manual_seed(1))
    same, mirrored = (
        torch.isclose(found, other, atol=1e-5).all(dim=(1, 2, 3)) for other in (slices, slices.flip(2))
    )
    assert (same ^ mirrored).all()
    assert 16 < same.sum() < 48


def test_moved_slices_stay_within_their_ranges():
    x, y = torch.meshgrid(torch.arange(48.0), torch.arange(72.0), indexing="ij")
    disc = ((x - 23.5) ** 2 / 100 + (y - 35.5) ** 2 / 64 < 1).float().expand(200, 1, -1, -1)
    found = moved(disc, torch.Generator().manual_seed(1))[:, 0]
    area = found.sum(dim=(1, 2)) / disc[0].sum()
    assert 0.8 < area.min() < 0.85
    assert 1.17 < area.max() < 1.24
    center = [(found * axis).sum(dim=(1, 2)) / found.sum(dim=(1, 2)) for axis in (x, y)]
    for axis, middle, side in zip(center, (23.5, 35.5), (48, 72), strict=True):
        shift = (axis - middle).abs() / side
        assert 0.07 < shift.max() < 0.115
    # Turned as a whole: the axes of the ellipse keep their lengths although the slice is not square.
    offsets = torch.stack([axis - middle[:, None, None] for axis, middle in zip((x, y), center, strict=True)])
    spread = (
        torch.einsum("inxy,jnxy,nxy->nij", offsets, offsets, found) / found.sum(dim=(1, 2))[:, None, None]
    )
    least, most = torch.linalg.eigvalsh(spread).T
    torch.testing.assert_close((most / least).sqrt(), torch.full((200,), 10 / 8), rtol=0.03, atol=0)
    angle = 0.5 * torch.atan2(2 * spread[:, 0, 1], spread[:, 0, 0] - spread[:, 1, 1]).rad2deg()
    assert 8 < angle.abs().max() < 10.6
    assert torch.equal(found, moved(disc, torch.Generator().manual_seed(1))[:, 0])


def fitted(checkpoint=None, **changed):
    scans = [noise_scan(1), noise_scan(2)]
    settings = resolve_settings("ra", "smoke", {**TINY, **changed}) | REST
    return ra.fit(scans, scans[:1], settings, checkpoint, device="cpu")


def test_a_killed_training_goes_on_to_the_same_numbers(tmp_path, monkeypatch):
    state, history = fitted()
    checkpoint, calls = tmp_path / "checkpoint.pt", []

    def until_killed(*given):
        calls.append(given)
        found = losses(*given)
        yield next(found)
        if len(calls) == 4:  # between the encoder's step and the decoder's
            raise KeyboardInterrupt
        yield next(found)

    with monkeypatch.context() as killed:
        killed.setattr("patch2loc.engine.training_loop.CHECKPOINT_SECONDS", -1)  # at every step
        killed.setattr(ra, "losses", until_killed)
        with pytest.raises(KeyboardInterrupt):
            fitted(checkpoint)
    again, resumed = fitted(checkpoint)
    for name, value in state["weights"].items():
        np.testing.assert_array_equal(value, again["weights"][name], err_msg=name)
    columns = ["step", "slices", "training_loss", "validation_loss", "learning_rate", "saliency"]
    assert history[columns].equals(resumed[columns])
    assert list(history["step"]) == [2, 4, 6]
    assert list(history["slices"]) == [6, 12, 18]


def test_training_is_validated_by_the_error_of_the_mean_code():
    network = tiny_network().eval()
    slices = torch.rand(3, 1, 32, 32)
    found = mean_squared_error(network, slices, None, None)
    expected = (network.decoder(network.encoder(slices)[0]) - slices).square().mean()
    assert found.item() == pytest.approx(expected.item())
    state, history = fitted(steps=16, learning_rate=0.01)
    untrained = ReversedAutoencoder(**state["network"]).eval()
    slices, _ = as_slices(*noise_scan(1))
    before = mean_squared_error(untrained, slices, None, None).item()
    assert history["validation_loss"].min() < 0.5 * before


def test_scores_are_the_same_at_every_call_and_the_native_row_has_its_own(tmp_path):
    state, history = fitted()
    assert state["perception"] is None
    assert set(history["saliency"]) == {"absolute difference"}  # the fallback is declared
    volume, mask = noise_scan(3)
    save_model(tmp_path / "model.safetensors", complete_model(state=state, method="ra"))
    model = load_model(tmp_path / "model.safetensors")
    maps = ra.scorer(model["state"], "cpu")(volume, mask, mask)
    again = ra.scorer(state, "cpu")(volume, mask, mask)
    for name in ("score", "as_published"):
        assert maps[name].dtype == np.float32
        assert np.isfinite(maps[name][mask]).all()
        np.testing.assert_array_equal(maps[name], again[name])
    assert np.isnan(maps["score"][~mask]).all()
    common, as_published = heatmaps_with(
        model,
        "cpu",
        stride=1,
        median_filter=1,
        precision="float32",
        as_published=declaration("ra").as_published,
    )(volume, mask)
    np.testing.assert_allclose(common[mask], maps["score"][mask])
    np.testing.assert_allclose(
        as_published[mask], maps["as_published"][mask]
    )  # as it is: no erosion, no median
    # The residual is that of the network, and the as_published score is made from it.
    network = ReversedAutoencoder(**state["network"])
    network.load_state_dict({name: torch.from_numpy(value) for name, value in state["weights"].items()})
    slices, brain = as_slices(volume, mask)
    with torch.no_grad():
        reconstructed = network.eval()(slices)
    np.testing.assert_allclose(
        maps["score"][mask], (slices - reconstructed).abs()[:, 0, :, :28].permute(1, 2, 0)[mask], atol=1e-6
    )
    expected = ra.anomaly(None, slices, reconstructed, brain)[:, 0, :, :28].permute(1, 2, 0)
    np.testing.assert_allclose(maps["as_published"][mask], expected[mask], atol=1e-6)


def as_slices(volume, mask):
    padded = [np.pad(array, [(0, 0), (0, 4), (0, 0)]).transpose(2, 0, 1)[:, None] for array in (volume, mask)]
    return [torch.from_numpy(array.copy()) for array in padded]
