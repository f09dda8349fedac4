"""The configuration: schema, shipped configurations and config/README.md say the same."""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from repository_paths import ROOT

from patch2loc.acquire.phantom import COHORTS, simulate_subject
from patch2loc.acquire.sources import KINDS
from patch2loc.configuration.check import SOURCE_KEYS
from patch2loc.configuration.combinations import check_combinations
from patch2loc.configuration.configuration_file import is_whole, merged
from patch2loc.configuration.method_registry import BUDGETS, METHODS
from patch2loc.configuration.presets import completed
from patch2loc.configuration.schema import ConfigurationValidator
from patch2loc.errors import InputError
from patch2loc.score.combination import RULES

SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))
SHIPPED = sorted(path.name for path in (ROOT / "config").glob("*.yaml"))
REQUIRED, NOTHING = "required", "-"
# Which keys a source needs depends on its kind: none of them has a default.
WITHOUT_DEFAULTS = "datasets.<name>.source."


def configuration(name: str) -> dict[str, Any]:
    content = yaml.safe_load((ROOT / "config" / name).read_text(encoding="utf-8"))
    return content if is_whole(content) else merged(configuration("config.yaml"), content)


def properties(schema: dict, prefix: str = "") -> Iterator[tuple[str, dict, bool]]:
    """Every property below an object: (key path, its schema, whether it is required)."""
    for name, entry in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield path, entry, name in schema.get("required", [])
        yield from properties(entry, f"{path}.")
        if isinstance(entry.get("additionalProperties"), dict):
            yield from properties(entry["additionalProperties"], f"{path}.<name>.")


def is_group(entry: dict) -> bool:
    return "properties" in entry


PROPERTIES = {path: (entry, required) for path, entry, required in properties(SCHEMA)}


def documented() -> dict[str, tuple[str, str]]:
    """Rows of the tables of config/README.md: {key path: (default, meaning)}, each key once."""
    rows = {}
    for line in (ROOT / "config/README.md").read_text(encoding="utf-8").splitlines():
        if match := re.fullmatch(r"\| `([^`]+)` \| (.+?) \| (.+) \|", line):
            key, default, meaning = match.groups()
            assert key not in rows, f"{key} is documented twice"
            rows[key] = (default, meaning)
    return rows


def problems(config: dict[str, Any]) -> list[str]:
    return [error.message for error in ConfigurationValidator(SCHEMA).iter_errors(config)]


def value_at(config: dict[str, Any], path: str) -> Any:
    for name in path.split("."):
        if not isinstance(config, dict) or name not in config:
            return None
        config = config[name]
    return config


def test_the_schema_is_a_json_schema():
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", PROPERTIES)
def test_every_property_is_described_and_has_a_default_unless_it_is_required(path):
    entry, required = PROPERTIES[path]
    assert entry.get("description", "").strip()
    if required or path.startswith(WITHOUT_DEFAULTS):
        assert "default" not in entry
        return
    if path == "training_data" or path == "datasets":
        return
    default = entry["default"]
    assert Draft202012Validator(entry).is_valid(default), f"{path}: the default {default!r} is not allowed"


def numbers(schema: Any, path: str = "") -> Iterator[tuple[str, dict]]:
    """Every part of the schema, however deep, that is a number, and the keys that lead to it."""
    if isinstance(schema, dict) and schema.get("type") in ("integer", "number"):
        yield path, schema
    if isinstance(schema, dict | list):
        for name, inner in schema.items() if isinstance(schema, dict) else enumerate(schema):
            yield from numbers(inner, f"{path}/{name}")


NUMBERS = dict(numbers(SCHEMA))


def test_every_number_is_found():
    text = (ROOT / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8")
    assert len(NUMBERS) == len(re.findall(r"\btype: (?:integer|number)\b", text)) > 20


@pytest.mark.parametrize("path", NUMBERS)
def test_every_number_has_bounds_on_both_sides(path):
    rules = NUMBERS[path]
    for bound in ("minimum", "maximum"):
        assert {bound, f"exclusive{bound.capitalize()}"} & set(rules), bound
    lowest, highest = (
        rules.get(name, rules.get(f"exclusive{name.capitalize()}")) for name in ("minimum", "maximum")
    )
    assert lowest < highest < 1e12


def test_every_object_refuses_unknown_keys_or_says_what_its_free_names_hold():
    for path, (entry, _) in PROPERTIES.items():
        if is_group(entry):
            assert entry["additionalProperties"] is False, path
        elif entry.get("type") == "object":
            assert isinstance(entry["additionalProperties"], dict), path
    assert SCHEMA["additionalProperties"] is False


def test_the_readme_documents_exactly_the_keys_of_the_schema():
    leaves = [path for path, (entry, _) in PROPERTIES.items() if not is_group(entry)]
    assert sorted(documented()) == sorted(leaves)


def test_the_readme_states_the_defaults_of_the_schema():
    for path, (shown, _) in documented().items():
        entry, required = PROPERTIES[path]
        if required:
            assert shown == REQUIRED, path
        elif "default" in entry:
            assert json.loads(shown.strip("`")) == entry["default"], path
        else:
            assert shown == NOTHING, path


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configurations_are_valid(name):
    assert problems(configuration(name)) == []


@pytest.mark.parametrize(
    "group", ["", "grid", "training", "score", "datasets.ixi_t1", "datasets.ixi_t1.source"]
)
def test_unknown_keys_are_refused(group):
    config = copy.deepcopy(configuration("config.yaml"))
    holder = value_at(config, group) if group else config
    holder["unknown_key"] = 1
    assert any("unknown_key" in message for message in problems(config))


@pytest.mark.parametrize(
    ("path", "value"),
    [
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
        ("datasets.brats21.modality", "FLAIR"),
        ("datasets.brats21.source.kind", "dicom"),
        ("split", "splits/ixi.csv"),
        ("datasets.ixi_t1.split", {"clean": "splits/ixi.csv"}),
        ("datasets.ixi_t1.split", {"clean": "a.csv", "published": "b.csv", "other": "c.csv"}),
    ],
)
def test_impossible_values_are_refused(path, value):
    config = configuration("config.yaml")
    group, _, name = path.rpartition(".")
    holder = value_at(config, group) if group else config
    assert name in holder
    holder[name] = value
    assert problems(config)


@pytest.mark.parametrize(
    ("declared", "valid"),
    [
        ({"of": ["patch2loc", "dae"], "by": "rank_average"}, True),
        ({"of": ["patch2loc", "dae", "mypackage.own"], "by": "rank_product"}, True),
        ({"of": ["patch2loc", "dae"], "by": "best_on_lesions"}, False),
        ({"of": ["patch2loc", "patch2loc"], "by": "rank_average"}, False),
        ({"of": ["patch2loc", "dae"]}, False),
        ({"of": ["patch2loc", "dae"], "by": "rank_average", "weights": [1, 2]}, False),
    ],
)
def test_combinations_are_of_methods_by_a_known_rule(declared, valid):
    config = configuration("demo.yaml") | {"methods": "all", "combinations": {"both": declared}}
    assert (problems(config) == []) == valid


def test_the_schema_offers_the_rules_of_combinations():
    declared = SCHEMA["properties"]["combinations"]["additionalProperties"]["properties"]
    assert declared["by"]["enum"] == list(RULES)
    check_combinations(configuration("demo.yaml")["combinations"])


def test_the_configuration_of_the_paper_is_the_defaults():
    """config.yaml, the paper: its settings are the schema's defaults, one by one; datasets are its own."""
    config, compared = configuration("config.yaml"), 0
    for path, (entry, _) in PROPERTIES.items():
        value = value_at(config, path)
        if path.startswith("datasets.") or is_group(entry) or "default" not in entry or value is None:
            continue
        assert value == entry["default"], path
        compared += 1
    assert compared >= 20


def test_the_schema_offers_what_the_code_knows():
    for name in (*METHODS, "mypackage.own"):
        assert problems(configuration("demo.yaml") | {"methods": list({"patch2loc": 0, name: 0})}) == [], name
    assert tuple(SCHEMA["properties"]["budget"]["enum"]) == BUDGETS
    source = SCHEMA["properties"]["datasets"]["additionalProperties"]["properties"]["source"]["properties"]
    assert set(source["kind"]["enum"]) == set(KINDS)
    assert set(source["cohort"]["enum"]) == set(COHORTS)


@pytest.mark.parametrize(("spacing", "valid"), [(1, True), (4, True), (0.5, False), (4.5, False)])
def test_the_bounds_of_the_simulated_anatomy_are_those_of_the_code(spacing, valid):
    settings = {"anatomy_spacing": spacing, "voxel_size": [1, 1, 1], "noise": 0}
    config = configuration("demo.yaml") | {"phantom": settings}
    assert (problems(config) == []) == valid
    if not valid:
        with pytest.raises(InputError, match="anatomy_spacing 1 to 4 mm"):
            simulate_subject("healthy", 0, 1, settings)


def test_the_readme_says_which_keys_a_kind_of_source_takes():
    text = (ROOT / "config/README.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (\w+) \| (.+) \| (.+) \|$", text.partition("Which keys a kind takes")[2], re.MULTILINE
    )
    said = {kind: set(re.findall(r"`(\w+)`", needs + takes)) - {"split"} for kind, needs, takes in rows[1:]}
    assert {kind: said[kind] for kind in KINDS} == {kind: set(keys) for kind, keys in SOURCE_KEYS.items()}
    described = PROPERTIES["datasets.<name>.source"][0]["properties"]
    assert set().union(*SOURCE_KEYS.values()) == set(described) - {"kind"}


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
    first = completed(examples[0], SCHEMA)
    whole = {key: value for key, value in first.items() if key not in ("datasets", "training_data")}
    kinds = set()
    for example in examples:
        if "datasets" not in example:
            continue
        config = {**whole, "training_data": {"T1": "any"}, **example}
        assert problems(config) == []
        kinds |= {dataset["source"]["kind"] for dataset in example["datasets"].values()}
    assert kinds == set(KINDS) - {"phantom", "painted", "controlled", "recontrasted"}
    assert problems(first) == []
