"""Presets, the whole-brain grid, and the estimate of hours."""

import copy

import pytest
import yaml
from repository_paths import ROOT
from studies import CONFIGURATION

from patch2loc.configuration.estimated_hours import (
    NARROW,
    PAPER,
    Work,
    estimate_note,
    in_hours,
    multiplications,
    remaining_work,
    seconds_of_scoring,
    seconds_of_training,
)
from patch2loc.configuration.presets import PRESETS, completed, whole_brain_shape
from patch2loc.data.results import Results
from patch2loc.engine import gpus
from patch2loc.errors import InputError

SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))


def study(**changes):
    return yaml.safe_load(CONFIGURATION) | changes


def shipped(name):
    return yaml.safe_load((ROOT / "config" / name).read_text(encoding="utf-8"))


def test_the_preset_is_the_configuration_of_the_model_that_ships():
    config, model = completed(study(), SCHEMA), shipped("model_t1.yaml")
    assert model["training"].pop("balance_sites")  # a study's list need not name sites
    for key in ("atlas", "grid", "patch", "folds", "methods", "budget", "training", "score", "precision"):
        assert config[key] == model[key], key
    assert config["detector"]["method"] == model["detector"]["method"]
    assert SCHEMA["properties"]["preset"]["enum"] == [*PRESETS, None]


def test_any_key_that_is_given_replaces_that_of_the_preset():
    before = copy.deepcopy(PRESETS)
    config = completed(
        study(training={"patches": 1024, "batch": 64}, patch=8, grid={"spacing": 4.0}, folds=[0, 1]), SCHEMA
    )
    assert (config["patch"], config["folds"], config["atlas"]) == (8, [0, 1], "icbm152")
    assert config["training"] == PRESETS["cpu-2mm"]["training"] | {"patches": 1024, "batch": 64}
    assert config["grid"] == {"shape": [48, 56, 40], "spacing": 4.0}
    assert before == PRESETS


def test_without_a_preset_nothing_changes():
    for name in ("config.yaml", "demo.yaml", "ixi2mm.yaml"):
        assert completed(shipped(name), SCHEMA) == shipped(name)


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
        completed(study(**changes), SCHEMA)


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
        completed(config, SCHEMA)
        return
    with pytest.raises(InputError, match=r"^datasets\.patients\.where"):
        completed(config, SCHEMA)


def test_the_whole_brain_grid_is_the_box_in_even_numbers_of_voxels():
    assert whole_brain_shape(1) == [192, 224, 160]
    assert whole_brain_shape(2) == [96, 112, 80]
    assert whole_brain_shape(4) == [48, 56, 40]
    assert whole_brain_shape(3) == [64, 76, 54]


def test_the_estimate_has_the_two_measured_networks_as_they_were_measured():
    narrow = completed(study(training={"widths": list(NARROW.widths)}), SCHEMA)
    # benchmarks/engine_narrow_cpu.csv and engine_cpu.csv, on two threads.
    assert seconds_of_training(narrow) == pytest.approx(2 * 0.05072 * 20_480_000 / 512, rel=1e-3)
    paper = {
        "patch": 24,
        "training": {"widths": [64, 128, 256, 512], "patches": 121_440_000, "threads": 8},
        "grid": {"shape": [192, 192, 100], "spacing": 1.0},
        "score": {"stride": 1},
    }
    assert seconds_of_training(paper) == pytest.approx(2 * 121_440_000 / 981, rel=1e-3)
    assert seconds_of_scoring(paper) == pytest.approx(2 * 295.4, rel=1e-3)
    assert seconds_of_scoring({**paper, "score": {"stride": 2}}) == pytest.approx(2 * 295.4 / 4, rel=1e-3)
    assert multiplications(NARROW.widths, 12) < multiplications(PAPER.widths, 24)


def test_the_multiplications_are_those_of_the_network():
    torch = pytest.importorskip("torch")
    from patch2loc.network.location import encoder

    for widths, patch in ((NARROW.widths, NARROW.patch), (PAPER.widths, PAPER.patch)):
        counted = []

        def count(module, inputs, output, counted=counted):
            counted.append(output[0].numel() * module.weight[0].numel())

        network = encoder(widths).eval()
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.register_forward_hook(count)
        network(torch.zeros(1, 1, patch, patch))
        assert sum(counted) == multiplications(widths, patch)


def test_the_hours_are_said_unless_they_are_minutes_or_the_work_is_done(tmp_path):
    config = completed(study(), SCHEMA) | {"device": "cpu"}
    work = Work(trainings=2, scorings=80, preprocessings=120, answers=20, others=["ae"])
    note = estimate_note(work, config, cores=2)
    assert note.startswith(
        "Estimate: about 2.0 hours on the 2 cores of this machine: training of 2 location networks"
    )
    assert "3.4 hours of a core; preprocessing of 120 scans, 80 heatmaps and 20 answers 41 minutes" in note
    assert "Not counted: ae." in note
    assert "docs/explanation/scale.md" in note
    # Sixty cores do not train a network of one thread faster.
    assert estimate_note(work, config, cores=60).startswith("Estimate: about 1.7 hours on the 60 cores")
    assert estimate_note(Work(0, 5, 5, 0, []), config, cores=2) == ""


@pytest.mark.parametrize(
    ("hours", "words"), [(0.1, "6 minutes"), (0.7, "42 minutes"), (1.4, "1.4 hours"), (360, "15 days")]
)
def test_hours_are_said_as_people_say_them(hours, words):
    assert in_hours(hours) == words


@pytest.mark.parametrize(("chosen", "estimated"), [("0", False), ("", True), ("-1", True)])
def test_hours_of_a_processor_are_said_where_no_gpu_is_visible(chosen, estimated, tmp_path, monkeypatch):
    monkeypatch.setattr(gpus, "_driver", lambda: gpus.Driver(1, []))
    monkeypatch.setenv(gpus.VISIBLE, chosen)
    config = completed(study(), SCHEMA) | {"device": "auto"}
    assert bool(estimate_note(Work(2, 80, 120, 20, []), config, cores=2)) == estimated


def test_what_is_there_already_is_not_estimated(tmp_path):
    results = Results(str(tmp_path))
    arguments = (results, ["patch2loc", "zscore", "ae"], ["T1"], [0, 1], {"own": ["a", "b"]}, {("own", 0): 2})
    assert remaining_work(*arguments, answered=["own"]) == Work(2, 2, 2, 2, ["ae"])
    for path in (
        results.model("patch2loc", "T1", 0),
        results.heatmaps("patch2loc", "own", 0),
        results.preprocessed("own", "a"),
        results.patient("own", "b"),
    ):
        (tmp_path / path).mkdir(parents=True)
    assert remaining_work(*arguments, answered=["own"]) == Work(1, 0, 1, 1, ["ae"])
