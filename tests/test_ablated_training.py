"""Keys of the training that variants change: what they do to networks, losses, trainings and heatmaps."""

from collections import Counter

import numpy as np
import pytest
import torch
from networks import SETTINGS, cohort, patch_by_patch, randomized, relative
from repository_paths import ROOT
from scans import noise_scan, save_scan
from small_training import CPU
from small_training import SETTINGS as FIT_SETTINGS

import patch2loc.methods.patch2loc.model as patch2loc
from patch2loc import trained
from patch2loc.data.axes import AXES, AXES_OF_SLICES
from patch2loc.data.scans import Scan
from patch2loc.data.volumes import reoriented
from patch2loc.errors import InputError
from patch2loc.files import write_json
from patch2loc.models import load_model, sealed
from patch2loc.network.inference import DenseNetwork
from patch2loc.network.location import LocationNetwork
from patch2loc.network.prediction import predict
from patch2loc.network.training import beta_nll, negative_log_likelihood, train
from patch2loc.score.scoring import heatmap_of, standardized_for
from patch2loc.standardize import fit_landmarks
from patch2loc.train import FitJob, balanced, drawn_subset, fit_model, write_model

WIDTHS = (8, 8, 16, 16)
OTHER_SLICES = ["coronal", "sagittal"]


@pytest.fixture(scope="module")
def outputs():
    generator = torch.Generator().manual_seed(3)
    return [torch.randn((40, 2), generator=generator) for _ in range(3)]


def test_beta_0_is_the_likelihood_but_for_a_constant(outputs):
    mean, log_variance, target = outputs
    constant = np.log(2 * np.pi)  # of two coordinates, half each
    likelihood = negative_log_likelihood(mean, log_variance, target).item()
    assert beta_nll(mean, log_variance, target, 0).item() == pytest.approx(likelihood - constant, rel=1e-6)


def test_beta_1_has_the_gradient_of_half_a_squared_error(outputs):
    mean, log_variance, target = outputs
    mean = mean.clone().requires_grad_()
    beta_nll(mean, log_variance, target, 1).backward()
    torch.testing.assert_close(mean.grad, (mean - target).detach() / len(mean))


def test_beta_changes_the_training_and_not_the_measure_that_keeps_weights():
    histories = {}
    for beta in (0.0, 0.5, 1.0):
        settings = type(SETTINGS)(**{**SETTINGS.__dict__, "beta": beta, "patches": 128})
        histories[beta] = train(cohort(2), cohort(1, seed=9), settings)[1]
    first = [rows[0] for rows in histories.values()]
    assert len({row["training_loss"] for row in first}) == 3
    assert all(np.isfinite(row["validation_nll"]) for row in first)
    constant = np.log(2 * np.pi) + 2 * np.log(20.0)  # of percent against standardized locations
    zero = histories[0.0][0]
    assert zero["validation_nll"] == pytest.approx(zero["validation_loss"] + constant, rel=1e-4)


@pytest.mark.parametrize(("slice_code", "depends"), [(True, True), (False, False)])
def test_without_its_code_the_slice_does_not_matter(slice_code, depends):
    network = randomized(LocationNetwork(WIDTHS, slice_code=slice_code))
    patches = torch.rand((5, 1, 12, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        low, high = (network(patches, torch.full((5,), percent)) for percent in (10.0, 90.0))
    assert torch.equal(low[0], high[0]) != depends
    volume = np.repeat(np.random.default_rng(0).random((24, 20, 1), np.float32), 3, axis=2)
    voxels = np.array([[10, 9, 0], [10, 9, 2]])
    mean, _ = predict(volume, voxels, DenseNetwork(network, 12))
    assert np.array_equal(mean[0], mean[1]) != depends


def test_shared_heads_have_one_trunk_and_two_last_layers():
    network = LocationNetwork(WIDTHS, heads="shared")
    shapes = [tuple(layer.weight.shape) for layer in network.trunk if isinstance(layer, torch.nn.Linear)]
    assert shapes == [(16, 16), (128, 16), (64, 128), (32, 64)]
    assert [
        tuple(branch[-1].weight.shape) for branch in (network.mean_branch, network.logvariance_branch)
    ] == [(2, 32)] * 2
    assert len(network.mean_branch) == len(network.logvariance_branch) == 1
    assert len(LocationNetwork(WIDTHS).trunk) == 0
    with pytest.raises(ValueError, match="'three' found, one of separate, shared expected"):
        LocationNetwork(WIDTHS, heads="three")


@pytest.mark.parametrize("patch", [8, 16, 48])
def test_the_engine_equals_patch_by_patch_with_shared_heads_and_at_every_width_of_patches(patch):
    network = randomized(LocationNetwork(WIDTHS, heads="shared", slice_code=False))
    volume = np.random.default_rng(patch).random((52, 50, 2)).astype(np.float32)
    voxels = np.argwhere(np.random.default_rng(1).random(volume.shape) < 0.3)
    expected = patch_by_patch(volume, voxels, network, patch)
    for found, wanted in zip(predict(volume, voxels, DenseNetwork(network, patch)), expected, strict=True):
        assert relative(found, wanted) < 1e-5


@pytest.mark.parametrize("orientation", OTHER_SLICES)
def test_axes_are_turned_back_by_turning_them_again(orientation):
    array = np.arange(24).reshape(2, 3, 4)
    axes = AXES_OF_SLICES[orientation]
    turned = reoriented(array, axes)
    assert turned.shape == {"coronal": (2, 4, 3), "sagittal": (4, 3, 2)}[orientation]
    across = {"coronal": 1, "sagittal": 0}[orientation]
    assert np.array_equal(turned[:, :, 1], {1: array[:, 1], 0: array[1].T}[across])
    assert np.array_equal(reoriented(turned, axes), array)


def written(folder, count, shape=(24, 20, 16)):
    """Scans on disk that are as deep as a patch of 8 voxels is wide, and more."""
    scans = []
    for number in range(count):
        volume, mask = noise_scan(number, shape)
        scans.append(save_scan(folder, f"s{number}", 100 * volume, mask, affine=np.diag([2.0, 2, 2, 1])))
    return scans


def fitted(folder, repeated=(), sites=None, **changes):
    scans = written(folder, 4)
    write_json(folder / "landmarks.json", fit_landmarks(scans[:3]))
    orientation = changes.pop("orientation", "axial")
    settings = {**FIT_SETTINGS, "spacing": 2.0, "precision": "float32", "patches": 64, **changes}
    job = FitJob(
        "patch2loc", "T1", 0, settings, {"atlas": "icbm152", "preprocess": {}}, "code", CPU, orientation
    )
    result = fit_model(
        job,
        training=[*scans[:3], *(scans[number] for number in repeated)],
        validation=scans[3:],
        landmarks_path=folder / "landmarks.json",
        checkpoint_folder=folder / "model",
        sites=sites,
    )
    write_model(result, folder / "model.safetensors", folder / "history.csv")
    return load_model(folder / "model.safetensors"), scans


def test_a_model_says_what_its_network_is(tmp_path):
    model, scans = fitted(tmp_path, slice_code=False, heads="shared", beta=0.0)
    assert (model["state"]["slice_code"], model["state"]["heads"]) == (False, "shared")
    assert model["provenance"]["configuration"]["beta"] == 0
    network = patch2loc.location_network(model["state"])
    assert len(network.trunk) > 0
    assert not network.slice_code
    volume, mask = scans[3].read()
    assert np.isfinite(heatmap_of(model, CPU)(volume, mask, "s3")[mask]).all()


def test_a_model_that_does_not_say_has_the_papers_network(tmp_path):
    model, _ = fitted(tmp_path)
    state = {key: value for key, value in model["state"].items() if key not in ("slice_code", "heads")}
    network = patch2loc.location_network(state)
    assert network.slice_code
    assert len(network.trunk) == 0
    assert load_model(trained.path_of("t1-2mm"))["method"]  # of before these settings


@pytest.mark.parametrize("orientation", OTHER_SLICES)
def test_a_scan_in_another_orientation_is_scored_as_its_turned_array_is_axially(tmp_path, orientation):
    model, scans = fitted(tmp_path, orientation=orientation, patch=8)
    axes = AXES_OF_SLICES[orientation]
    assert model["grid"]["axes"] == axes
    volume, mask = scans[3].read()
    found = heatmap_of(model, CPU, median_filter=3)(volume, mask, "s3")
    shape = list(reoriented(volume, axes).shape)
    grid = {"shape": shape, "spacing": model["grid"]["spacing"]}
    axial = sealed({**model, "grid": grid})
    turned = heatmap_of(axial, CPU, median_filter=3)(
        reoriented(volume, axes), reoriented(mask, axes), "turned"
    )
    assert np.array_equal(found, reoriented(turned, axes), equal_nan=True)
    as_it_is = sealed({**model, "grid": {**model["grid"], "axes": "RAS"}})
    assert not np.array_equal(
        found[mask], heatmap_of(as_it_is, CPU, median_filter=3)(volume, mask, "s3")[mask]
    )
    assert standardized_for(model, volume, mask, "s3").shape == volume.shape


def test_smaller_subsets_are_part_of_larger_ones_and_keep_their_order(tmp_path):
    scans = written(tmp_path, 8)
    three, five = (drawn_subset(scans, count, 3141) for count in (3, 5))
    assert set(three) < set(five) < set(scans)
    assert [scan for scan in scans if scan in five] == five
    assert drawn_subset(scans, None, 3141) == scans
    assert any(set(drawn_subset(scans, 3, seed)) != set(three) for seed in range(5))
    without_one = [scan for scan in scans if scan != three[0]]
    assert set(three[1:]) < set(drawn_subset(without_one, 3, 3141))
    with pytest.raises(InputError, match=r"training.subjects: 9 found, at most 8 expected"):
        drawn_subset(scans, 9, 3141)


def test_balanced_sites_have_the_same_share_of_training_scans():
    sites = {
        f"{site}{number}": site for site, count in (("a", 60), ("b", 6), ("c", 25)) for number in range(count)
    }
    scans = balanced([Scan(subject, ROOT, "T1") for subject in sites], sites)
    assert Counter(sites[scan.subject] for scan in scans) == {"a": 60, "b": 60, "c": 50}  # 25 cannot make 60
    assert len({scan.subject for scan in scans}) == 91


def test_a_balanced_training_is_one_on_repeated_scans_which_the_model_names_once(tmp_path):
    sites = {"s0": "a", "s1": "a", "s2": "b", "s3": "b"}
    model, _ = fitted(tmp_path / "balanced", sites=sites)
    repeated, _ = fitted(tmp_path / "repeated", repeated=[2])
    plain, _ = fitted(tmp_path / "plain")

    def weights(model):
        return {name: value.tolist() for name, value in model["state"]["weights"].items()}

    assert weights(model) == weights(repeated) != weights(plain)
    assert model["training_subjects"] == ["s0", "s1", "s2"]
    assert model["provenance"]["configuration"]["balance_sites"] is True
    assert "balance_sites" not in plain["provenance"]["configuration"]


def test_volumes_know_axes_alone():
    assert set(AXES_OF_SLICES.values()) <= set(AXES)
