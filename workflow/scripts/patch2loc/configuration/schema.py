"""A configuration held against its schema, with messages that name the key, what was found and what is expected."""

import difflib
import json
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, cast

from jsonschema import Draft202012Validator, TypeChecker, ValidationError
from jsonschema.validators import extend

from patch2loc.configuration.method_registry import METHODS
from patch2loc.errors import InputError

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
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minItems": "{} or more entries",
    "maxItems": "{} or fewer entries",
    "minLength": "{} or more letters",
    "maxLength": "{} or fewer letters",
    "pattern": "text like {}",
    "uniqueItems": "every entry once",
}
EXPECTED = "x-expected"  # key of a schema: what is expected, where its other keys are no words
METHOD = "x-method"  # key of a schema: a method of the package, or a module from outside
MOST_LETTERS = 80  # of a value in a message
NEAR = 0.7  # likeness of a misspelt name, of difflib


def _is_method(
    _validator: Draft202012Validator, _applies: bool, name: object, _schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    """Keyword METHOD of a schema: the names are those of the registry, so that the schema repeats none."""
    if isinstance(name, str) and "." not in name and name not in METHODS:
        yield ValidationError(f"{name!r} is no method of the package")


def _is_whole(_checker: TypeChecker, value: object) -> bool:
    """Type integer of a schema, of which JSON Schema takes 2.0 for one: as a size of an array it is none."""
    return isinstance(value, int) and not isinstance(value, bool)


ConfigurationValidator = extend(  # type: ignore[no-untyped-call]  # jsonschema has no types here
    Draft202012Validator,
    {METHOD: _is_method},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_whole),
)


def check_schema(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Hold a configuration against its schema.

    Raises:
        InputError: For a configuration that breaks the schema, naming the key, what was found and what is expected.
            Of several errors the one that explains the others: a misspelt key before the one that is missing for it.
    """
    if errors := sorted(ConfigurationValidator(schema).iter_errors(config), key=_rank):
        raise InputError(_message(errors[0], schema))


def _rank(error: ValidationError) -> tuple[bool, int, int, list[str]]:
    unknown = error.validator == "additionalProperties"
    path = [str(name) for name in error.absolute_path]
    return not unknown, len(path), len(error.absolute_schema_path), path


def _rules(error: ValidationError) -> Mapping[str, Any]:
    """The part of the schema that a value breaks."""
    return cast(Mapping[str, Any], error.schema)


def _value(error: ValidationError) -> Any:
    """The part of the configuration that breaks it."""
    return error.instance


def _broken(error: ValidationError) -> Any:
    """The value of the keyword that is broken, such as the keys that are required."""
    return error.validator_value


def _message(error: ValidationError, schema: Mapping[str, Any]) -> str:
    rules = _rules(error)
    groups = [name for name in error.absolute_path if isinstance(name, str)]
    key = ".".join(groups)
    if error.validator == "additionalProperties":
        return _unknown_key(error, groups, schema)
    if error.validator == "required":
        return _missing_key(error, groups, schema)
    if error.validator == "dependentRequired":
        present, absent = next(
            (name, needed)
            for name, all_needed in _broken(error).items()
            for needed in all_needed
            if name in _value(error) and needed not in _value(error)
        )
        return f"{key}: {present} found without {absent}, both expected, or none; add {absent}, or leave {present} out"
    if "propertyNames" in error.absolute_schema_path:
        return (
            f"{key}: the name {_quoted(error.instance)} found, {_expected(rules)} expected; correct the name"
        )
    expected = _expected(rules, str(error.validator))
    return f"{key}: {_quoted(error.instance)} found, {expected} expected; {_advice(error)}"


def _unknown_key(error: ValidationError, groups: list[str], schema: Mapping[str, Any]) -> str:
    keys = list(_rules(error)["properties"])
    name = str(next(name for name in _value(error) if name not in keys))
    near = difflib.get_close_matches(name, keys, 1, NEAR) or _elsewhere(name, schema)
    expected = f"{near[0]} or another key of config/README.md" if near else f"one of {', '.join(keys)}"
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
        if isinstance(of_any_name := entry.get("additionalProperties"), Mapping):
            yield from _paths(of_any_name, f"{group}{name}.<name>.")


def _missing_key(error: ValidationError, groups: list[str], schema: Mapping[str, Any]) -> str:
    name = next(name for name in _broken(error) if name not in _value(error))
    entry = {**_entry(schema, [*groups, name]), **_rules(error).get("properties", {}).get(name, {})}
    meaning = f" ({entry['description'].rstrip('.')})" if "description" in entry else ""
    return f"{'.'.join([*groups, name])}: no such key found, {_expected(entry)} expected{meaning}; add it"


def _entry(schema: Mapping[str, Any], groups: list[str]) -> Mapping[str, Any]:
    for name in groups:
        schema = schema.get("properties", {}).get(name) or schema["additionalProperties"]
    return schema


def _expected(schema: Mapping[str, Any], validator: str = "type") -> str:
    """The value that a schema expects, in words; for one that breaks its bound `validator`, this bound."""
    if validator == "uniqueItems":
        return BOUNDS[validator]
    if EXPECTED in schema:
        return str(schema[EXPECTED])
    if "enum" in schema:
        return "one of " + ", ".join("null" if value is None else str(value) for value in schema["enum"])
    if validator in BOUNDS:
        return BOUNDS[validator].format(schema[validator])
    types = schema.get("type", [])
    return (
        " or ".join(TYPES[name] for name in ([types] if isinstance(types, str) else types)) or "another value"
    )


def _quoted(value: Any) -> str:
    text = str(value) if isinstance(value, date) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}..."


def _advice(error: ValidationError) -> str:
    """Advice on a value: YAML takes 1e-3 for text, and 5, no and 2020-01-01 for anything else."""
    rules = _rules(error)
    value, types = error.instance, rules.get("type")
    if error.validator == "type" and types == "string" and isinstance(value, int | float | date):
        return "put it in quotes if it is meant as text"
    if error.validator == "type" and types in ("integer", "number") and isinstance(value, str):
        return "write a number, without quotes and with a point before an exponent (7, 0.001, 1.0e-5)"
    if error.validator == "type" and types == "integer" and isinstance(value, float) and value.is_integer():
        return f"write {value:.0f}"
    names = [name for choice in rules.get("anyOf", [rules]) for name in choice.get("enum", [])]
    names += METHODS if METHOD in rules else ()
    near = difflib.get_close_matches(value, filter(None, names), 1, NEAR) if isinstance(value, str) else []
    return f"perhaps {near[0]} is meant; correct it" if near else "correct the configuration"
