import math

import numpy as np
import pandas as pd
import pytest
import torch

from patch2loc.errors import InputError
from patch2loc.train import Settings, Slices, beta_nll, train

SETTINGS = Settings(
    widths=(4, 4, 8, 8),
    patch=8,
    patches=64 * 12,
    batch=64,
    learning_rate=0.01,
    schedule="one_cycle",
    validation_patches=96,
    validations=4,
    seed=1,
)


def cohort(subjects, seed=0, shape=(24, 20, 5)):
    """Scans whose intensity tells the place, with some noise."""
    rng = np.random.default_rng(seed)
    x, y, _ = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")
    mask = np.zeros(shape, bool)
    mask[3:21, 3:17, 1:4] = True
    scans = [
        ((mask * (x + 2 * y + 0.05 * rng.normal(size=shape))).astype(np.float32), mask)
        for _ in range(subjects)
    ]
    return Slices(scans, 8, "cpu")


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


def test_drawn_patches_carry_their_places_and_enough_brain():
    slices = cohort(3)
    cut, place, slice_location = slices.draw(np.random.default_rng(0), 200, np.array([1, 2, 3]))
    assert cut.shape == (200, 1, 8, 8)
    x, y = (place * torch.tensor([24, 20]) / 100).round().long().T
    z = (slice_location * 5 / 100).round().long()
    assert set(z.tolist()) == {1, 2, 3}
    subject = z - 1  # one slice of each subject: 1 of the first, 2 of the second, 3 of the third
    torch.testing.assert_close(cut[:, 0, 4, 4], slices.volumes[subject, z, x, y])
    assert slices.accepted[subject, z, x, y].all()


def test_patches_are_drawn_uniformly_from_the_accepted_ones():
    slices = cohort(1)
    _, place, _ = slices.draw(np.random.default_rng(0), 40000, np.array([2]))
    x, y = (place * torch.tensor([24, 20]) / 100).round().long().T
    counts = np.zeros((24, 20))
    np.add.at(counts, (x.numpy(), y.numpy()), 1)
    accepted = slices.accepted[0, 2].numpy()
    assert (counts[~accepted] == 0).all()
    expected = 40000 / accepted.sum()
    chi_square = ((counts[accepted] - expected) ** 2 / expected).sum() / (accepted.sum() - 1)
    assert 0.7 < chi_square < 1.3


def test_training_learns_where_patches_come_from():
    longer = Settings(**{**SETTINGS.__dict__, "patches": 128 * 150, "batch": 128})
    network, history = train(cohort(4), cohort(2, seed=9), longer)
    cut, place, slice_location = cohort(2, seed=11).draw(np.random.default_rng(4), 300, None)
    blind = (place - place.mean(dim=0)).norm(dim=1).mean().item()  # always guessing the middle
    assert history["validation_error"].iloc[-1] < 0.5 * blind
    with torch.no_grad():
        mean, log_variance = network(cut, slice_location)
    error = (mean - place).norm(dim=1).mean().item()
    assert error == pytest.approx(history["validation_error"].min(), rel=0.3)  # percent, on new scans
    assert 0.2 < (((mean - place) ** 2) / log_variance.exp()).mean() < 5  # predicted variance fits the error


class Killed(Exception):
    pass


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_killed_training_goes_on_to_the_same_numbers(tmp_path, stop_after):
    whole, whole_history = train(cohort(3), cohort(2, seed=9), SETTINGS)
    said = []

    def killed(message):
        said.append(message)
        if len(said) > stop_after:
            raise Killed

    with pytest.raises(Killed):
        train(cohort(3), cohort(2, seed=9), SETTINGS, tmp_path / "checkpoint.pt", killed)
    network, history = train(cohort(3), cohort(2, seed=9), SETTINGS, tmp_path / "checkpoint.pt")
    pd.testing.assert_frame_equal(history, whole_history, check_exact=True)
    for name, value in network.state_dict().items():
        assert torch.equal(value, whole.state_dict()[name]), name


def test_the_same_seed_gives_the_same_network_and_another_one_does_not():
    first, again, other = (
        train(cohort(3), cohort(2, seed=9), Settings(**{**SETTINGS.__dict__, "seed": seed}))[0].state_dict()
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["encoder.conv1.weight"], other["encoder.conv1.weight"])


def test_the_best_checkpoint_is_returned():
    network, history = train(cohort(3), cohort(2, seed=9), SETTINGS)
    rng = np.random.default_rng([SETTINGS.seed, 2])
    cut, place, slice_location = cohort(2, seed=9).draw(rng, SETTINGS.validation_patches, None)
    with torch.no_grad():
        error = (network(cut, slice_location)[0] - place).norm(dim=1).mean().item()
    best = history.loc[history["validation_loss"].idxmin(), "validation_error"]
    assert error == pytest.approx(best, rel=1e-4)


def test_empty_masks_are_refused():
    empty = np.zeros((24, 20, 5), np.float32)
    slices = Slices([(empty, empty > 0)], 8, "cpu")
    with pytest.raises(InputError, match="brain masks"):
        slices.draw(np.random.default_rng(0), 10, None)
    with pytest.raises(InputError, match="no scans"):
        Slices([], 8, "cpu")
