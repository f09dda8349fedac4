"""Presets and the whole-brain grid."""

import copy

import pytest
import yaml
from repository_paths import ROOT
from studies import CONFIGURATION

from patch2loc.configuration.presets import PRESETS, completed, whole_brain_shape
from patch2loc.errors import InputError


def study(**changes):
    return yaml.safe_load(CONFIGURATION) | changes


def shipped(name):
    return yaml.safe_load((ROOT / "config" / name).read_text(encoding="utf-8"))


def test_the_preset_is_the_configuration_of_the_model_that_ships():
    config, model = completed(study()), shipped("model_t1.yaml")
    assert model["training"].pop("balance_sites")  # a study's list need not name sites
    for key in ("atlas", "grid", "patch", "folds", "methods", "budget", "training", "score", "precision"):
        given = model[key]
        values = {name: config[key][name] for name in given} if isinstance(given, dict) else config[key]
        assert values == given, key
    assert config["detector"]["method"] == model["detector"]["method"]


def test_any_key_that_is_given_replaces_that_of_the_preset():
    before = copy.deepcopy(PRESETS)
    config = completed(
        study(training={"patches": 1024, "batch": 64}, patch=8, grid={"spacing": 4.0}, folds=[0, 1])
    )
    assert (config["patch"], config["folds"], config["atlas"]) == (8, [0, 1], "icbm152")
    given = PRESETS["cpu-2mm"]["training"] | {"patches": 1024, "batch": 64}
    assert {key: config["training"][key] for key in given} == given
    assert config["grid"] == {"shape": [48, 56, 40], "spacing": 4.0}
    assert before == PRESETS


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"preset": "cpu"}, 'preset: "cpu" found, one of cpu-2mm, null expected'),
        ({"preset": 2}, "preset: 2 found"),
        ({"grid": 5}, "grid: 5 found, keys with values expected"),
        ({"grid": {"shape": "brain"}}, 'grid.shape: "brain" found, whole-brain, or three whole numbers'),
        ({"grid": {"spacing": "2"}}, 'grid.spacing: "2" found, a number expected'),
        ({"training": {"patch": 5}}, "training.patch: unknown key found, patches"),
    ],
)
def test_what_a_preset_cannot_be_joined_with_is_refused(changes, said):
    with pytest.raises(InputError, match=said):
        completed(study(**changes))


@pytest.mark.parametrize(
    ("where", "valid"),
    [
        ({"group": "control"}, True),
        ({"group": ["a", 2], "age": {"from": 18, "to": 60}, "session": 1}, True),
        ({"group": True}, False),
        ({"group": []}, False),
        ({"group": None}, False),
        ({"age": {"above": 5}}, False),
        ({"age": {}}, False),
        ("control", False),
    ],
)
def test_conditions_are_values_lists_or_ranges(where, valid):
    config = study()
    config["datasets"]["patients"]["where"] = where
    if valid:
        completed(config)
        return
    with pytest.raises(InputError, match=r"^datasets\.patients\.where"):
        completed(config)


def test_the_whole_brain_grid_is_the_box_in_even_numbers_of_voxels():
    assert whole_brain_shape(1) == [192, 224, 160]
    assert whole_brain_shape(2) == [96, 112, 80]
    assert whole_brain_shape(4) == [48, 56, 40]
    assert whole_brain_shape(3) == [64, 76, 54]
