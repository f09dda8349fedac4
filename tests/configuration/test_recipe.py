"""The recipe of the released code: its file, its table in the documentation, and what each key of it runs again."""

import re

import pytest
import yaml
from params_of_rules import params_of_rules
from repository_paths import ROOT

from patch2loc.configuration.configuration_file import merged, read_configuration
from patch2loc.configuration.released_code import ELEMENTS, nested, value_of, with_released
from patch2loc.configuration.validation import valid

BY_KEY = {element.key: element for element in ELEMENTS}
# Rules that show how numbers came about, whatever it is.
SHOW_ALL = {"crate", "report_page"}
# Tables that state how their numbers were computed; the first ones follow the key `metrics`.
STATE_METRICS = {"by_volume", "comparison", "parts", "table1"}
STATE_PROTOCOL = STATE_METRICS | {"released_code", "thresholds"}
SCORE = {"score", "score_validation", "evaluate"}  # evaluate records the settings of scores beside its own
# Rules whose params a key changes, besides SHOW_ALL.
RULES = {
    "preprocess.registration": {"preprocess", "train"},  # a model says how its scans were brought to the grid
    "preprocess.template": {"preprocess", "train"},
    "preprocess.crop": {"preprocess", "train", "healthy_checks"},
    "preprocess.brain_mask": {"preprocess", "train"},
    "preprocess.bias_field": {"preprocess", "train"},
    "preprocess.smoothing": {"preprocess", "train"},
    "split": {"subject_lists"},
    "intensities.landmarks": {"landmarks"},
    "intensities.scale": {"landmarks"},
    "training.location_unit": {"train"},
    "training.candidates": {"train"},
    "training.slices": {"train"},
    "training.learning_rate": {"train"},
    "training.schedule": {"train"},
    "training.averaging": {"train"},
    "precision": {"train", "score", "score_validation", "patient", "analyze_parts"},
    "score.epsilon": SCORE | {"parts"},  # analyze_parts tries both values in any case
    "score.median_filter_healthy": (SCORE - {"score_validation"}) | STATE_PROTOCOL,
    "score.tiles": SCORE,
    "truth": {"analyze_parts"}
    | {"evaluate", "analyze_patches", "fig1", "fig4", "fig8", "fig9", "methods", "viewer"}
    | STATE_PROTOCOL,
    "metrics.background": {"evaluate", "analyze_parts"} | STATE_METRICS,
    "metrics.best_dice": {"evaluate", "analyze_parts"} | STATE_METRICS,
    "metrics.off_grid": {"evaluate", "analyze_parts"} | STATE_METRICS,
    "folds": {
        *("cases", "cost", "domain_shift", "folds", "healthy_checks", "subject_lists", "subjects", "table2"),
    }
    | STATE_PROTOCOL,
    "tables.correlation": {"table2"},
    "figures.densities": {"fig3", "fig6"},
}
# Other values where the released code's is the default.
OTHERS = {"preprocess.registration": "rigid", "training.schedule": "one_cycle", "training.averaging": 0.9}
STAGES = {"preprocess": "preprocessing", "landmarks": "training", "train": "training", "score": "scoring"}


def test_the_file_sets_every_element_and_nothing_else():
    assert read_configuration(ROOT / "config/released_code.yaml") == with_released({})


@pytest.mark.parametrize(
    "name", ["config.yaml", "demo.yaml", "ixi2mm.yaml", "model_t1.yaml", "preprocessed.yaml"]
)
def test_it_goes_on_top_of_every_configuration(name):
    base = read_configuration(ROOT / "config" / name)
    whole = merged(base, read_configuration(ROOT / "config/released_code.yaml"))
    valid(whole)
    assert all(value_of(whole, element) == element.released for element in ELEMENTS)
    assert {key: whole[key] for key in ("datasets", "grid", "methods")} == {
        key: base[key] for key in ("datasets", "grid", "methods")
    }


def test_the_documentation_has_a_row_for_every_element():
    page = (ROOT / "docs/explanation/released-code.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| ([^|]+) \|.*\| `([\w.]+)` \| `(.+)` \| `(.+)` \| (\w+) \|$", page, re.MULTILINE)
    rows = [
        (name, key, yaml.safe_load(released), yaml.safe_load(default), needs)
        for name, key, released, default, needs in table
    ]
    assert rows == [(each.name, each.key, each.released, each.default, each.needs) for each in ELEMENTS]


def test_a_value_is_found_where_it_is_and_its_default_where_not():
    epsilon = BY_KEY["score.epsilon"]
    assert value_of({"score": {"epsilon": 0.1}}, epsilon) == 0.1
    assert value_of({"score": {"stride": 2}}, epsilon) == value_of({}, epsilon) == 0.5
    assert nested("a.b.c", 1) == {"a": {"b": {"c": 1}}}
    changed = with_released({"score": {"stride": 2}}, [epsilon])
    assert changed == {"score": {"stride": 2, "epsilon": 1e-10}}


@pytest.fixture(scope="module")
def params(tmp_path_factory):
    """Params of the rules, by the recipe of the released code and with one element after the other taken back."""
    released = with_released(read_configuration(ROOT / "tests/tiny.yaml"))
    configurations = {
        element.key: merged(released, nested(element.key, OTHERS.get(element.key, element.default)))
        for element in ELEMENTS
    }
    folder = tmp_path_factory.mktemp("rules")
    return params_of_rules(folder, ROOT / "Snakefile", {"released": released, **configurations})


@pytest.mark.thorough
@pytest.mark.parametrize("key", BY_KEY)
def test_an_element_changes_the_rules_that_it_names_and_no_other(params, key):
    changed = {rule for rule, values in params[key].items() if values != params["released"][rule]}
    assert changed == RULES[key] | SHOW_ALL


@pytest.mark.parametrize("element", ELEMENTS, ids=lambda element: element.key)
def test_the_stage_that_an_element_needs_is_the_first_whose_rules_it_changes(element):
    if element.key == "split":
        pytest.skip("who trains are inputs of the rules, not params")
    order = ["preprocessing", "training", "scoring", "evaluation", "nothing"]
    stages = {
        STAGES.get(rule, "evaluation" if rule == "evaluate" else "nothing") for rule in RULES[element.key]
    }
    assert min(stages, key=order.index) == element.needs
