"""The middle of a patch covered: which voxels, in training and in scores, and what the score then depends on."""

from functools import cache

import numpy as np
import pytest
import torch
from scans import located_scans

import patch2loc.methods.patch2loc.model as patch2loc
import patch2loc.methods.patch2loc_covered.model as patch2loc_covered
import patch2loc.methods.patch2loc_robust_unpadded.model as patch2loc_robust_unpadded
import patch2loc.methods.patch2loc_unpadded.model as patch2loc_unpadded
from patch2loc.network import patches
from patch2loc.network.leveling import leveled
from patch2loc.network.patch_augmentation import cover_middle, cover_some
from patch2loc.network.prediction import predict
from patch2loc.network.sampling import PatchPool
from patch2loc.network.unpadded import ReadyUnpadded
from patch2loc.score.patch_predictions import predicted_patches

CPU = "cpu"
SHAPE = (32, 28, 5)
PATCH = 12
MIDDLE = np.s_[3:9]  # of 12 voxels
SETTINGS = {
    "widths": [4, 4, 8, 8],
    "patch": PATCH,
    "patches": 4 * 64,
    "batch": 64,
    "learning_rate": 0.01,
    "schedule": "one_cycle",
    "validation_patches": 64,
    "validations": 2,
    "seed": 5,
    "precision": "float32",
    "spacing": 2.0,
    "leveled": True,
    "changes": ["contrast", "edge"],
}


@cache
def scans(subjects=3, seed=0):
    return located_scans(subjects, seed, SHAPE, np.s_[4:28, 4:24, 1:4], darkest=0.3)


def fitted(checkpoint=None, method=patch2loc_covered, **changed):
    return method.fit(scans(), scans(2, 9), SETTINGS | changed, checkpoint, device=CPU)


@cache
def unbroken():
    """State and history of a training that nothing broke."""
    return fitted()


def unleveled():
    """A state that leaves scans as they are, so that a change of a voxel stays where it is."""
    state, _ = unbroken()
    return {name: value for name, value in state.items() if name not in ("reference", "spacing")}


@pytest.mark.parametrize(
    ("patch", "covered"),
    [(8, (2, 6)), (10, (3, 8)), (12, (3, 9)), (14, (4, 11)), (16, (4, 12)), (24, (6, 18))],
)
def test_the_middle_is_half_of_each_axis_around_the_voxel_at_the_center(patch, covered):
    given = torch.rand(3, 1, patch, patch) + 0.1
    expected = given.clone()
    expected[:, :, slice(*covered), slice(*covered)] = 0
    before = given.clone()
    assert torch.equal(cover_middle(given), expected)
    assert torch.equal(given, before)
    low, high = covered
    assert high - low == patch // 2
    # As the patch itself: as many voxels before the center as after it, or one more.
    assert patch // 2 - low in ((high - 1) - patch // 2, high - patch // 2)


def test_half_of_the_patches_are_covered_and_the_others_stay_as_they_are():
    given = torch.rand(4000, 1, PATCH, PATCH) + 0.1
    changed, again, other = (cover_some(given, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(changed, again)
    assert not torch.equal(changed, other)
    covered = (changed == cover_middle(given)).flatten(1).all(1)
    assert (covered | (changed == given).flatten(1).all(1)).all()
    assert 0.47 < covered.float().mean() < 0.53


@pytest.fixture
def pools(monkeypatch):
    """Pools that the training of a method, by its module and changed settings, draws from."""

    def of(method, **changed):
        def kept(training, validation, **_):
            return {"pools": (training, validation)}, None

        with monkeypatch.context() as patched:
            patched.setattr(patch2loc, "fit_network", kept)
            return fitted(method=method, **changed)[0]["pools"]

    return of


@pytest.mark.parametrize("changes", [["contrast", "edge"], ["pose", "contrast", "edge"], []])
def test_training_patches_are_those_of_robust_unpadded_and_covered_last(pools, changes):
    (ours, ours_validation), (theirs, theirs_validation) = (
        pools(method, changes=changes) for method in (patch2loc_covered, patch2loc_robust_unpadded)
    )
    for pool, other in ((ours, theirs), (ours_validation, theirs_validation)):
        (drawn, *places), (expected, *expected_places) = (
            each.draw(each.generator(5, 1), 1000) for each in (pool, other)
        )
        assert all(map(torch.equal, places, expected_places))
        as_it_is = (drawn == expected).flatten(1).all(1)
        covered = (drawn == cover_middle(expected)).flatten(1).all(1)
        assert (as_it_is | covered).all()
        assert 0.4 < covered.float().mean() < 0.6
        assert (drawn[covered][:, :, MIDDLE, MIDDLE] == 0).all()
        assert (expected != 0).float().mean() > 0.5  # covering takes away brain


def test_validation_patches_are_covered_alike_each_time(pools):
    _, validation = pools(patch2loc_covered)
    first, again = (validation.draw(validation.generator(5, 2), 64)[0] for _ in range(2))
    assert torch.equal(first, again)


def by_hand(state, volume, voxels, covered):
    """Squared error, percent squared, and mean log-variance of patches that are cut out and covered by hand."""
    network = patch2loc_unpadded.location_network(state)
    padded = np.pad(volume, ((PATCH // 2, PATCH // 2), (PATCH // 2, PATCH // 2), (0, 0)))
    cut = np.stack([padded[x : x + PATCH, y : y + PATCH, z] for x, y, z in voxels])
    if covered:
        cut[:, MIDDLE, MIDDLE] = 0
    slice_location = patches.location(torch.from_numpy(voxels[:, 2]), SHAPE[2])
    with torch.inference_mode():
        mean, log_variance = network(torch.from_numpy(cut)[:, None], slice_location)
    error = 100 * voxels[:, :2] / np.array(SHAPE[:2]) - mean.numpy()
    return (error**2).sum(1), log_variance.numpy().mean(1)


@pytest.mark.parametrize("epsilon", [None, 10.0])
def test_the_score_is_that_of_the_patch_less_that_of_the_covered_patch(epsilon):
    state, _ = unbroken()
    state = state if epsilon is None else state | {"epsilon": epsilon}
    ((volume, mask),) = scans(1, 4)
    found = patch2loc_covered.scorer(state, CPU)(volume, mask, mask)
    voxels = np.argwhere(mask)
    seen = leveled(volume, mask, state["reference"], 2.0)
    (error, log_variance), (covered_error, covered_log_variance) = (
        by_hand(state, seen, voxels, covered) for covered in (False, True)
    )
    added = 0.5 if epsilon is None else epsilon
    score = np.log(error + added) + log_variance
    difference = score - np.log(covered_error + added) - covered_log_variance
    assert np.isnan(found["score"][~mask]).all()
    np.testing.assert_allclose(found["score"][mask], difference, rtol=1e-3, atol=1e-3)
    # The maps beside it are of patches as they are.
    np.testing.assert_allclose(found["log_error"][mask], np.log(error + added), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found["log_variance"][mask], log_variance, rtol=1e-3, atol=1e-3)
    assert np.std(difference) > 0.01


@pytest.mark.parametrize("few", [True, False], ids=["few", "many"])
@pytest.mark.parametrize("memory_mb", [None, 0.02])
def test_predictions_in_batches_are_those_of_patches_covered_by_hand(few, memory_mb):
    state = unleveled()
    ((volume, mask),) = scans(1, 4)
    voxels = np.argwhere(mask)[:: 200 if few else 1]
    ready = patch2loc_covered.ReadyCovered(
        patch2loc_unpadded.location_network(state), CPU, memory_mb=memory_mb
    )
    assert ready.batch < len(voxels) or memory_mb is None
    mean, log_variance = predict(volume, voxels, ready)
    squared, expected = by_hand(state, volume, voxels, True)
    error = 100 * voxels[:, :2] / np.array(SHAPE[:2]) - mean
    np.testing.assert_allclose((error**2).sum(1), squared, rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(log_variance.mean(1), expected, rtol=1e-4, atol=1e-4)


def test_the_middle_changes_the_score_and_nothing_of_its_covered_part():
    state = unleveled()
    ((volume, mask),) = scans(1, 4)
    voxel = np.array([[15, 14, 2]])
    x, y, z = voxel[0]
    lesion, around = volume.copy(), volume.copy()
    lesion[x - 3 : x + 3, y - 3 : y + 3, z] = 3.0
    around[x + 3, y, z] = 3.0  # the first voxel that is not covered
    ready = patch2loc_covered.ReadyCovered(patch2loc_unpadded.location_network(state), CPU)
    healthy, with_lesion, with_surroundings = (
        np.concatenate(predict(scan, voxel, ready)) for scan in (volume, lesion, around)
    )
    np.testing.assert_array_equal(healthy, with_lesion)
    assert not np.allclose(healthy, with_surroundings)
    # So the score changes by as much as that of the patch as it is.
    score, whole = (
        [scorer(state, CPU)(scan, mask, mask)["score"][x, y, z] for scan in (volume, lesion)]
        for scorer in (patch2loc_covered.scorer, patch2loc_unpadded.scorer)
    )
    assert abs(whole[1] - whole[0]) > 0.01
    np.testing.assert_allclose(score[1] - score[0], whole[1] - whole[0], rtol=1e-4, atol=1e-4)


def test_strides_and_regions_are_those_of_the_dense_score():
    state, _ = unbroken()
    ((volume, mask),) = scans(1, 4)
    region = mask & (np.arange(SHAPE[2]) > 1)
    every, other = (
        np.asarray(patch2loc_covered.scorer(state, CPU, stride)(volume, mask, region)["score"])
        for stride in (1, 2)
    )
    for scores in (every, other):
        assert np.array_equal(np.isfinite(scores), region)
        assert scores.dtype == np.float32
    whole = np.asarray(patch2loc_covered.scorer(state, CPU)(volume, mask, mask)["score"])
    np.testing.assert_allclose(every[region], whole[region], rtol=1e-4, atol=1e-4)
    # Lattice points are computed, and halfway between two their mean stands.
    lattice = np.zeros_like(region)
    lattice[::2, ::2] = True
    np.testing.assert_allclose(other[lattice & region], every[lattice & region], rtol=1e-4, atol=1e-4)
    between = (other[4:24:2, 4:22:2, 2] + other[6:26:2, 4:22:2, 2]) / 2
    np.testing.assert_allclose(other[5:25:2, 4:22:2, 2], between, rtol=1e-4, atol=1e-4)
    assert not np.allclose(other[region], every[region])


def test_the_patch_analysis_is_of_patches_as_they_are():
    state, _ = unbroken()
    ((volume, mask),) = scans(1, 4)
    found = predicted_patches(volume, mask, PATCH, patch2loc_covered.predictor(state, CPU))
    dense = ReadyUnpadded(patch2loc_unpadded.location_network(state), CPU)
    expected, _ = predict(volume, found[["x", "y", "z"]].to_numpy(), dense)
    np.testing.assert_allclose(found[["mean_x", "mean_y"]], expected, rtol=1e-5)


class Killed(Exception):
    pass


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr("patch2loc.engine.training_loop.CHECKPOINT_SECONDS", -1)  # at every step
    whole, history = unbroken()
    drawn, one_slice_each = [], PatchPool.one_slice_each

    def killed(self, generator):
        drawn.append(self.patch)
        if len(drawn) == 3:
            raise Killed
        return one_slice_each(self, generator)

    with monkeypatch.context() as patched:
        patched.setattr(PatchPool, "one_slice_each", killed)
        with pytest.raises(Killed):
            fitted(tmp_path / "checkpoint-key.pt")
    state, again = fitted(tmp_path / "checkpoint-key.pt")
    for name, values in whole["weights"].items():
        np.testing.assert_array_equal(state["weights"][name], values, err_msg=name)
    assert again["validation_loss"].tolist() == history["validation_loss"].tolist()


def test_another_network_comes_of_it_than_of_robust_unpadded():
    state, _ = unbroken()
    other, _ = fitted(method=patch2loc_robust_unpadded)
    np.testing.assert_array_equal(state["reference"], other["reference"])
    assert state.keys() == other.keys()
    assert not all(
        np.array_equal(values, other["weights"][name]) for name, values in state["weights"].items()
    )
