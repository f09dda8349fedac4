"""Slices, training and residual of the methods that reconstruct, and their networks."""

import numpy as np
import pandas as pd
import pytest
import torch
from scans import noise_scan
from torch import nn

import patch2loc.methods.ae.model as ae
import patch2loc.methods.dae.model as dae
import patch2loc.methods.vae.model as vae
from patch2loc.configuration.method_settings import resolve_settings
from patch2loc.errors import InputError
from patch2loc.method_interface import declaration
from patch2loc.methods.dae.model import UNet, coarse_noise, learning_rate_share
from patch2loc.methods.reconstruction.autoencoder import Autoencoder
from patch2loc.methods.reconstruction.autoencoder import loss as autoencoder_loss
from patch2loc.methods.reconstruction.residual import residual_score
from patch2loc.methods.reconstruction.slice_pools import SlicePool, slices_of
from patch2loc.methods.reconstruction.training import train

SETTINGS = {
    "steps": 7,
    "batch": 3,
    "learning_rate": 0.01,
    "validations": 3,
    "validation_slices": 5,
    "seed": 4,
    "precision": "float32",
}
REST = {"spacing": 2.0, "seed": 1, "precision": "float32"}


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_slices_of_a_1_mm_grid_are_means_of_blocks_of_2_mm():
    volume, mask = noise_scan(1, (8, 8, 5))
    volume[2:6, 2:4, 1] = 3.0  # brighter than 1
    mask[...] = False
    mask[0:2, 0:2, 0:2] = True
    mask[0, 2:4, 0] = True
    slices, brain = slices_of(torch.from_numpy(volume), torch.from_numpy(mask), 1.0)
    assert slices.shape == (3, 4, 4)
    clipped = np.clip(volume, 0, 1)
    np.testing.assert_allclose(slices[1, 2, 3], clipped[4:6, 6:8, 2:4].mean(), rtol=1e-6)
    np.testing.assert_allclose(
        slices[2, 2, 3], clipped[4:6, 6:8, 4:5].sum() / 8, rtol=1e-6
    )  # padded with zeros
    np.testing.assert_allclose(slices[0, 1, 1], clipped[2:4, 2:4, 0:2].mean(), rtol=1e-6)
    assert slices.max() <= 1
    assert brain[0, 0, 0]
    assert brain.sum() == 1  # the block with two of eight voxels is none


@pytest.mark.parametrize("spacing", [2.0, 4.0])
def test_slices_of_2_mm_and_coarser_stay_as_they_are_but_for_the_edge(spacing):
    volume, mask = noise_scan(1, (12, 16, 3))
    slices, brain = slices_of(torch.from_numpy(volume), torch.from_numpy(mask), spacing, 16)
    assert slices.shape == (3, 16, 16)
    np.testing.assert_array_equal(slices[:, :12], volume.transpose(2, 0, 1))
    np.testing.assert_array_equal(brain[:, :12], mask.transpose(2, 0, 1))
    assert not slices[:, 12:].any()
    assert not brain[:, 12:].any()


def test_slices_without_brain_are_not_drawn():
    volume, mask = noise_scan(1, (32, 32, 6))
    mask[:, :, 3] = False
    mask[:2, :5, 3] = True  # 10 of 1,024 voxels: less than 1 %
    mask[:2, :5, 4], mask[2, 0, 4] = True, True
    pool = SlicePool([(volume, mask), noise_scan(2, (32, 32, 6))], "cpu", 2.0)
    assert pool.accepted.tolist() == [1, 2, 4, 7, 8, 9, 10]
    drawn, brain = pool.draw(pool.generator(1), 500)
    assert drawn.shape == brain.shape == (500, 1, 32, 32)
    places = [(pool.slices == one.half()).all(dim=(1, 2)).nonzero()[0, 0].item() for one in drawn[:, 0]]
    counts = np.bincount(places, minlength=12)
    assert set(np.flatnonzero(counts)) == set(pool.accepted.tolist())
    assert abs(counts[counts > 0] - 500 / 7).max() < 5 * np.sqrt(500 / 7)
    again, _ = pool.draw(pool.generator(1), 500)
    assert torch.equal(drawn, again)


def test_a_cohort_without_brain_is_refused():
    volume, mask = noise_scan(1)
    with pytest.raises(InputError, match="no slice"):
        SlicePool([(volume, np.zeros_like(mask))], "cpu", 2.0)
    with pytest.raises(InputError, match="no scans"):
        SlicePool([], "cpu", 2.0)


def test_slices_that_do_not_fit_the_gpu_are_an_error_that_says_how_much_is_missing(monkeypatch):
    def full(*given, **named):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "empty", full)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (10**9, 8 * 10**9))
    with pytest.raises(InputError, match=r"1\.0 of 8\.0 GB free found, .* GB more expected .* of 2 scans"):
        SlicePool([noise_scan(1), noise_scan(2)], "cpu", 2.0)


@pytest.mark.parametrize("spacing", [1.0, 2.0])
def test_an_identity_leaves_no_residual(spacing):
    volume, mask = noise_scan(3)
    wanted = mask.copy()
    wanted[0, 0, 0] = True
    score = residual_score(lambda slices: slices, "cpu", spacing)(volume, mask, wanted)["score"]
    assert score.dtype == np.float32
    assert np.array_equal(np.isfinite(score), wanted)
    assert (score[wanted] == 0).all()


def test_the_residual_is_where_the_change_is():
    volume, mask = noise_scan(3)
    changed = np.zeros(volume.shape, np.float32)
    changed[10:14, 8:12, 2:4] = 0.25

    def without(slices):
        return slices - padded[: len(slices)]

    padded = slices_of(torch.from_numpy(changed), torch.from_numpy(mask), 2.0, 16)[0][:, None]
    found = residual_score(without, "cpu", 2.0)(volume, mask, np.ones_like(mask))["score"]
    np.testing.assert_allclose(found, changed, atol=1e-6)
    padded = slices_of(torch.from_numpy(changed), torch.from_numpy(mask), 1.0, 16)[0][:, None]
    found = residual_score(without, "cpu", 1.0)(volume, mask, np.ones_like(mask))["score"]
    assert found.shape == volume.shape
    center = (found * np.indices(found.shape)).sum(axis=(1, 2, 3)) / found.sum()
    np.testing.assert_allclose(center, [11.5, 9.5, 2.5], atol=1e-3)  # interpolated, and not moved


def test_only_slices_that_are_needed_are_reconstructed():
    volume, mask = noise_scan(3, (32, 32, 12))
    seen = []
    wanted = np.zeros_like(mask)
    wanted[5, 5, 7] = True
    residual_score(lambda slices: seen.extend(slices) or slices, "cpu", 1.0)(volume, mask, wanted)
    assert len(seen) == 3  # of six: that of 2 mm and its neighbors, between which the score is interpolated


class Blur(nn.Module):
    """A small network with all that makes resuming hard: batch statistics and dropout."""

    def __init__(self):
        super().__init__()
        layers = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 1, 1)
        self.layers = nn.Sequential(*layers)

    def forward(self, slices):
        return self.layers(slices)


def noisy_loss(network, slices, masks, generator):
    noise = torch.randn(slices.shape, generator=generator)
    return (masks * (network(slices + 0.1 * noise) - slices).square()).mean()


def trained(checkpoint=None, loss=noisy_loss, **changed):
    pools = [SlicePool([noise_scan(seed) for seed in seeds], "cpu", 2.0) for seeds in ((1, 2), (3,))]
    torch.manual_seed(0)
    network = Blur()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    settings = SETTINGS | changed
    history = train(
        network,
        loss,
        *pools,
        settings=settings,
        checkpoint=checkpoint,
        optimizer=optimizer,
        schedule=schedule,
        clip=1.0,
        progress=lambda _: None,
    )
    return network, history


@pytest.mark.parametrize("killed_at", [4, 12, 19])
def test_a_killed_training_that_goes_on_gives_what_an_unbroken_one_gives(tmp_path, killed_at, monkeypatch):
    network, history = trained()
    calls = []

    def until_killed(*given):
        calls.append(given)
        if len(calls) == killed_at:
            raise KeyboardInterrupt
        return noisy_loss(*given)

    checkpoint = tmp_path / "checkpoint.pt"
    monkeypatch.setattr("patch2loc.engine.training_loop.CHECKPOINT_SECONDS", -1)  # at every step
    if killed_at <= 7 + 3 * 2:  # seven steps, three validations of two batches
        with pytest.raises(KeyboardInterrupt):
            trained(checkpoint, until_killed)
    else:
        trained(checkpoint)  # finished, and asked for again
    assert checkpoint.exists()
    resumed, again = trained(checkpoint)
    for name, value in network.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    columns = ["step", "slices", "training_loss", "validation_loss", "learning_rate"]
    assert history[columns].equals(again[columns])
    assert list(history["step"]) == [3, 5, 7]
    assert list(history["slices"]) == [9, 15, 21]
    np.testing.assert_allclose(history["learning_rate"], 0.01 / history["step"])


def test_the_weights_of_least_validation_loss_are_kept(monkeypatch):
    values = iter([3.0, 1.0, 2.0])
    states = []

    def validate(network, *rest, **named):
        states.append({name: value.clone() for name, value in network.state_dict().items()})
        return next(values)

    monkeypatch.setattr("patch2loc.methods.reconstruction.training._validate", validate)
    network, history = trained()
    assert list(history["validation_loss"]) == [3, 1, 2]
    assert all(torch.equal(value, states[1][name]) for name, value in network.state_dict().items())
    assert not network.training


def test_a_loss_that_is_never_finite_is_an_error():
    with pytest.raises(FloatingPointError, match="learning_rate"):
        trained(loss=lambda network, *given: noisy_loss(network, *given) * float("nan"))


@pytest.mark.parametrize(
    ("size", "variational", "expected"),
    [(96, False, 1_512_113), (96, True, 1_585_969), (128, False, 1_627_249), (128, True, 1_758_449)],
)
def test_the_autoencoders_have_the_parameters_that_their_description_gives(size, variational, expected):
    network = Autoencoder((size, size), variational=variational)
    assert parameters(network) == expected
    assert network(torch.zeros(2, 1, size, size)).shape == (2, 1, size, size)


def test_the_paper_budget_is_the_full_network():
    assert resolve_settings("ae", "paper")["steps"] == 1600 * 12
    for name, expected in (("ae", 1_512_113), ("vae", 1_585_969)):
        chosen = declaration(name).settings["paper"]
        network = Autoencoder((96, 96), chosen["widths"], chosen["latent"], variational=name == "vae")
        assert parameters(network) == expected
    assert parameters(UNet(declaration("dae").settings["paper"]["widths"])) == 7_701_825
    assert declaration("dae").settings["paper"]["steps"] == 2100 * 32


def test_the_loss_of_a_variational_one_is_residual_and_divergence():
    torch.manual_seed(1)
    network = Autoencoder((16, 16), (8, 8), 3, 0.0, variational=True).eval()
    slices = torch.rand(4, 1, 16, 16)
    encoded = network.encoder(slices)
    mean, deviation = network.mean(encoded), network.log_deviation(encoded).exp()
    normal, standard = torch.distributions.Normal(mean, deviation), torch.distributions.Normal(0.0, 1.0)
    divergence = torch.distributions.kl_divergence(normal, standard).sum(dim=1)
    noise = torch.randn((4, 3), generator=torch.Generator().manual_seed(2))
    residual = (network.decoder(mean + deviation * noise) - slices).abs().sum(dim=(1, 2, 3))
    found = autoencoder_loss(network, slices, None, torch.Generator().manual_seed(2))
    torch.testing.assert_close(found, (residual + divergence).mean())


def test_the_denoiser_has_the_parameters_of_its_paper():
    network = UNet()
    assert parameters(network) == 7_701_825
    assert UNet((8, 16, 16, 32))(torch.zeros(2, 1, 16, 24)).shape == (2, 1, 16, 24)


def test_kernels_of_the_denoiser_are_standardized_and_edges_reflected():
    torch.manual_seed(1)
    layer = dae.StandardizedConv(2, 3)
    maps = torch.rand(2, 2, 6, 5)
    with torch.no_grad():
        before = layer(maps)
        layer.weight.mul_(5).add_(2)  # scale and offset of a kernel do not matter
        torch.testing.assert_close(layer(maps), before, rtol=1e-3, atol=1e-4)
        kernel = layer.weight[0] - layer.weight[0].mean()
        kernel /= kernel.std()
        reflected = np.pad(maps[0].numpy(), ((0, 0), (1, 1), (1, 1)), mode="reflect")[:, :3, :3]
        expected = (kernel.numpy() * reflected).sum() + layer.bias[0].item()
    np.testing.assert_allclose(before[0, 0, 0, 0], expected, rtol=1e-3)


def test_coarse_noise_has_its_spread_and_scale_and_spares_the_background():
    slices = torch.zeros(400, 1, 96, 96)
    slices[:, :, 8:88, 8:88] = 0.5
    noise = coarse_noise(slices, 8.0, torch.Generator().manual_seed(1))
    assert not noise[slices == 0].any()
    inside = noise[:, 0, 8:88, 8:88]
    assert abs(inside.mean()) < 0.005
    # At the random values the deviation is 0.2; linear interpolation between four of them leaves 2/3 of it on average.
    assert inside.std() == pytest.approx(0.2 * 2 / 3, rel=0.03)
    assert inside.var(dim=0).max().sqrt() == pytest.approx(0.2, rel=0.1)
    near = (inside[:, 1:] * inside[:, :-1]).mean() / inside.square().mean()
    far = (inside[:, 18:] * inside[:, :-18]).mean() / inside.square().mean()
    assert near > 0.95
    assert abs(far) < 0.05
    assert torch.equal(noise, coarse_noise(slices, 8.0, torch.Generator().manual_seed(1)))
    others = [
        coarse_noise(slices[:1], 8.0, torch.Generator().manual_seed(seed))[0, 0, 40] for seed in range(40)
    ]
    kinks = [(line[9:87].diff().diff().abs() > 1e-4).nonzero()[0].item() for line in others]
    assert len({kink % 8 for kink in kinks}) > 4  # the pattern is moved


def test_the_learning_rate_of_the_denoiser_goes_down_and_up_again():
    shares = [learning_rate_share(step, 3200) for step in (0, 31, 32, 1600, 3200, 6400)]
    np.testing.assert_allclose(shares, [1, 1, (1 + np.cos(np.pi / 100)) / 2, 0.5, 0, 1], atol=1e-12)


@pytest.mark.parametrize(
    ("module", "precision"), [(ae, "float32"), (ae, "bfloat16"), (vae, "float32"), (dae, "float32")]
)
def test_a_method_learns_and_its_state_is_all_that_scoring_needs(module, precision):
    scans = [noise_scan(1), noise_scan(2)]
    name = module.__name__.split(".")[-2]
    tiny = {"steps": 30, "batch": 4, "validations": 3, "validation_slices": 8, "learning_rate": 0.01}
    settings = resolve_settings(name, "smoke", {**tiny}) | REST | {"precision": precision}
    state, history = module.fit(scans, scans[:1], settings, None, device="cpu")
    assert history["validation_loss"].iloc[-1] < history["validation_loss"].iloc[0]
    volume, mask = scans[0]
    score = module.scorer(state, "cpu", precision=precision)(volume, mask, mask)["score"]
    assert np.array_equal(np.isfinite(score), mask)
    assert score[mask].mean() < volume[mask].mean()  # less than what reconstructing nothing would leave


def test_the_denoiser_is_not_asked_of_the_background_that_its_loss_leaves_out():
    torch.manual_seed(1)
    network = UNet((8, 16, 16, 32))
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    score = dae.scorer({"weights": weights, "widths": (8, 16, 16, 32), "spacing": 2.0}, "cpu")
    volume, mask = noise_scan(1)
    found = score(volume, mask, np.ones_like(mask))["score"]
    assert (found[~mask] == 0).all()
    assert (found[mask] > 0).mean() > 0.99


def test_fewer_slices_are_scored_at_once_where_memory_is_short():
    volume, mask = noise_scan(2, (32, 28, 12))
    tried = []

    def reconstruct(slices):
        tried.append(len(slices))
        if len(slices) > 2:
            raise torch.OutOfMemoryError("more than two slices")
        return 0.5 * slices

    found = residual_score(reconstruct, "cpu", 2.0)(volume, mask, mask)
    expected = residual_score(lambda slices: 0.5 * slices, "cpu", 2.0)(volume, mask, mask)
    assert tried[:4] == [12, 6, 3, 2]
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


def test_fewer_slices_are_validated_at_once_where_memory_is_short_with_the_same_random_numbers():
    pools = [SlicePool([noise_scan(seed) for seed in seeds], "cpu", 2.0) for seeds in ((1, 2), (3,))]
    refused = []

    def noisy(slices, masks, generator, is_training):
        return slices, masks, torch.randn(slices.shape, generator=generator)

    def history(most):
        def loss(network, slices, masks, noise):
            if not network.training and len(slices) > most:
                refused.append(len(slices))
                raise torch.OutOfMemoryError(f"more than {most} slices")
            return (masks * (network(slices + 0.1 * noise) - slices).square()).mean()

        torch.manual_seed(0)
        return train(
            Blur(), loss, *pools, settings=SETTINGS, checkpoint=None, prepare=noisy, progress=lambda _: None
        )

    columns = ["training_loss", "validation_loss"]
    expected = history(1000)[columns]
    assert not refused
    pd.testing.assert_frame_equal(history(1)[columns], expected, rtol=1e-5)
    assert refused
