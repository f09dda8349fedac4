import math

import pandas as pd
import pytest
import torch
from networks import SETTINGS, cohort
from torch import nn

from patch2loc.engine import training_loop
from patch2loc.engine.training_state import MovingAverage
from patch2loc.network import training
from patch2loc.network.training import Settings, beta_nll, negative_log_likelihood, train


def trained(*given, **named):
    network, history = train(*given, **named)
    return network, pd.DataFrame(history)


def drawn(pool, seed, n):
    return pool.draw(pool.generator(seed), n)


def test_beta_nll_by_hand():
    mean, target = torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 4.0]])
    log_variance = torch.tensor([[0.0, math.log(4.0)]])
    # var^0.5 * 0.5 * (squared error / var + log var), summed over coordinates
    expected = 1 * 0.5 * (1 / 1 + 0) + 2 * 0.5 * (4 / 4 + math.log(4))
    assert beta_nll(mean, log_variance, target).item() == pytest.approx(expected)


def test_the_weight_of_beta_nll_has_no_gradient():
    log_variance = torch.tensor([[0.3, -0.2]], requires_grad=True)
    error = torch.tensor([[0.7, 1.1]])
    beta_nll(torch.zeros(1, 2), log_variance, error).backward()
    variance = log_variance.detach().exp()
    expected = variance**0.5 * 0.5 * (1 - error**2 / variance)
    torch.testing.assert_close(log_variance.grad, expected)


def test_training_learns_where_patches_come_from():
    longer = Settings(**{**SETTINGS.__dict__, "patches": 128 * 150, "batch": 128})
    network, history = trained(cohort(4), cohort(2, seed=9), longer)
    cut, place, slice_location = drawn(cohort(2, seed=11), 4, 300)
    blind = (place - place.mean(dim=0)).norm(dim=1).mean().item()  # always guessing the middle
    assert history["validation_error"].iloc[-1] < 0.5 * blind
    with torch.no_grad():
        mean, log_variance = network(cut, slice_location)
    error = (mean - place).norm(dim=1).mean().item()
    assert error == pytest.approx(history["validation_error"].min(), rel=0.3)  # percent, on new scans
    assert 0.2 < (((mean - place) ** 2) / log_variance.exp()).mean() < 5  # predicted variance fits the error


def test_the_same_seed_gives_the_same_network_and_another_one_does_not():
    first, again, other = (
        train(cohort(3), cohort(2, seed=9), Settings(**{**SETTINGS.__dict__, "seed": seed}))[0].state_dict()
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["encoder.conv1.weight"], other["encoder.conv1.weight"])


def test_the_best_checkpoint_is_returned():
    network, history = trained(cohort(3), cohort(2, seed=9), SETTINGS)
    validation = cohort(2, seed=9)
    cut, place, slice_location = validation.draw(
        validation.generator(SETTINGS.seed, 2), SETTINGS.validation_patches
    )
    with torch.no_grad():
        error = (network(cut, slice_location)[0] - place).norm(dim=1).mean().item()
    best = history.loc[history["validation_nll"].idxmin(), "validation_error"]
    assert error == pytest.approx(best, rel=1e-4)


def test_the_likelihood_is_that_of_a_gaussian_and_another_unit_adds_a_constant():
    generator = torch.Generator().manual_seed(1)
    mean, log_variance, target = torch.randn((3, 50, 2), generator=generator, dtype=torch.float64)
    nll = negative_log_likelihood(mean, log_variance, target)
    density = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    assert nll.item() == pytest.approx(-density.log_prob(target).sum(dim=1).mean().item())
    in_mm = negative_log_likelihood(2 * mean, log_variance + 2 * math.log(2), 2 * target)
    assert (in_mm - nll).item() == pytest.approx(2 * math.log(2))


class Improving(nn.Module):
    """Reads a location from the patch and misses it by a Gaussian error, less at each step, whose size it knows."""

    def __init__(self, spreads):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.encoder = nn.Identity()
        self.spreads, self.step = spreads, 0
        self.register_buffer("spread", torch.tensor(0.0))

    def locate(self, latent, slice_location):
        if self.training:
            self.spread.fill_(self.spreads[self.step])
            self.step += 1
        error = torch.randn((len(latent), 2), generator=torch.Generator().manual_seed(0))
        mean = (latent[:, 0, 0, :2] - 50 + self.spread * error) / 20
        return mean + 0 * self.unused, torch.full_like(mean, 2 * math.log(self.spread / 20)) + 0 * self.unused

    def rescale_output_(self, center, scale):
        pass


class CodedPlaces:
    """Stands in for a pool of patches: the first two voxels of a patch are its location, percent."""

    volumes = torch.zeros(1, 1, 4, 4)

    def generator(self, *seeds):
        return torch.Generator().manual_seed(seeds[-1])

    def one_slice_each(self, generator):
        return None

    def draw(self, generator, count, slices=None):
        place = 100 * torch.rand((count, 2), generator=generator)
        return nn.functional.pad(place[:, None, None], (0, 2)), place, torch.zeros(count)


@pytest.mark.parametrize("spreads", [[8, 4, 2, 1], [5, 4, 3, 2], [2, 1, 0.5, 0.25]])
def test_of_two_calibrated_networks_the_one_of_half_the_error_is_kept(spreads):
    # By the value of beta-NLL of standardized locations, the one of 4.5 % would be.
    settings = Settings(
        **{**SETTINGS.__dict__, "patches": 64 * 4, "batch": 64, "validations": 4, "validation_patches": 4096}
    )
    network, history = trained(
        CodedPlaces(), CodedPlaces(), settings, build=lambda settings: Improving(spreads)
    )
    assert history["validation_error"].is_monotonic_decreasing
    assert network.spread.item() == spreads[-1]


def test_the_average_forgets_the_first_weights_and_follows_the_statistics():
    network = nn.BatchNorm1d(3)
    average = MovingAverage(network, 0.99)
    values = [torch.randn(3, generator=torch.Generator().manual_seed(step)) for step in range(1, 40)]
    expected = torch.ones(3)
    for step, value in enumerate(values, start=1):
        with torch.no_grad():
            network.weight.copy_(value)
        network.running_mean.copy_(-value)
        network.num_batches_tracked.fill_(step)
        average.begin_step(step)
        average.update(network)
        decay = min(0.99, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    torch.testing.assert_close(average.network.weight.data, expected)
    first_left = math.prod(min(0.99, (1 + step) / (10 + step)) for step in range(1, 40))
    torch.testing.assert_close(average.network.running_mean, -(expected - first_left * torch.ones(3)))
    assert first_left < 1e-4
    assert average.network.num_batches_tracked == 39


def test_with_averaging_the_average_is_validated_and_kept_and_goes_on_after_a_kill(tmp_path, monkeypatch):
    monkeypatch.setattr(training_loop, "CHECKPOINT_SECONDS", -1)  # at every step
    averaged = Settings(**{**SETTINGS.__dict__, "averaging": 0.9})
    network, history = trained(cohort(3), cohort(2, seed=9), averaged)
    plain, _ = trained(cohort(3), cohort(2, seed=9), SETTINGS)
    assert not torch.equal(network.encoder.conv1.weight, plain.encoder.conv1.weight)
    validation = cohort(2, seed=9)
    cut, place, slice_location = validation.draw(
        validation.generator(SETTINGS.seed, 2), SETTINGS.validation_patches
    )
    with torch.no_grad():
        error = (network(cut, slice_location)[0] - place).norm(dim=1).mean().item()
    assert error == pytest.approx(
        history.loc[history["validation_nll"].idxmin(), "validation_error"], rel=1e-4
    )

    class Killed(Exception):
        pass

    def kill(text):
        if "step 6 " in text:
            raise Killed

    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(Killed):
        train(cohort(3), cohort(2, seed=9), averaged, checkpoint, progress=kill)
    again, _ = train(cohort(3), cohort(2, seed=9), averaged, checkpoint)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in network.state_dict().items())


def test_fewer_patches_are_validated_at_once_where_memory_is_short(monkeypatch):
    _, expected = trained(cohort(3), cohort(2, seed=9), SETTINGS)
    predict, refused = training._predict, []

    def limited(network, patch, *others):
        if not network.training and len(patch) > 10:
            refused.append(len(patch))
            raise torch.OutOfMemoryError("more than 10 patches")
        return predict(network, patch, *others)

    monkeypatch.setattr(training, "_predict", limited)
    _, found = trained(cohort(3), cohort(2, seed=9), SETTINGS)
    assert refused[:3] == [64, 32, 16]
    columns = [name for name in expected if name.startswith(("training_", "validation_"))]
    pd.testing.assert_frame_equal(found[columns], expected[columns], rtol=1e-5)


def test_all_accepted_candidates_make_a_batch(monkeypatch):
    """Four candidates for each patch of a batch: batches vary around four times the accepted share of it."""
    pool, sizes = cohort(4), []
    draw = pool.draw

    def counted(generator, n, slices=None):
        sizes.append(n)
        return draw(generator, n, slices)

    monkeypatch.setattr(pool, "draw", counted)
    short = {**SETTINGS.__dict__, "patches": 64 * 12, "batch": 64, "validations": 2}
    train(pool, cohort(2, seed=9), Settings(**short), progress=lambda line: None)
    assert set(sizes) == {64}
    sizes.clear()
    train(pool, cohort(2, seed=9), Settings(**{**short, "candidates": 4}), progress=lambda line: None)
    assert len(sizes) == 12
    assert len(set(sizes)) > 6
    depth, width, height = pool.volumes.shape[1:]
    share = len(pool.places) / (pool.volumes.shape[0] * depth * width * height)
    assert sum(sizes) / 12 == pytest.approx(256 * share, rel=0.35)


def test_locations_in_percent_are_learnt_as_they_are():
    """The network itself predicts percent: nothing is rescaled after the training, and the loss is of percent."""
    settings = Settings(**{**SETTINGS.__dict__, "location_unit": "percent"})
    offset, scale = settings.offset_and_scale
    assert (offset.tolist(), scale.tolist()) == ([0, 0], [1, 1])
    validation = cohort(2, seed=9)
    network, history = trained(cohort(3), validation, settings, progress=lambda line: None)
    cut, place, slice_location = validation.draw(
        validation.generator(settings.seed, 2), settings.validation_patches
    )
    with torch.no_grad():
        mean, log_variance = network(cut, slice_location)
    best = history.loc[history["validation_nll"].idxmin()]
    assert beta_nll(mean, log_variance, place).item() == pytest.approx(best["validation_loss"], rel=1e-4)
    assert (mean - place).norm(dim=1).mean().item() == pytest.approx(best["validation_error"], rel=1e-4)
