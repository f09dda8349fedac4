import numpy as np
import pytest
import torch
from scans import noise_scan

from patch2loc.errors import InputError
from patch2loc.network import patches
from patch2loc.network.sampling import PatchPool

PATCH, SHAPE = 8, (24, 20, 5)


def scan(seed, slices=slice(1, 4)):
    return noise_scan(seed, SHAPE, (slice(3, 21), slice(3, 17), slices), low=0, high=1)


@pytest.fixture
def scans():
    return [scan(seed) for seed in range(3)]


def voxels(location, slice_location):
    x, y = (location * torch.tensor(SHAPE[:2]) / 100).round().long().T
    return x, y, (slice_location * SHAPE[2] / 100).round().long()


def accepted(mask):
    return patches.accepted(torch.from_numpy(mask).permute(2, 0, 1), PATCH)


def test_drawn_patches_are_what_is_around_their_places_and_hold_enough_brain(scans):
    pool = PatchPool(scans, PATCH, "cpu")
    slices = torch.tensor([1, 5 + 2, 10 + 3])  # one slice of each subject, in all subjects' slices
    cut, location, slice_location = pool.draw(pool.generator(0), 200, slices)
    x, y, z = voxels(location, slice_location)
    assert set(z.tolist()) == {1, 2, 3}
    for n in range(200):
        volume, mask = scans[z[n] - 1]
        window = np.pad(volume[:, :, z[n]], PATCH // 2)[x[n] : x[n] + PATCH, y[n] : y[n] + PATCH]
        np.testing.assert_allclose(cut[n, 0], window, atol=5e-4)  # kept in half precision
        assert accepted(mask)[z[n], x[n], y[n]]


def test_every_accepted_patch_of_all_slices_is_as_likely_as_another(scans):
    pool = PatchPool(scans[:1], PATCH, "cpu")
    n = 60000
    x, y, z = voxels(*pool.draw(pool.generator(1), n)[1:])
    found = torch.zeros(SHAPE[2], *SHAPE[:2])
    found.index_put_((z, x, y), torch.ones(n), accumulate=True)
    allowed = accepted(scans[0][1])
    assert found[~allowed].sum() == 0
    expected = n / allowed.sum()
    chi_square = ((found[allowed] - expected) ** 2 / expected).sum() / (allowed.sum() - 1)
    assert 0.85 < chi_square < 1.15


def test_one_random_slice_of_each_subject():
    pool = PatchPool([scan(seed) for seed in range(40)], PATCH, "cpu")
    draws = torch.stack([pool.one_slice_each(pool.generator(7, step)) for step in range(300)])
    subject, z = draws // SHAPE[2], draws % SHAPE[2]
    assert torch.equal(subject, torch.arange(40).expand(300, 40))
    shares = torch.bincount(z.flatten(), minlength=SHAPE[2]) / z.numel()
    assert (shares - 0.2).abs().max() < 0.015  # all slices alike, those without brain as well


def test_there_is_always_a_patch_to_draw():
    pool = PatchPool([scan(0, slice(2, 3))], PATCH, "cpu")  # one slice of five holds brain
    draws = torch.cat([pool.one_slice_each(pool.generator(step)) for step in range(500)])
    assert set(draws.tolist()) == {2}


def test_the_same_seed_draws_the_same_patches(scans):
    pool = PatchPool(scans, PATCH, "cpu")
    first, again, other = (pool.draw(pool.generator(3, seed), 50)[1] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_scans_without_brain_are_refused():
    empty = np.zeros(SHAPE, np.float32)
    with pytest.raises(InputError, match="brain masks"):
        PatchPool([(empty, empty > 0)], PATCH, "cpu")
    with pytest.raises(InputError, match="no scans"):
        PatchPool([], PATCH, "cpu")


def test_slices_that_do_not_fit_the_gpu_are_an_error_that_says_how_much_is_missing(scans, monkeypatch):
    def full(*given, **named):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "empty", full)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (10**9, 8 * 10**9))
    with pytest.raises(
        InputError, match=r"1\.0 of 8\.0 GB free found, .* GB more expected for the slices of 3 scans"
    ):
        PatchPool(scans, PATCH, "cpu")


def test_patches_of_any_slices_are_cut_a_few_at_a_time_where_memory_is_short(scans, monkeypatch):
    pool = PatchPool(scans, PATCH, "cpu")
    expected = pool.draw(pool.generator(0), 50)
    pad_slices, padded = patches.pad_slices, []

    def limited(slices, patch):
        if len(slices) > 4:
            raise torch.OutOfMemoryError("more than 4 slices")
        padded.append(len(slices))
        return pad_slices(slices, patch)

    monkeypatch.setattr(patches, "pad_slices", limited)
    for found, wanted in zip(pool.draw(pool.generator(0), 50), expected, strict=True):
        assert torch.equal(found, wanted)
    assert len(padded) > 1


def test_slices_in_turn_come_once_each_before_any_comes_again():
    pool = PatchPool([scan(seed, slice(0, 5)) for seed in range(6)], PATCH, "cpu")
    depth = SHAPE[2]
    draws = torch.stack([pool.slices_in_turn(3, step) for step in range(1, 2 * depth + 1)])
    subject, z = draws // depth, draws % depth
    assert (subject == torch.arange(6)).all()
    for turn in (z[:depth], z[depth:]):
        assert (turn.sort(dim=0).values == torch.arange(depth)[:, None]).all()
    assert not torch.equal(z[:depth], z[depth:])  # in another order the next time
    assert len({tuple(order.tolist()) for order in z[:depth].T}) > 1  # and of another subject
    assert torch.equal(pool.slices_in_turn(3, 4), draws[3])  # of the number of the step alone


def test_slices_in_turn_pass_over_those_without_a_patch():
    pool = PatchPool([scan(0, slice(2, 3))], PATCH, "cpu")
    assert {int(pool.slices_in_turn(1, step)) for step in range(1, 6)} == {2}


def test_candidates_are_accepted_as_often_as_there_are_places():
    """A binomial number: its mean and variance, of slices that are half full and of an empty one."""
    pool = PatchPool([scan(seed) for seed in range(3)], PATCH, "cpu")
    slices = torch.tensor([1, 5 + 2, 10 + 0])  # the last one is empty
    share = int(pool.count[slices].sum()) / (3 * SHAPE[0] * SHAPE[1])
    assert 0.2 < share < 0.6
    n, draws = 400, 3000
    counts = np.array([pool.accepted_candidates(pool.generator(5, k), n, slices) for k in range(draws)])
    spread = np.sqrt(n * share * (1 - share))
    assert counts.mean() == pytest.approx(n * share, abs=4 * spread / np.sqrt(draws))
    assert counts.std() == pytest.approx(spread, rel=0.06)
    assert pool.accepted_candidates(pool.generator(5, 1), n, torch.tensor([10])) == 2  # a batch all the same
