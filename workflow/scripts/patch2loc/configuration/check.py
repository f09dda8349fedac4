"""A configuration is held against its schema, and its keys, right alone, against each other."""

import difflib
import json
import math
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

from patch2loc.configuration.method_constants import Unreadable, constant
from patch2loc.configuration.method_registry import LOCATING, runs_network
from patch2loc.configuration.method_settings import check_changes
from patch2loc.data.splits import SIMULATED_FOLDS
from patch2loc.errors import InputError
from patch2loc.method_interface import module_name

TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "keys with values",
    "array": "a list",
    "null": "null",
}
BOUNDS = {
    "minimum": "{} or more",
    "exclusiveMinimum": "more than {}",
    "maximum": "{} or less",
    "multipleOf": "a multiple of {}",
    "minItems": "{} or more entries",
    "maxItems": "{} or fewer entries",
    "minLength": "{} or more letters",
    "pattern": "text like {}",
    "uniqueItems": "every entry once",
}
# Keys of a source that each kind takes, `kind` besides.
SOURCE_KEYS = {
    "table": ("table", "root", "lesion_labels", "registry"),
    "folder": ("scan", "root", "brain", "lesion", "lesion_labels", "registry"),
    "bids": ("root", "scan", "brain", "lesion", "derivatives", "lesion_labels", "registry"),
    "phantom": ("cohort", "count", "validation", "test"),
    "painted": ("table", "registry"),
}
EXPECTED = "x-expected"  # key of a schema: what is expected, where its other keys are no words
SHOWN = 80  # letters of a value in a message
NEAR = 0.7  # likeness of a misspelt name, of difflib


def check_schema(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Raise InputError, naming the key, what was found and what is expected, when a configuration breaks its schema.

    Of several errors the one that explains the others: a misspelt key goes before the one that is missing for it.
    """
    if errors := sorted(Draft202012Validator(schema).iter_errors(config), key=_rank):
        raise InputError(_message(errors[0], schema))


def check_configuration(config: Mapping[str, Any]) -> None:
    """Raise InputError, naming both keys, when a configuration contradicts itself.

    config: valid by the schema, defaults filled in.
    """
    for key, value in _numbers(config):
        if not math.isfinite(value):
            raise InputError(f"{key}: {value} found, a finite number expected; correct it")
    width, slices = config["patch"], config["grid"]["shape"][:2]
    if width > min(slices):
        raise InputError(
            f"patch: {width} found, at most {min(slices)} expected, as grid.shape says; lower it"
        )
    training = config["training"]
    if training["patches"] < training["batch"]:
        raise InputError(
            f"training.patches: {training['patches']} found, at least one batch expected ({training['batch']} by "
            "training.batch); raise the one or lower the other"
        )
    unused = sorted(set(config["method_settings"]) - (set(config["methods"]) - {"patch2loc"}))
    if unused:
        raise InputError(
            f"method_settings: {', '.join(unused)} found, methods of `methods` expected, whose settings these are "
            "(those of patch2loc are `training`); correct the name, or leave it out"
        )
    check_method_settings(config)
    for name, dataset in config["datasets"].items():
        _check_source(name, dataset["source"])
    for name in config["training_data"].values():
        dataset = config["datasets"].get(name, {})
        if dataset.get("role") == "healthy" and dataset["source"]["kind"] == "phantom":
            _check_simulated(name, dataset["source"], config["folds"])


def check_paths(config: Mapping[str, Any]) -> None:
    """Raise InputError when `results` cannot be a folder, or `atlas` is the name of none that there is."""
    results = Path(config["results"])
    file = next((path for path in (results, *results.parents) if path.is_file()), None)
    if file:
        raise InputError(
            f"results: {results} found, but {file} is a file, a folder expected; name another one"
        )
    atlas = config["atlas"]
    if "icbm" in atlas.lower() and atlas != "icbm152" and not Path(config["data"], atlas).is_dir():
        raise InputError(
            f"atlas: {atlas} found, icbm152 expected, or a folder below `data` ({config['data']}) with spgr.nii and "
            "late.nii; correct the name"
        )


def training_settings(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the configuration says of a method's training, for `methods.complete`.

    Of a method of LOCATING the training without what changes no number, and under "own" its `method_settings`, where
    there are any; of others `method_settings`, and of networks the budget.
    """
    own = config["method_settings"].get(name, {})
    if name in LOCATING:
        training = {
            key: value for key, value in config["training"].items() if key not in ("threads", "memory_mb")
        }
        return training | ({"own": own} if own else {})
    return {"budget": config["budget"], **own} if runs_network(name) else own


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a configuration, with the keys that lead to it: bounds of a schema let NaN through."""
    if isinstance(value, float):
        yield key, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _numbers(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner, key)


def _check_source(name: str, source: Mapping[str, Any]) -> None:
    taken = SOURCE_KEYS[source["kind"]]
    other = sorted(key for key in set(source) - {"kind", *taken} if source[key] is not None)
    if other:
        raise InputError(
            f"datasets.{name}.source: {', '.join(other)} found, of {', '.join(taken)} expected, the keys of kind "
            f"{source['kind']}; leave out what is of another kind, or change the kind"
        )


def _check_simulated(name: str, source: Mapping[str, Any], folds: list[int]) -> None:
    if "test" not in source or "validation" not in source:
        raise InputError(
            f"datasets.{name}.source: a simulated cohort to train on found without `validation` and `test`, numbers of "
            "subjects expected; set both"
        )
    absent = [fold for fold in folds if fold >= SIMULATED_FOLDS]
    if absent:
        raise InputError(
            f"folds: {absent} found, but the simulated cohort {name} is divided into 0 to {SIMULATED_FOLDS - 1}; "
            "ask for these"
        )


def _rank(error: ValidationError) -> tuple[bool, int, int, list[str]]:
    unknown = error.validator == "additionalProperties"
    path = [str(name) for name in error.absolute_path]
    return not unknown, len(path), len(error.absolute_schema_path), path


def _message(error: ValidationError, schema: Mapping[str, Any]) -> str:
    groups = [name for name in error.absolute_path if isinstance(name, str)]
    key = ".".join(groups)
    if error.validator == "additionalProperties":
        return _unknown_key(error, groups, schema)
    if error.validator == "required":
        return _missing_key(error, groups, schema)
    if error.validator == "dependentRequired":
        given, needed = next(
            (given, name)
            for given, names in error.validator_value.items()
            for name in names
            if given in error.instance and name not in error.instance
        )
        return f"{key}: {given} found without {needed}, both expected, or none; add {needed}, or leave {given} out"
    if "propertyNames" in error.absolute_schema_path:
        return f"{key}: the name {_shown(error.instance)} found, {_expected(error.schema)} expected; correct the name"
    expected = _expected(error.schema, error.validator)
    return f"{key}: {_shown(error.instance)} found, {expected} expected; {_advice(error)}"


def _unknown_key(error: ValidationError, groups: list[str], schema: Mapping[str, Any]) -> str:
    known = list(error.schema["properties"])
    name = str(next(name for name in error.instance if name not in known))
    near = difflib.get_close_matches(name, known, 1, NEAR) or _elsewhere(name, schema)
    expected = f"{near[0]} or another key of config/README.md" if near else f"one of {', '.join(known)}"
    return f"{'.'.join([*groups, name])}: unknown key found, {expected} expected; correct the name, or leave it out"


def _elsewhere(name: str, schema: Mapping[str, Any]) -> list[str]:
    """Paths of the keys anywhere in a schema that are called nearly like this; the nearest first."""
    paths = list(_paths(schema))
    near = difflib.get_close_matches(name, {path.split(".")[-1] for path in paths}, 1, NEAR)
    return [path for path in paths if path.split(".")[-1] in near]


def _paths(schema: Mapping[str, Any], group: str = "") -> Iterator[str]:
    for name, entry in schema.get("properties", {}).items():
        yield f"{group}{name}"
        yield from _paths(entry, f"{group}{name}.")
        if isinstance(named := entry.get("additionalProperties"), Mapping):
            yield from _paths(named, f"{group}{name}.<name>.")


def _missing_key(error: ValidationError, groups: list[str], schema: Mapping[str, Any]) -> str:
    name = next(name for name in error.validator_value if name not in error.instance)
    entry = {**_entry(schema, [*groups, name]), **error.schema.get("properties", {}).get(name, {})}
    meaning = f" ({entry['description'].rstrip('.')})" if "description" in entry else ""
    return f"{'.'.join([*groups, name])}: no such key found, {_expected(entry)} expected{meaning}; add it"


def _entry(schema: Mapping[str, Any], groups: list[str]) -> Mapping[str, Any]:
    for name in groups:
        schema = schema.get("properties", {}).get(name) or schema["additionalProperties"]
    return schema


def _expected(schema: Mapping[str, Any], validator: str = "type") -> str:
    """What a schema expects, in words; of a value that breaks its bound `validator`, this bound."""
    if validator == "uniqueItems":
        return BOUNDS[validator]
    if EXPECTED in schema:
        return schema[EXPECTED]
    if "enum" in schema:
        return "one of " + ", ".join("null" if value is None else str(value) for value in schema["enum"])
    if validator in BOUNDS:
        return BOUNDS[validator].format(schema[validator])
    types = schema.get("type", [])
    return (
        " or ".join(TYPES[name] for name in ([types] if isinstance(types, str) else types)) or "another value"
    )


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, date) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _advice(error: ValidationError) -> str:
    """What to do about a value: YAML takes 1e-3 for text, and 5, no and 2020-01-01 for anything else."""
    value, types = error.instance, error.schema.get("type")
    if error.validator == "type" and types == "string" and isinstance(value, int | float | date):
        return "put it in quotes if it is meant as text"
    if error.validator == "type" and types in ("integer", "number") and isinstance(value, str):
        return "write a number in the file, without quotes and with a point before an exponent (7, 0.001, 1.0e-5)"
    known = [name for choice in error.schema.get("anyOf", [error.schema]) for name in choice.get("enum", [])]
    near = difflib.get_close_matches(value, filter(None, known), 1, NEAR) if isinstance(value, str) else []
    return f"perhaps {near[0]} is meant; correct it" if near else "correct the configuration"


def check_method_settings(config: Mapping[str, Any]) -> None:
    """Raise InputError for `method_settings` that methods cannot take; what cannot be read is left to the training.

    config: valid by the schema, defaults filled in.
    """
    for name, changes in config["method_settings"].items():
        try:
            settings = _settings(name, config["budget"])
            choices = constant(module_name(name), "CHOICES", {})
        except Unreadable:
            continue
        check_changes(name, settings, changes, choices)


def _settings(name: str, budget: str) -> Mapping[str, Any]:
    """A method's own settings, that the configuration may change."""
    if name in LOCATING:
        return constant(module_name(name), "OWN_SETTINGS", {})
    budgets = constant(module_name(name), "SETTINGS", None)
    if budgets is None and "." not in name:
        return {}
    if not isinstance(budgets, Mapping) or not isinstance(budgets.get(budget), Mapping):
        raise Unreadable
    return budgets[budget]
