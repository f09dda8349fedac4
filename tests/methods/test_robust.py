import numpy as np
import pytest
import torch

import patch2loc.methods.patch2loc.model as patch2loc
import patch2loc.methods.patch2loc_robust.model as patch2loc_robust
import patch2loc.methods.patch2loc_robust_unpadded.model as patch2loc_robust_unpadded
import patch2loc.methods.patch2loc_unpadded.model as patch2loc_unpadded
from patch2loc.errors import InputError
from patch2loc.method_interface import declaration
from patch2loc.network.leveling import WIDTH, LeveledScans, leveled, low_pass, mean_low_pass
from patch2loc.network.patch_augmentation import (
    GAIN,
    LOG_GAMMA,
    NOISE,
    SHADING,
    change_contrast,
    change_patches,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def patches():
    values = 0.2 + 0.8 * torch.rand(400, 1, 12, 12, generator=generator(1))
    values[:, :, :4] = 0  # outside the brain
    return values


def test_changes_depend_on_the_generator_alone(patches):
    first, again, other = (change_contrast(patches, patches > 0, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_outside_the_brain_stays_exactly_0_and_nothing_moves(patches):
    changed = change_contrast(patches, patches > 0, generator())
    assert (changed[:, :, :4] == 0).all()
    # Each patch still looks like itself: correlated voxel by voxel, more than with any shift of itself.
    inside, before = changed[:, 0, 4:, 1:-1], patches[:, 0, 4:, 1:-1]
    shifted = patches[:, 0, 4:, 2:]

    def correlation(a, b):
        a, b = (part.flatten(1) - part.flatten(1).mean(1, keepdim=True) for part in (a, b))
        return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))

    assert (correlation(inside, before) > 0.5).float().mean() > 0.99
    assert (correlation(inside, before) > correlation(inside, shifted)).all()


def test_noise_and_dark_tissue_make_no_holes_in_the_brain():
    dark = torch.full((2000, 1, 12, 12), 0.001)  # the darkest of a leveled scan
    dark[:, :, 0] = 0
    dark[:, :, 6] = -0.2  # below the first landmark of a scan that is not leveled
    assert (change_patches(dark, generator(), ["contrast"], 12)[:, :, 1:] > 0).all()
    smaller = change_patches(dark, generator(), ["contrast", "edge"], 12)
    assert (smaller[:, :, 2:] > 0).all()
    rim = (smaller[:, :, 1] == 0).all(dim=2)
    assert 0.45 < rim.float().mean() < 0.55


def test_some_patches_stay_as_they_are_and_others_change_within_the_ranges():
    flat = torch.full((2000, 1, 12, 12), 0.5)
    changed = change_contrast(flat, flat > 0, generator())
    same = (changed == flat).flatten(1).all(1).float().mean()
    smooth = (changed.flatten(1).std(1) < 1e-6).float().mean()
    assert 0.5**5 < smooth < 0.5**2  # without shading and noise: contrast alone, blur of nothing
    assert same < smooth
    mean = changed.mean(dim=(1, 2, 3))
    least = 0.5 ** np.exp(LOG_GAMMA) * (1 - GAIN)
    most = 0.5 ** np.exp(-LOG_GAMMA) * (1 + GAIN)
    assert (mean > least - 0.01).all()
    assert (mean < most + 0.01).all()
    assert mean.std() > 0.05
    assert changed.flatten(1).std(1).max() < most * 2 * SHADING + 1.2 * NOISE


def test_blur_at_the_edge_of_the_brain_takes_no_background():
    flat = torch.zeros(3000, 1, 12, 12)
    flat[:, :, 6:] = 1.0
    changed = change_contrast(flat, flat > 0, generator())[:, 0, 6:]
    # Of patches without shading and noise every voxel of the brain has one value, the edge too.
    spread = changed.flatten(1).amax(1) - changed.flatten(1).amin(1)
    assert (spread < 1e-5).float().mean() > 0.5**5


@pytest.fixture
def head():
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, side) for side in (40, 44, 24)), indexing="ij")
    mask = x**2 + y**2 + z**2 < 0.8
    anatomy = 0.6 + 0.2 * np.sin(25 * x) * np.sin(25 * y)
    return np.where(mask, anatomy, 0).astype(np.float32), mask, (x, y, z)


def test_low_pass_of_a_constant_is_that_constant_up_to_the_edge(head):
    _, mask, _ = head
    found = low_pass(np.where(mask, 0.7, 0), mask, 2.0)
    np.testing.assert_allclose(found[mask], 0.7, rtol=1e-5)


def test_low_pass_keeps_slow_waves_and_takes_fast_ones():
    mask = np.ones((200, 8, 8), bool)
    position = np.arange(200)[:, None, None] * np.ones((1, 8, 8))
    for length, gain in ((200.0, np.exp(-2 * (np.pi * WIDTH / 200) ** 2)), (20.0, 0.0)):
        wave = np.cos(2 * np.pi * position / length)
        found = low_pass(wave, mask, 1.0)[60:140]
        np.testing.assert_allclose(found, gain * wave[60:140], atol=0.02)


def test_shading_of_another_scanner_goes_and_anatomy_stays(head):
    volume, mask, (x, y, _) = head
    reference = mean_low_pass([(volume, mask)], 2.0)
    shaded = np.where(mask, volume + 0.3 * x - 0.2 * y, 0).astype(np.float32)
    ours = leveled(shaded, mask, reference, 2.0)
    inner = low_pass(mask.astype(np.float32), np.ones_like(mask), 2.0) > 0.95  # away from the mask's edge
    before, after = (np.abs(part - volume)[inner].mean() for part in (shaded, ours))
    assert after < 0.15 * before
    assert (ours[~mask] == 0).all()
    assert (ours[mask] > 0).all()
    # The training scan itself comes back.
    np.testing.assert_allclose(leveled(volume, mask, reference, 2.0), volume, atol=1e-5)


def test_the_reference_is_the_mean_inside_masks_and_goes_on_beyond_them(head):
    volume, mask, (x, _, _) = head
    half = mask & (x < 0)
    reference = mean_low_pass([(volume, mask), (2 * np.where(half, volume, 0), half)], 2.0)
    expected = (low_pass(volume, mask, 2.0) + low_pass(2 * np.where(half, volume, 0), half, 2.0)) / 2
    np.testing.assert_allclose(reference[half], expected[half], rtol=1e-5)
    right = mask & ~half
    np.testing.assert_allclose(reference[right], low_pass(volume, mask, 2.0)[right], rtol=1e-5)
    around = low_pass(mask.astype(np.float32), np.ones_like(mask), 2.0) > 0.05
    assert (reference[around] > 0.3).all()


def test_leveled_scans_are_read_anew_each_time(head):
    volume, mask, _ = head
    scans = LeveledScans([(volume, mask)], mean_low_pass([(volume, mask)], 2.0), 2.0)
    assert len(scans) == 1
    for _ in range(2):
        ((first, its_mask),) = scans
        assert its_mask is mask
        assert first.dtype == np.float32


SETTINGS = {
    "widths": [4, 8, 8, 16],
    "patch": 8,
    "patches": 256,
    "batch": 64,
    "learning_rate": 0.01,
    "schedule": "one_cycle",
    "validation_patches": 64,
    "validations": 2,
    "seed": 5,
    "precision": "float32",
    "spacing": 2.0,
    "leveled": True,
    "changes": ["contrast"],
}
PLAIN = {
    name: value
    for name, value in SETTINGS.items()
    if name not in declaration("patch2loc_robust").own_settings
}


@pytest.fixture
def scans(head):
    volume, mask, _ = head
    return [(np.where(mask, volume * gain, 0).astype(np.float32), mask) for gain in (0.9, 1.0, 1.1)]


@pytest.fixture(params=[(patch2loc, patch2loc_robust), (patch2loc_unpadded, patch2loc_robust_unpadded)])
def methods(request):
    """A method and the one that trains its network for other scanners."""
    return request.param


def same_weights(first, second):
    return all(np.array_equal(first["weights"][name], second["weights"][name]) for name in first["weights"])


def test_a_model_levels_what_it_scores_and_saw_changed_patches(methods, head, scans):
    plainly, robust = methods
    volume, mask, (x, _, _) = head
    state, history = robust.fit(scans[:2], scans[2:], SETTINGS, None, device="cpu")
    assert len(history) == 2
    np.testing.assert_array_equal(state["reference"], mean_low_pass(scans[:2], 2.0))
    plain, _ = plainly.fit(scans[:2], scans[2:], PLAIN, None, device="cpu")
    leveled_alone, _ = plainly.fit(
        *(LeveledScans(part, state["reference"], 2.0) for part in (scans[:2], scans[2:])),
        PLAIN,
        None,
        device="cpu",
    )
    assert not same_weights(state, leveled_alone)  # the patches were changed
    assert not same_weights(plain, leveled_alone)  # and the scans leveled
    # Without augmentation that is all.
    unchanged, _ = robust.fit(scans[:2], scans[2:], SETTINGS | {"changes": []}, None, device="cpu")
    assert same_weights(unchanged, leveled_alone)
    np.testing.assert_array_equal(unchanged["reference"], state["reference"])

    wanted = mask & (np.arange(24) == 12)
    shaded = np.where(mask, volume + 0.2 * x, 0).astype(np.float32)
    found = robust.scorer(state, "cpu")(shaded, mask, wanted)["score"]
    seen = leveled(shaded, mask, state["reference"], 2.0)
    np.testing.assert_array_equal(found, plainly.scorer(state, "cpu")(seen, mask, wanted)["score"])
    assert np.isfinite(found[wanted]).all()
    assert np.isnan(found[~wanted]).all()
    np.testing.assert_array_equal(robust.network_input(state, shaded, mask), seen)


def test_without_leveling_a_scan_is_seen_as_it_is(methods, head, scans):
    plainly, robust = methods
    volume, mask, (x, _, _) = head
    settings = SETTINGS | {"leveled": False}
    state, _ = robust.fit(scans[:2], scans[2:], settings, None, device="cpu")
    plain, _ = plainly.fit(scans[:2], scans[2:], PLAIN, None, device="cpu")
    assert state.keys() == plain.keys()  # no reference
    assert not same_weights(state, plain)  # its patches were changed
    shaded = np.where(mask, volume + 0.2 * x, 0).astype(np.float32)
    np.testing.assert_array_equal(robust.network_input(state, shaded, mask), shaded)
    wanted = mask & (np.arange(24) == 12)
    found, expected = (
        method.scorer(state, "cpu")(shaded, mask, wanted)["score"] for method in (robust, plainly)
    )
    np.testing.assert_array_equal(found, expected)


def test_without_both_it_is_the_plain_method(methods, scans):
    plainly, robust = methods
    neither = SETTINGS | {"leveled": False, "changes": []}
    state, history = robust.fit(scans[:2], scans[2:], neither, None, device="cpu")
    plain, its_history = plainly.fit(scans[:2], scans[2:], PLAIN, None, device="cpu")
    assert same_weights(state, plain)
    assert history["validation_loss"].tolist() == its_history["validation_loss"].tolist()


def test_each_change_alone_makes_another_network(scans):
    states = [
        patch2loc_robust.fit(
            scans[:2], scans[2:], SETTINGS | {"leveled": False, "changes": changes}, None, device="cpu"
        )[0]
        for changes in ([], *([change] for change in declaration("patch2loc_robust").choices["changes"]))
    ]
    assert not any(same_weights(states[0], state) for state in states[1:])


def test_settings_that_the_training_does_not_have_are_refused(methods, scans):
    plainly, robust = methods
    for method, settings in ((plainly, PLAIN), (robust, SETTINGS)):
        with pytest.raises(
            InputError,
            match=r"^training: learning_rte found, of averaging, batch, .*learning_rate, .* expected",
        ):
            method.fit(scans[:2], scans[2:], settings | {"learning_rte": 0.1}, None, device="cpu")
    with pytest.raises(InputError, match=r"^training: changes, leveled found"):
        plainly.fit(scans[:2], scans[2:], SETTINGS, None, device="cpu")
