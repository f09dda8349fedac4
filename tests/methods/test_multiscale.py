"""Patch2Loc at several patch sizes: which networks there are, how they are trained, how their maps are fused."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scans import disc_scans, located_scans
from small_fits import LOCATION, small_fit
from small_fits import SHAPE as SHAPE_OF_FITS
from written_models import complete_model

import patch2loc.methods.patch2loc.model as patch2loc
import patch2loc.methods.patch2loc_multiscale.model as patch2loc_multiscale
import patch2loc.methods.patch2loc_robust_multiscale.model as patch2loc_robust_multiscale
import patch2loc.methods.patch2loc_robust_unpadded.model as patch2loc_robust_unpadded
from patch2loc.configuration.check import check_configuration
from patch2loc.configuration.method_settings import resolve_settings, training_settings
from patch2loc.errors import InputError
from patch2loc.figures.cost import training_seconds
from patch2loc.method_interface import as_array, method
from patch2loc.models import load_model, save_model
from patch2loc.network.leveling import leveled, mean_low_pass
from patch2loc.network.sampling import PatchPool
from patch2loc.score.patch_predictions import predicted_patches

CPU = "cpu"
TRAINING = {
    "widths": [4, 4, 8, 8],
    "patches": 3 * 64 * 4,
    "batch": 64,
    "learning_rate": 0.01,
    "schedule": "one_cycle",
    "validation_patches": 64,
    "validations": 6,
}
REST = {"patch": 12, "seed": 5, "precision": "float32", "spacing": 2.0}
SETTINGS = TRAINING | REST | {"sizes": [2 / 3, 1, 4 / 3]}
ROBUST = {"leveled": True, "changes": ["contrast", "edge"]}
# The method of one patch size that each is made of.
OF_ONE_SIZE = {
    patch2loc_multiscale: patch2loc,
    patch2loc_robust_multiscale: patch2loc_robust_unpadded,
}
EACH = pytest.mark.parametrize("multiscale", OF_ONE_SIZE, ids=["plain", "robust"])
WIDTHS = [8, 12, 16]
SHAPE = (32, 28, 5)


@cache
def scans(subjects=3, seed=0):
    return located_scans(subjects, seed, SHAPE, np.s_[4:28, 4:24, 1:4], darkest=0.3)


def settings_for(multiscale):
    return SETTINGS if multiscale is patch2loc_multiscale else SETTINGS | ROBUST


def fitted(multiscale, checkpoint=None, **changed):
    return multiscale.fit(scans(), scans(2, 9), settings_for(multiscale) | changed, checkpoint, device=CPU)


@cache
def unbroken(multiscale):
    """State and history of a training that nothing broke."""
    return fitted(multiscale)


def single_states(multiscale):
    """States of the networks, as of the method of one size."""
    state, _ = unbroken(multiscale)
    leveling = {name: state[name] for name in ("reference", "spacing") if name in state}
    return {name: network | leveling for name, network in state["networks"].items()}


def assert_same(first, second):
    assert first["networks"].keys() == second["networks"].keys()
    for name, network in first["networks"].items():
        other = second["networks"][name]
        assert (network["patch"], network["widths"]) == (other["patch"], other["widths"])
        for part, values in network["weights"].items():
            np.testing.assert_array_equal(values, other["weights"][part], err_msg=f"{name} {part}")


@pytest.mark.parametrize(
    ("patch", "sizes", "widths"),
    [
        (12, [2 / 3, 1, 4 / 3], [8, 12, 16]),
        (24, [2 / 3, 1, 4 / 3], [16, 24, 32]),
        (12, [0.667, 1, 1.333], [8, 12, 16]),
        (16, [2 / 3, 1, 4 / 3], [10, 16, 22]),  # 10.7 and 21.3
        (12, [0.75, 1.25], [10, 16]),  # 9 and 15: between two even numbers the greater
        (12, [2, 1], [24, 12]),
    ],
)
def test_sizes_are_shares_of_the_patch_to_the_nearest_even_number(patch, sizes, widths):
    assert patch2loc_multiscale.patch_sizes(patch, sizes) == widths


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ([0.5, 1], r"\[0\.5, 1\], which are 6, 12 voxels at patch 12, found"),
        ([1, 1.05], "12, 12 voxels"),  # 12.6 voxels
        ([1, -1], "12, -12 voxels"),
        ([], r"\[\] found"),
        (1, "sizes: 1 found"),
        (["1"], r"\['1'\] found"),
        ([float("nan")], r"\[nan\] found"),
    ],
)
def test_sizes_that_make_no_networks_are_refused(sizes, told):
    for multiscale in OF_ONE_SIZE:
        name = multiscale.__name__.split(".")[-2]
        message = rf"method_settings\.{name}\.sizes: .*{told.removeprefix('sizes: ')}.*8 voxels"
        with pytest.raises(InputError, match=message):
            fitted(multiscale, sizes=sizes)


def test_the_budget_is_shared_out_equally_and_seeds_differ():
    given = SETTINGS | {"patches": 1000, "validations": 10}
    networks = patch2loc_multiscale.network_settings(given)
    assert [own["patch"] for own in networks] == WIDTHS
    assert {own["patches"] for own in networks} == {334}
    assert {own["validations"] for own in networks} == {4}
    of_two_runs = [
        own["seed"]
        for seed in (5, 6)
        for own in patch2loc_multiscale.network_settings(given | {"seed": seed})
    ]
    assert len(set(of_two_runs)) == 6
    same = set(given) - {"patch", "patches", "validations", "seed", "sizes"}
    assert all(own[name] == given[name] for own in networks for name in same)
    assert all(set(own) == set(given) - {"sizes"} for own in networks)  # each is trained as Patch2Loc is


@EACH
def test_the_history_counts_all_networks_patches(multiscale):
    _, history = unbroken(multiscale)
    assert history["patch"].tolist() == [8, 8, 12, 12, 16, 16]
    assert history["step"].tolist() == [2, 4, 6, 8, 10, 12]
    assert history["patches"].tolist() == [128, 256, 384, 512, 640, 768]
    assert history["patches"].iloc[-1] == SETTINGS["patches"]
    timed = history.assign(patches_per_second=[64.0, 128.0] * 3)
    record = {"started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T00:00:00+00:00"}
    assert training_seconds(record, timed) == pytest.approx(3 * (128 / 64 + 128 / 128))


@EACH
def test_each_network_is_the_one_that_the_method_of_one_size_trains_with_its_settings(multiscale):
    _, history = unbroken(multiscale)
    states = single_states(multiscale)
    for own in patch2loc_multiscale.network_settings(settings_for(multiscale)):
        alone, its_history = OF_ONE_SIZE[multiscale].fit(scans(), scans(2, 9), own, None, device=CPU)
        fused = states[f"patch{own['patch']}"]
        assert_same({"networks": {"one": fused}}, {"networks": {"one": alone}})
        assert fused.keys() == alone.keys()
        if "reference" in alone:
            np.testing.assert_array_equal(fused["reference"], alone["reference"])
        losses = history.loc[history["patch"] == own["patch"], "validation_loss"]
        assert losses.tolist() == its_history["validation_loss"].tolist()


def test_the_reference_of_leveling_is_made_once_and_kept_once(monkeypatch):
    levels = []

    def counted(training, spacing):
        levels.append(mean_low_pass(training, spacing))
        return levels[-1]

    monkeypatch.setattr("patch2loc.methods.patch2loc_robust.model.mean_low_pass", counted)
    brief = {"patches": 3 * 64, "validations": 1}
    state, _ = fitted(patch2loc_robust_multiscale, **brief)
    assert len(levels) == 1
    assert state["reference"] is levels[0]
    assert state["spacing"] == 2.0
    assert not any("reference" in network for network in state["networks"].values())
    np.testing.assert_array_equal(state["reference"], mean_low_pass(scans(), 2.0))
    plain, _ = fitted(patch2loc_robust_multiscale, leveled=False, **brief)
    assert plain.keys() == {"networks", "patch"}
    assert len(levels) == 1


def test_networks_see_leveled_scans():
    state, _ = unbroken(patch2loc_robust_multiscale)
    ((volume, mask),) = scans(1, 4)
    shaded = np.where(mask, volume + np.linspace(0, 1, SHAPE[0])[:, None, None], 0).astype(np.float32)
    expected = leveled(shaded, mask, state["reference"], 2.0)
    np.testing.assert_array_equal(patch2loc_robust_multiscale.network_input(state, shaded, mask), expected)
    assert np.abs(expected - shaded)[mask].max() > 0.1
    without = {name: state[name] for name in ("networks", "patch")}
    np.testing.assert_array_equal(patch2loc_robust_multiscale.network_input(without, shaded, mask), shaded)
    found, of_leveled = (
        patch2loc_robust_multiscale.scorer(its_state, CPU)(seen, mask, mask)["score"]
        for its_state, seen in ((state, shaded), (without, expected))
    )
    np.testing.assert_array_equal(found, of_leveled)


def test_changes_and_leveling_are_those_of_the_settings():
    brief = {"patches": 3 * 64, "validations": 1, "changes": []}
    state, _ = fitted(patch2loc_robust_multiscale, **brief)
    changed, _ = fitted(patch2loc_robust_multiscale, **brief | {"changes": ["contrast"]})
    weights = [each["networks"]["patch12"]["weights"] for each in (state, changed)]
    assert not all(np.array_equal(values, weights[1][name]) for name, values in weights[0].items())


@EACH
@pytest.mark.parametrize("stride", [1, 2])
def test_the_maps_are_the_mean_of_the_single_networks_maps(tmp_path, multiscale, stride):
    state, _ = unbroken(multiscale)
    ((volume, mask),) = scans(1, 4)
    wanted = mask & (np.arange(SHAPE[2]) > 1)
    found = multiscale.scorer(state, CPU, stride)(volume, mask, wanted)
    single = [
        OF_ONE_SIZE[multiscale].scorer(network, CPU, stride)(volume, mask, wanted)
        for network in single_states(multiscale).values()
    ]
    assert set(found) == {"score", "log_error", "log_variance"}
    for name, values in found.items():
        assert np.array_equal(np.isfinite(values), wanted)
        assert values.dtype == np.float32
        expected = (single[0][name] + single[1][name] + single[2][name]) / 3
        np.testing.assert_allclose(values[wanted], expected[wanted], rtol=1e-5, atol=1e-6)
        assert not np.allclose(values[wanted], single[1][name][wanted])
    # A model's file has the networks in another order.
    save_model(tmp_path / "model.safetensors", complete_model(state=state))
    loaded = load_model(tmp_path / "model.safetensors")["state"]
    again = multiscale.scorer(loaded, CPU, stride)(volume, mask, wanted)
    np.testing.assert_array_equal(again["score"], found["score"])


class Killed(Exception):
    pass


@EACH
@pytest.mark.parametrize("network", [1, 2, 3])
def test_a_killed_training_goes_on_to_the_same_weights(tmp_path, multiscale, network, monkeypatch):
    monkeypatch.setattr("patch2loc.engine.training_loop.CHECKPOINT_SECONDS", -1)  # at every step
    whole, history = unbroken(multiscale)
    checkpoint, drawn = tmp_path / "checkpoint-key.pt", []
    one_slice_each = PatchPool.one_slice_each

    def killed(self, generator):
        drawn.append(self.patch)
        if len(drawn) == 4 * (network - 1) + 3:  # in its third step, after a validation
            raise Killed
        return one_slice_each(self, generator)

    with monkeypatch.context() as patched:
        patched.setattr(PatchPool, "one_slice_each", killed)
        with pytest.raises(Killed):
            fitted(multiscale, checkpoint)
    assert drawn[-1] == WIDTHS[network - 1]
    assert {path.name for path in tmp_path.glob("*checkpoint*")} == {
        f"patch{width}-checkpoint-key.pt" for width in WIDTHS[:network]
    }
    drawn.clear()

    def counted(self, generator):
        drawn.append(self.patch)
        return one_slice_each(self, generator)

    monkeypatch.setattr(PatchPool, "one_slice_each", counted)
    state, again = fitted(multiscale, checkpoint)
    # Two steps of the one that was killed, four of each that had not begun, none of those that were done.
    assert drawn == [WIDTHS[network - 1]] * 2 + [width for width in WIDTHS[network:] for _ in range(4)]
    assert_same(state, whole)
    pd.testing.assert_frame_equal(
        again.drop(columns="patches_per_second"), history.drop(columns="patches_per_second"), check_exact=True
    )


def test_checkpoints_of_other_settings_are_removed_and_those_of_this_one_kept(tmp_path):
    kept, others = (
        tmp_path / "patch8-checkpoint-key.pt",
        ("patch8-checkpoint-old.pt", "patch10-checkpoint-key.pt", "patch10-progress.csv"),
    )
    for name in (*others, "checkpoint-key.pt", "model.safetensors"):
        (tmp_path / name).touch()
    fitted(patch2loc_multiscale, tmp_path / "checkpoint-key.pt", sizes=[2 / 3], patches=64, validations=1)
    progress = {"patch8-progress.csv", "patch8-progress.png"}
    assert {path.name for path in tmp_path.iterdir()} == {
        kept.name,
        "checkpoint-key.pt",
        "model.safetensors",
        *progress,
    }


@EACH
def test_patches_of_one_size_alone_are_in_memory(multiscale, monkeypatch):
    created, alive = PatchPool.__init__, []

    def counted(self, volumes, patch, *rest, **more):
        assert {width for width in alive if width != patch} == set()
        created(self, volumes, patch, *rest, **more)
        alive.append(patch)

    monkeypatch.setattr(PatchPool, "__init__", counted)
    monkeypatch.setattr(PatchPool, "__del__", lambda self: alive.remove(self.patch), raising=False)
    fitted(multiscale, patches=3 * 64, validations=1)
    assert alive == []


@EACH
def test_the_patch_analysis_takes_the_mean_prediction_at_patch2locs_patches(multiscale):
    state, _ = unbroken(multiscale)
    ((volume, mask),) = scans(1, 4)
    predicted = multiscale.predictor(state, CPU)
    table = predicted_patches(volume, mask, state["patch"], predicted)
    single = [
        OF_ONE_SIZE[multiscale].predictor(network, CPU) for network in single_states(multiscale).values()
    ]
    of_one = predicted_patches(volume, mask, 12, single[0])
    places = ["x", "y", "z", "brain_fraction"]
    pd.testing.assert_frame_equal(table[places], of_one[places])
    voxels = table[["x", "y", "z"]].to_numpy()
    means, log_variances = (
        np.mean(values, axis=0) for values in zip(*(one(volume, voxels) for one in single), strict=True)
    )
    np.testing.assert_allclose(table[["mean_x", "mean_y"]], means, rtol=1e-5)
    np.testing.assert_allclose(table[["log_variance_x", "log_variance_y"]], log_variances, rtol=1e-5)
    expected = np.linalg.norm(means - 100 * voxels[:, :2] / np.array(SHAPE[:2]), axis=1)
    np.testing.assert_allclose(table["location_error"], expected, rtol=1e-4)


def configuration(**changed):
    return {
        "patch": 12,
        "grid": {"shape": [48, 48, 25], "spacing": 4.0},
        "score": {"stride": 1, "median_filter": 3},
        "parts": {"strides": []},
        "training": TRAINING | {"threads": 8, "memory_mb": 100, "orientation": "axial", "subjects": None},
        "training_data": {},
        "without": [],
        "datasets": {},
        "budget": "smoke",
        "methods": [
            "patch2loc",
            "patch2loc_robust",
            "patch2loc_multiscale",
            "patch2loc_robust_multiscale",
            "patch2loc_covered",
            "ae",
            "zscore",
        ],
        "method_settings": {},
    } | changed


def settings_of(name, **changed):
    config = configuration(**changed)
    check_configuration(config)
    return training_settings(name, config)


def test_a_line_of_configuration_is_an_ablation():
    robust = {"leveled": True, "changes": ["contrast", "edge"]}
    assert settings_of("patch2loc") == TRAINING  # nothing else: its models' provenance stays as it was
    assert settings_of("patch2loc_robust") == TRAINING | robust
    assert settings_of("patch2loc_covered") == TRAINING | robust
    sizes = {"sizes": [2 / 3, 1, 4 / 3]}
    assert settings_of("patch2loc_multiscale") == TRAINING | sizes
    assert settings_of("patch2loc_robust_multiscale") == TRAINING | robust | sizes
    ablations = {"patch2loc_robust": {"changes": []}, "patch2loc_multiscale": {"sizes": [1, 2]}}
    changed = {"method_settings": ablations | {"ae": {"steps": 7}}}
    assert settings_of("patch2loc", **changed) == TRAINING
    assert settings_of("patch2loc_robust", **changed) == TRAINING | robust | {"changes": []}
    assert settings_of("patch2loc_multiscale", **changed) == TRAINING | {"sizes": [1, 2]}
    assert settings_of("patch2loc_robust") == TRAINING | robust  # the defaults are left as they are
    assert settings_of("ae", **changed) == {"budget": "smoke"} | resolve_settings("ae", "smoke", {"steps": 7})
    assert settings_of("zscore") == {}


@pytest.mark.parametrize("unknown", ["change", "patches", "budget", "own"])
def test_settings_that_a_variant_does_not_have_are_refused(unknown):
    changed = {"method_settings": {"patch2loc_robust": {unknown: False}}}
    with pytest.raises(
        InputError,
        match=rf"method_settings\.patch2loc_robust: {unknown} found, of changes, leveled expected",
    ):
        settings_of("patch2loc_robust", **changed)
    with pytest.raises(InputError, match="method_settings: patch2loc found"):
        check_configuration(configuration(method_settings={"patch2loc": {unknown: False}}))


@pytest.mark.parametrize("name", LOCATION)
def test_every_location_method_takes_epsilon_from_its_state(name):
    """Of the scoring job (`score.epsilon`): the squared error is then log-error less another constant."""
    state, _ = small_fit(name, 2)
    ((volume, mask),) = disc_scans(1, 9, SHAPE_OF_FITS)
    ours, other = (
        method(name).scorer(each, "cpu")(volume, mask, mask) for each in (state, state | {"epsilon": 100.0})
    )
    log_errors = [as_array(maps["log_error"])[mask] for maps in (ours, other)]
    assert log_errors[1].min() >= np.log(100) - 1e-5
    np.testing.assert_allclose(as_array(ours["log_variance"])[mask], as_array(other["log_variance"])[mask])
    if not name.endswith("multiscale"):  # whose log-error is a mean
        squared = [np.exp(each) - epsilon for each, epsilon in zip(log_errors, (0.5, 100.0), strict=True)]
        np.testing.assert_allclose(squared[0], squared[1], rtol=1e-3, atol=1e-3)
