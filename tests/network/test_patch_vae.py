"""The autoencoder of patches given their location: its bound, its training, its dense pass."""

import math

import numpy as np
import pytest
import torch
from networks import SETTINGS, Killed, cohort, randomized, same_training
from torch.distributions import Independent, LowRankMultivariateNormal, Normal, kl_divergence

from patch2loc.engine import training_loop
from patch2loc.errors import InputError
from patch2loc.network import patch_vae_training, patches, training
from patch2loc.network.centers import sorted_centers
from patch2loc.network.location import slice_code
from patch2loc.network.patch_vae import (
    LEAST_SPREAD,
    Gaussian,
    PatchVAE,
    divergence,
    location_code,
    negative_log_likelihood,
)
from patch2loc.network.patch_vae_inference import ReadyPatchVAE
from patch2loc.network.patch_vae_training import draw
from patch2loc.network.sampling import PatchPool

WIDTHS, LATENT = (4, 6, 8, 12), 5
MEASURES = {"error": ReadyPatchVAE.reconstruction_error, "uncertainty": ReadyPatchVAE.latent_log_variance}


def gaussians(*shape, seed=0):
    mean, log_variance = torch.randn((2, *shape), generator=torch.Generator().manual_seed(seed))
    return Gaussian(mean.double(), log_variance.double())


def network_of(patch):
    """Its outputs differ between patches and between places by much more than rounding."""
    torch.manual_seed(patch)
    network = randomized(PatchVAE(patch, WIDTHS, LATENT))
    with torch.no_grad():
        for value in network.parameters():
            if value.ndim > 1:
                value.mul_(2)
    return network


def volume_of(shape=(29, 26, 4), seed=0):
    return 3 * np.random.default_rng(seed).random(shape).astype(np.float32)


def measured(network, volume, voxels, measure, **options):
    centers, order = sorted_centers(voxels, volume.shape)
    found = np.empty(len(voxels), np.float32)
    found[order] = MEASURES[measure](ReadyPatchVAE(network, **options), volume, centers).numpy()
    return found


def patch_by_patch(network, volume, voxels, measure):
    """Straight from the definitions: every patch cut out and given to the network with its location."""
    padded = patches.pad_slices(torch.from_numpy(volume).permute(2, 0, 1), network.patch)
    x, y, z = torch.from_numpy(voxels).T
    cut = patches.cut(padded, z, x, y, patch=network.patch)
    location = 100 * torch.from_numpy(voxels).float() / torch.tensor(volume.shape)
    with torch.no_grad():
        posterior, expected = network(cut, location, torch.zeros(len(cut), LATENT))
    if measure == "uncertainty":
        return posterior.log_variance.mean(dim=1).numpy()
    density = Normal(expected.mean, (0.5 * expected.log_variance).exp())
    return -density.log_prob(cut).mean(dim=(1, 2, 3)).numpy()


def test_the_likelihood_is_that_of_independent_gaussians():
    expected, cut = gaussians(7, 1, 4, 4), gaussians(7, 1, 4, 4, seed=1).mean
    density = Independent(Normal(expected.mean, (0.5 * expected.log_variance).exp()), 3)
    torch.testing.assert_close(negative_log_likelihood(cut, expected), -density.log_prob(cut))


def test_the_divergence_is_that_of_torch():
    posterior = gaussians(9, 6)
    prior = Normal(torch.zeros(6).double(), torch.ones(6).double())
    known = kl_divergence(Normal(posterior.mean, (0.5 * posterior.log_variance).exp()), prior)
    torch.testing.assert_close(divergence(posterior), known.sum(dim=1))
    assert divergence(Gaussian(torch.zeros(1, 6), torch.zeros(1, 6))).item() == 0


def test_the_bound_of_a_known_gaussian_is_its_evidence_where_the_posterior_is_right_and_no_less_elsewhere():
    """x = a z + noise: evidence and posterior are known, and the bound is the evidence at the posterior alone."""
    spread, factor = 0.3, gaussians(1, 4, 4, seed=3).mean
    patch = gaussians(1, 1, 4, 4, seed=4).mean
    evidence = LowRankMultivariateNormal(
        torch.zeros(16).double(), factor.flatten()[:, None], torch.full((16,), spread**2, dtype=torch.float64)
    ).log_prob(patch.flatten())

    def bound(mean, log_variance):
        posterior = Gaussian(mean.view(1, 1), log_variance.view(1, 1))
        # The likelihood is quadratic in the noise: its mean over -1 and 1 is that over the standard normal.
        latents = [mean + sign * (0.5 * log_variance).exp() for sign in (-1, 1)]
        errors = [
            negative_log_likelihood(patch, Gaussian(factor * z, torch.full_like(patch, 2 * math.log(spread))))
            for z in latents
        ]
        return (sum(errors) / 2 + divergence(posterior)).item()

    precision = 1 + factor.square().sum() / spread**2
    mean = (factor * patch[0]).sum() / spread**2 / precision
    assert bound(mean, -precision.log()) == pytest.approx(-evidence.item(), rel=1e-9)
    for other_mean, other in [(mean + 0.1, -precision.log()), (mean, 0.5 - precision.log())]:
        assert bound(other_mean, other) > -evidence.item() + 0.01


def test_no_voxel_is_expected_more_closely_than_the_bound():
    network = network_of(8)
    with torch.no_grad():
        network.decoder_head[-1].bias[64:] -= 30
        _, expected = network(torch.rand(3, 1, 8, 8), 100 * torch.rand(3, 3), torch.zeros(3, LATENT))
    torch.testing.assert_close((0.5 * expected.log_variance).exp(), torch.full((3, 1, 8, 8), LEAST_SPREAD))


def test_each_coordinate_has_the_code_of_a_slice():
    location = torch.tensor([[10.0, 20.0, 30.0], [30.0, 20.0, 10.0]])
    code = location_code(location, 6)
    for axis in range(3):
        torch.testing.assert_close(code[:, 6 * axis : 6 * axis + 6], slice_code(location[:, axis], 6).float())
    assert not torch.equal(code[0], code[1])


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("patch", [8, 10, 12, 24])
def test_the_dense_pass_equals_patch_by_patch(patch, measure):
    network, volume = network_of(patch), volume_of()
    chosen = np.random.default_rng(1).random(volume.shape) < 0.3
    chosen[[0, -1], 0, 0] = chosen[0, -1, 1] = chosen[-1, -1, 3] = True  # at the edges and in the corners
    chosen[:, :, 2] = False
    voxels = np.argwhere(chosen)
    expected = patch_by_patch(network, volume, voxels, measure)
    assert expected.std() > 1e-2
    # In several parts, the last one short.
    found = measured(network, volume, voxels, measure, memory_mb=0.2)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("measure", MEASURES)
def test_without_the_location_shifting_the_input_moves_the_map_and_nothing_else(measure):
    network, volume, shift = network_of(12), volume_of(), (-3, 2, 1)
    with torch.no_grad():
        for layer in (network.posterior_layer, network.decoder_layer):
            layer.linear.weight[:, -3 * layer.size :] = 0
    voxels = np.argwhere(np.ones((10, 8, 2), bool)) + np.array([9, 8, 1])
    found = measured(network, volume, voxels, measure)
    moved = measured(network, np.roll(volume, shift, (0, 1, 2)), voxels + shift, measure)
    np.testing.assert_allclose(moved, found, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("measure", MEASURES)
def test_the_same_patch_elsewhere_is_another_one_along_each_axis(measure, axis):
    network, volume = network_of(12), volume_of()
    voxels, shift = np.argwhere(np.ones((3, 3, 1), bool)) + np.array([12, 12, 1]), np.eye(3, dtype=int)[axis]
    found = measured(network, volume, voxels, measure)
    moved = measured(network, np.roll(volume, tuple(shift), (0, 1, 2)), voxels + shift, measure)
    assert np.abs(moved - found).min() > 1e-4


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_close(precision):
    network, volume = network_of(12), volume_of()
    voxels = np.argwhere(volume > 2)
    exact = measured(network, volume, voxels, "error")
    half = measured(network, volume, voxels, "error", precision=precision)
    unlike = np.linalg.norm(half - exact) / np.linalg.norm(exact - exact.mean())
    assert 1e-6 < unlike < (0.05 if precision == "bfloat16" else 0.01)


def test_fewer_patches_are_decoded_at_once_where_memory_is_short(monkeypatch):
    network, volume = network_of(12), volume_of()
    voxels = np.argwhere(volume > 0)
    expected = measured(network, volume, voxels, "error")
    decode, refused = PatchVAE.expected, []

    def limited(self, hidden):
        if len(hidden) > 100:
            refused.append(len(hidden))
            raise torch.OutOfMemoryError("more than 100 patches")
        return decode(self, hidden)

    monkeypatch.setattr(PatchVAE, "expected", limited)
    np.testing.assert_allclose(measured(network, volume, voxels, "error"), expected, rtol=1e-5)
    assert 2 < len(refused) < 10  # of the first slice alone
    monkeypatch.setattr(PatchVAE, "expected", lambda self, hidden: limited(self, hidden.repeat(101, 1)))
    with pytest.raises(torch.OutOfMemoryError):
        measured(network, volume, voxels, "error")


def test_a_network_that_was_made_ready_is_left_as_it_was():
    network = network_of(8)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    ReadyPatchVAE(network, precision="bfloat16")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(part.requires_grad for part in network.parameters())


def trained(settings, *more, **others):
    return patch_vae_training.train(cohort(3), cohort(2, seed=9), settings, *more, latent=4, **others)


def changed(**others):
    return training.Settings(**{**SETTINGS.__dict__, **others})


@pytest.mark.parametrize("others", [{}, {"slices": "in-turn"}, {"candidates": 4}], ids=str)
def test_it_is_given_the_patches_that_patch2loc_is_given(others, monkeypatch):
    settings, given = changed(patches=64 * 3, validations=1, **others), []
    drawn_by = PatchPool.draw

    def recorded(self, *arguments):
        drawn = drawn_by(self, *arguments)
        given.append(torch.cat([part.flatten(1) for part in (drawn[0], drawn[1], drawn[2][:, None])], 1))
        return drawn

    monkeypatch.setattr(PatchPool, "draw", recorded)
    training.train(cohort(3), cohort(2, seed=9), settings, progress=lambda line: None)
    of_patch2loc = given.copy()
    given.clear()
    trained(settings, progress=lambda line: None)
    assert len(given) == len(of_patch2loc) == 4  # those of validation, and three steps
    assert all(map(torch.equal, given, of_patch2loc))


def test_noise_is_of_the_step_alone_and_standard_normal():
    pool, settings = cohort(3), changed(batch=4000)
    first, again, other = (draw(pool, settings, 4, step) for step in (1, 1, 2))
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first[2], other[2])
    assert abs(first[2].mean()) < 0.03
    assert abs(first[2].std() - 1) < 0.03
    assert first[1].shape == (4000, 3)


def test_it_learns_what_patches_are_and_keeps_the_weights_of_the_best_bound():
    settings = changed(widths=(8, 8, 16, 32), learning_rate=0.02, patches=128 * 60, batch=128, validations=6)
    network, history = trained(settings)
    losses = [row["validation_loss"] for row in history]
    assert min(losses) < 0.3 * losses[0]
    pool = cohort(2, seed=9)
    generator = pool.generator(settings.seed, 2)
    cut, place, height = pool.draw(generator, settings.validation_patches)
    noise = torch.randn((len(cut), 4), generator=generator)
    with torch.no_grad():
        posterior, expected = network(cut, torch.cat([place, height[:, None]], 1), noise)
    error = negative_log_likelihood(cut, expected).mean().item()
    kept = min(history, key=lambda row: row["validation_loss"])
    assert error == pytest.approx(kept["validation_reconstruction"], rel=1e-4)
    assert divergence(posterior).mean().item() == pytest.approx(kept["validation_divergence"], rel=1e-4)
    assert kept["validation_loss"] == pytest.approx(
        kept["validation_reconstruction"] + kept["validation_divergence"]
    )
    residual = (cut - expected.mean).square().mean().sqrt().item()
    assert residual == pytest.approx(kept["validation_residual"], rel=1e-4)
    assert residual < 0.6 * (cut - cut.mean(dim=0)).std().item()


def test_the_same_seed_gives_the_same_network_and_another_one_does_not():
    first, again, other = (trained(changed(patches=128, seed=seed)) for seed in (1, 1, 2))
    same_training(first, again)
    assert not torch.equal(first[0].decoder_head[0].weight, other[0].decoder_head[0].weight)


@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_a_killed_training_goes_on_to_the_same_weights(averaging, tmp_path, monkeypatch):
    settings = changed(averaging=averaging)
    whole = trained(settings)
    monkeypatch.setattr(training_loop, "CHECKPOINT_SECONDS", -1)  # at every step
    drawn, checkpoint, said = [], tmp_path / "checkpoint.pt", []
    one_slice_each = PatchPool.one_slice_each

    def killed(self, generator):
        drawn.append(1)
        if len(drawn) == 8:
            raise Killed
        return one_slice_each(self, generator)

    with monkeypatch.context() as patched:
        patched.setattr(PatchPool, "one_slice_each", killed)
        with pytest.raises(Killed):
            trained(settings, checkpoint, progress=said.append)
    same_training(trained(settings, checkpoint, progress=said.append), whole)
    assert f"going on from step 7 of {settings.steps}" in said


def test_a_patch_that_the_convolutions_are_not_for_is_refused():
    with pytest.raises(InputError, match="patch: 9 found, an even number of 8 voxels or more expected"):
        PatchVAE(9, WIDTHS, LATENT)
