"""The keys of a configuration, the shipped configurations, and the files that are made of the keys."""

import copy
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from repository_paths import ROOT

from patch2loc.acquire.phantom import COHORTS, simulate_subject
from patch2loc.acquire.sources import KINDS
from patch2loc.configuration.combinations import check_combinations
from patch2loc.configuration.configuration_file import is_whole, merged
from patch2loc.configuration.method_registry import METHODS
from patch2loc.configuration.presets import PRESETS, completed
from patch2loc.configuration.validation import expected_value, keys, kinds, resolved, schema, valid
from patch2loc.errors import InputError
from patch2loc.method_declaration import BUDGETS
from patch2loc.score.combination import RULES

SHIPPED = sorted(path.name for path in (ROOT / "config").glob("*.yaml"))
KEYS = dict(keys())


def configuration(name: str) -> dict[str, Any]:
    content = yaml.safe_load((ROOT / "config" / name).read_text(encoding="utf-8"))
    return content if is_whole(content) else merged(configuration("config.yaml"), content)


def is_group(path: str) -> bool:
    return any(other.startswith(f"{path}.") for other in KEYS)


def is_valid(config: dict[str, Any]) -> bool:
    try:
        valid(config)
    except InputError:
        return False
    return True


def value_at(config: dict[str, Any], path: str) -> Any:
    for name in path.split("."):
        if not isinstance(config, dict) or name not in config:
            return None
        config = config[name]
    return config


def test_the_schema_and_the_page_of_keys_are_up_to_date():
    subprocess.run([sys.executable, "-m", "patch2loc.configuration.reference", "--check"], check=True)


def test_the_schema_is_a_json_schema_that_takes_what_the_keys_take():
    written = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(written)
    for name in SHIPPED:
        Draft202012Validator(written).validate(configuration(name))
    for path, value in IMPOSSIBLE:
        assert (
            not Draft202012Validator(written).is_valid(changed("config.yaml", path, value))
            or path in ONLY_KEYS
        )


def test_every_key_is_described():
    undescribed = {path for path, entry in KEYS.items() if not resolved(entry).get("description")}
    assert undescribed == {"datasets.<name>.source.kind"}  # each kind is described by itself


def numbers(found: Any, path: str = "") -> Iterator[tuple[str, dict]]:
    """Every part of the schema, however deep, that is a number, and what leads to it."""
    if isinstance(found, dict) and found.get("type") in ("integer", "number"):
        yield path, found
    if isinstance(found, dict | list):
        for name, inner in found.items() if isinstance(found, dict) else enumerate(found):
            yield from numbers(inner, f"{path}/{name}")


def test_every_number_has_bounds_on_both_sides():
    found = {path: rules for path, rules in numbers(schema()) if not re.search(r"/where/", path)}
    assert len(found) > 40
    for path, rules in found.items():
        lowest, highest = (
            rules.get(name, rules.get(f"exclusive{name.capitalize()}")) for name in ("minimum", "maximum")
        )
        assert None not in (lowest, highest), path
        assert lowest < highest < 1e12, path


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configurations_are_valid_and_keep_what_they_say(name):
    config = configuration(name)
    assert merged(valid(config), config) == valid(config)
    assert valid(valid(config)) == valid(config)


def changed(name: str, path: str, value: Any) -> dict[str, Any]:
    """A shipped configuration with another value of a key."""
    config = copy.deepcopy(configuration(name))
    group, _, last = path.rpartition(".")
    holder = value_at(config, group) if group else config
    holder[last] = value
    return config


@pytest.mark.parametrize(
    "group", ["", "grid.", "training.", "score.", "datasets.ixi_t1.", "datasets.ixi_t1.source."]
)
def test_unknown_keys_are_refused(group):
    with pytest.raises(InputError, match=rf"^{group}unknown_key: unknown key found, one of "):
        valid(changed("config.yaml", f"{group}unknown_key", 1))


IMPOSSIBLE = [
    ("patch", 25),
    ("folds", []),
    ("methods", ["patch2loc", "unheard_of"]),
    ("methods", ["patch2loc", "../elsewhere.method"]),
    ("methods", ["thresh"]),
    ("methods", "every"),
    ("training.learning_rate", 0),
    ("score.stride", 0),
    ("seed", 1.0),
    ("grid.spacing", 0),
    ("datasets.brats21.role", "train"),
    ("datasets.brats21.modality", "PD"),
    ("datasets.brats21.source.kind", "dicom"),
    ("split", "splits/ixi.csv"),
    ("datasets.ixi_t1.split", {"clean": "splits/ixi.csv"}),
    ("datasets.ixi_t1.split", {"clean": "a.csv", "published": "b.csv", "other": "c.csv"}),
]
# JSON Schema takes 1.0 for a whole number, and knows neither the methods nor that patch2loc is among them.
ONLY_KEYS = ("seed", "methods")


@pytest.mark.parametrize(("path", "value"), IMPOSSIBLE)
def test_impossible_values_are_refused(path, value):
    with pytest.raises(InputError):
        valid(changed("config.yaml", path, value))


@pytest.mark.parametrize(
    ("declared", "allowed"),
    [
        ({"of": ["patch2loc", "dae"], "by": "rank_average"}, True),
        ({"of": ["patch2loc", "dae", "mypackage.own"], "by": "rank_product"}, True),
        ({"of": ["patch2loc", "dae"], "by": "best_on_lesions"}, False),
        ({"of": ["patch2loc", "patch2loc"], "by": "rank_average"}, False),
        ({"of": ["patch2loc", "dae"]}, False),
        ({"of": ["patch2loc", "dae"], "by": "rank_average", "weights": [1, 2]}, False),
    ],
)
def test_combinations_are_of_methods_by_a_known_rule(declared, allowed):
    config = configuration("demo.yaml") | {"methods": "all", "combinations": {"both": declared}}
    assert is_valid(config) == allowed


def test_combinations_offer_the_rules_of_the_code():
    assert KEYS["combinations.<name>.by"]["enum"] == list(RULES)
    check_combinations(configuration("demo.yaml")["combinations"])


def test_the_configuration_of_the_paper_is_the_defaults():
    """config.yaml, the paper: its settings are the defaults, one by one; datasets are its own."""
    config, compared = configuration("config.yaml"), 0
    for path, entry in KEYS.items():
        value = value_at(config, path)
        if (
            not path.startswith("datasets.")
            and not is_group(path)
            and "default" in entry
            and value is not None
        ):
            assert value == entry["default"], path
            compared += 1
    assert compared >= 20


def test_keys_offer_what_the_code_knows():
    for name in (*METHODS, "mypackage.own"):
        assert is_valid(configuration("demo.yaml") | {"methods": list({"patch2loc": 0, name: 0})}), name
    assert tuple(KEYS["budget"]["enum"]) == BUDGETS
    assert set(kinds(KEYS["datasets.<name>.source"])) == set(KINDS)
    assert KEYS["datasets.<name>.source.cohort"]["enum"] == [*COHORTS]
    assert expected_value(KEYS["preset"]) == f"one of {', '.join(PRESETS)}, null"


@pytest.mark.parametrize(("spacing", "allowed"), [(1, True), (4, True), (0.5, False), (4.5, False)])
def test_the_bounds_of_the_simulated_anatomy_are_those_of_the_code(spacing, allowed):
    settings = {"anatomy_spacing": spacing, "voxel_size": [1, 1, 1], "noise": 0}
    assert is_valid(configuration("demo.yaml") | {"phantom": settings}) == allowed
    if not allowed:
        with pytest.raises(InputError, match="anatomy_spacing 1 to 4 mm"):
            simulate_subject("healthy", 0, 1, settings)


@pytest.mark.parametrize("name", SHIPPED)
def test_training_data_are_healthy_datasets_of_their_modality(name):
    config = configuration(name)
    for modality, dataset in config["training_data"].items():
        assert config["datasets"][dataset]["modality"] == modality
        assert config["datasets"][dataset]["role"] == "healthy"
    assert {dataset["modality"] for dataset in config["datasets"].values()} <= set(config["training_data"])


@pytest.mark.parametrize("name", SHIPPED)
def test_the_lists_that_configurations_name_are_shipped(name):
    for dataset in configuration(name)["datasets"].values():
        split = dataset.get("split")
        lists = split.values() if isinstance(split, dict) else [split]
        for path in (*lists, dataset["source"].get("table")):
            assert path is None or (ROOT / path).is_file(), path


@pytest.mark.parametrize("name", SHIPPED)
def test_simulated_sources_are_declared_simulated(name):
    for key, dataset in configuration(name)["datasets"].items():
        assert dataset.get("simulated", False) == (
            dataset["source"]["kind"] in ("phantom", "painted", "controlled", "recontrasted")
        ), key


def test_the_examples_of_own_data_are_valid_and_name_every_kind_of_source():
    text = (ROOT / "docs/how-to/own-data.md").read_text(encoding="utf-8")
    examples = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.+?)```", text, re.DOTALL)]
    first = completed(examples[0])
    whole = {key: value for key, value in first.items() if key not in ("datasets", "training_data")}
    used = set()
    for example in examples:
        if "datasets" in example:
            valid({**whole, "training_data": {"T1": "any"}, **example})
            used |= {dataset["source"]["kind"] for dataset in example["datasets"].values()}
    assert used == set(KINDS) - {"phantom", "painted", "controlled", "recontrasted"}
