import math

import pandas as pd
import pytest
import torch
from networks import SETTINGS, cohort

from patch2loc.network.training import Settings, beta_nll, train


def trained(*given):
    network, history = train(*given)
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
    best = history.loc[history["validation_loss"].idxmin(), "validation_error"]
    assert error == pytest.approx(best, rel=1e-4)
