"""A configuration checked against its keys, with messages that say which key, what was found, and what is expected."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import cache
from typing import Any, NamedTuple, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from patch2loc.configuration.key import EXPECTED
from patch2loc.configuration.keys import Configuration
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
    "greater_than_equal": "{ge} or more",
    "greater_than": "more than {gt}",
    "less_than_equal": "{le} or less",
    "less_than": "less than {lt}",
    "finite_number": "a finite number",
    "multiple_of": "a multiple of {multiple_of}",
    "too_short": "{min_length} or more entries",
    "too_long": "{max_length} or fewer entries",
    "string_too_short": "{min_length} or more letters",
    "string_pattern_mismatch": "text like {pattern}",
}
TAGS = ("union_tag_invalid", "union_tag_not_found")  # of a source without a kind, or of an unknown one
UNKNOWN = ("extra_forbidden", "invalid_key")
MOST_LETTERS = 80  # of a value in a message
NEAR = 0.7  # similarity of a misspelt name, of difflib

ADAPTER = TypeAdapter(Configuration)
Schema = Mapping[str, Any]


@cache
def schema() -> dict[str, Any]:
    """The JSON schema of a configuration."""
    return ADAPTER.json_schema()


def valid(config: Mapping[str, Any]) -> Configuration:
    """Check a configuration by itself, key by key and group by group, and fill in the defaults.

    Args:
        config: Keys and values of the files and of the command line, merged.

    Raises:
        InputError: The message names the key, what was found, what is expected, and what to do. Of several problems it
            is the one that explains the others: a misspelt key rather than the one that is missing for it.
    """
    try:
        filled = ADAPTER.validate_python(config)
    except ValidationError as error:
        raise InputError(_message(min(_problems(error, config), key=_rank))) from error
    return cast(Configuration, _as_written(config, filled))


def check_results_key(config: Mapping[str, Any]) -> None:
    """Check the names of the uppermost keys, and `results`: what must be right before Snakemake reads the rest.

    Args:
        config: Keys and values of the files and of the command line, whose numbers may still be text.

    Raises:
        InputError: One of them is not right; the message names the key, what was found, and what is expected.
    """
    try:
        ADAPTER.validate_python(config)
    except ValidationError as error:
        problems = [
            problem
            for problem in _problems(error, config)
            if problem.path == ("results",) or (problem.kind in UNKNOWN and len(problem.path) == 1)
        ]
        if problems:
            raise InputError(_message(min(problems, key=_rank))) from error


def _as_written(given: Any, filled: Any) -> Any:
    """Whole numbers as they were written, where a number was expected: 2 does not become 2.0."""
    if isinstance(given, Mapping) and isinstance(filled, Mapping):
        return {name: _as_written(given.get(name), value) for name, value in filled.items()}
    if isinstance(given, list) and isinstance(filled, list):
        return [_as_written(*pair) for pair in zip(given, filled, strict=True)]
    return given if isinstance(filled, float) and isinstance(given, int) else filled


class _Problem(NamedTuple):
    """A problem with a value.

    Attributes:
        kind: Its type, as pydantic calls it.
        path: Names and indices that lead to the value.
        value: The value that was found.
        is_name: True where the last name of the path is the problem, not its value.
        context: Bounds that were not kept, and the like.
        text: The problem in words.
        schema: Schema of the value; of the group that holds it for an unknown key and for a name.
    """

    kind: str
    path: tuple[int | str, ...]
    value: Any
    is_name: bool
    context: Mapping[str, Any]
    text: str
    schema: Schema

    @property
    def key(self) -> str:
        """Names of the path, joined by points."""
        return _dotted(self.path)


def _problems(error: ValidationError, config: Mapping[str, Any]) -> list[_Problem]:
    return [_problem(details, config) for details in error.errors(include_url=False)]


def _dotted(path: Iterable[int | str]) -> str:
    return ".".join(part for part in path if isinstance(part, str))


def _problem(details: ErrorDetails, config: Mapping[str, Any]) -> _Problem:
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    # A name of the tag of a source is not one of a key.
    path = tuple(part for part in details["loc"] if not str(part).startswith("kind "))
    is_name = path[-1:] == ("[key]",)
    path = path[:-1] if is_name else path
    if kind == "needed":
        path, kind = (*path, *context["path"].split(".")), "missing"
    elif kind in TAGS and isinstance(value, Mapping):
        path, kind = (*path, "kind"), "literal_error" if "kind" in value else "missing"
        value = value.get("kind")
    if kind in UNKNOWN:
        path = (*path[:-1], str(path[-1]))
    # Nothing is known of an unknown key, and a name has no schema of its own.
    of = path[:-1] if is_name or kind in UNKNOWN else path
    return _Problem(kind, path, value, is_name, context, details["msg"], _schema_of(of, config))


def _rank(problem: _Problem) -> tuple[bool, int, list[str]]:
    return problem.kind not in UNKNOWN, len(problem.path), [str(part) for part in problem.path]


def _schema_of(path: Sequence[int | str], config: Any) -> Schema:
    """Schema of the value that a path leads to; {} for an unknown key."""
    found: Schema = schema()
    value = config
    for part in path:
        found = _of_kind(resolved(found), value)
        for each in (found, *found.get("anyOf", ())):
            inner = each.get("items") if isinstance(part, int) else _of_name(each, part)
            if inner is not None:
                found = inner
                break
        else:
            return {}
        holds = (isinstance(value, Mapping) and part in value) or isinstance(value, list)
        value = value[part] if holds else None
    return _of_kind(resolved(found), value)


def _of_name(group: Schema, name: str) -> Schema | None:
    if name in group.get("properties", {}):
        return cast(Schema, group["properties"][name])
    return group_of_names(group)


def group_of_names(found: Schema) -> Schema | None:
    """Schema of the values of a group whose names a configuration chooses; None for any other."""
    free = [*found.get("patternProperties", {}).values(), found.get("additionalProperties")]
    return next((each for each in free if isinstance(each, Mapping)), None)


def resolved(found: Schema) -> Schema:
    """A schema with the group that it refers to."""
    if "$ref" not in found:
        return found
    return {**schema()["$defs"][found["$ref"].rpartition("/")[2]], **found}


def kinds(found: Schema) -> dict[str, Schema]:
    """Schemas of the kinds of a source; {} for anything else."""
    branches = [resolved(each) for each in found.get("oneOf", ())]
    return {each["properties"]["kind"]["const"]: each for each in branches}


def _of_kind(found: Schema, value: Any) -> Schema:
    """The schema of the kind of source that a value is; of another schema, itself."""
    by_kind = kinds(found)
    kind = str(value.get("kind")) if isinstance(value, Mapping) else ""
    if by_kind and kind not in by_kind:
        return {"type": "object", "properties": {"kind": {"enum": list(by_kind)}}, **found}
    return {**by_kind[kind], "oneOf": found["oneOf"]} if by_kind else found


def _message(problem: _Problem) -> str:
    key = problem.key
    if problem.kind == "message":
        return problem.text.replace("{key}", key)
    if problem.kind in UNKNOWN:
        return _unknown_key(problem)
    if problem.kind == "missing":
        meaning = problem.schema.get("description", "").partition(". ")[0].rstrip(".")
        explained = f" ({meaning})" if meaning else ""
        return f"{key}: no such key found, {_expected(problem).removesuffix(' or null')} expected{explained}; add it"
    if problem.is_name:
        group = _dotted(problem.path[:-1])
        return f"{group}: the name {_quoted(problem.path[-1])} found, {_expected(problem)} expected; correct the name"
    return f"{key}: {_quoted(problem.value)} found, {_expected(problem)} expected; {_advice(problem)}"


def _unknown_key(problem: _Problem) -> str:
    name = str(problem.path[-1])
    group = problem.schema
    takes = list(group.get("properties", {}))
    others = [kind for kind, each in kinds(group).items() if name in each["properties"]]
    if others and "const" in group["properties"]["kind"]:
        kind = group["properties"]["kind"]["const"]
        return (
            f"{problem.key}: a key of kind {' or '.join(others)} found, one of {', '.join(takes)} expected, the keys "
            f"of kind {kind}; leave it out, or change the kind"
        )
    near = difflib.get_close_matches(name, takes, 1, NEAR) or _elsewhere(name)
    expected = f"{near[0]} or another key of config/keys.md" if near else f"one of {', '.join(takes)}"
    return f"{problem.key}: unknown key found, {expected} expected; correct the name, or leave it out"


def _elsewhere(name: str) -> list[str]:
    """Paths of the keys anywhere in a configuration that are called nearly like this; the nearest first."""
    paths = [path for path, _ in keys()]
    near = difflib.get_close_matches(name, {path.split(".")[-1] for path in paths}, 1, NEAR)
    return [path for path in paths if path.split(".")[-1] in near]


def keys(group: Schema | None = None, prefix: str = "") -> Iterator[tuple[str, Schema]]:
    """Path and schema of every key, groups included; `<name>` stands for a name that a configuration chooses."""
    group = resolved(schema() if group is None else group)
    for name, entry in group.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield path, entry
        yield from keys(entry, f"{path}.")
        if inner := group_of_names(resolved(entry)):
            yield from keys(inner, f"{path}.<name>.")
    for kind in kinds(group).values():
        yield from keys(kind, prefix)


def _choices(found: Schema) -> list[Any]:
    """Values that a schema counts; [] for one that does not."""
    branches = [resolved(each) for each in found.get("anyOf", [found])]
    values = [each.get("enum", [each["const"]] if "const" in each else []) for each in branches]
    null = [None] if any(each.get("type") == "null" for each in branches) else []
    counted = [value for each in values for value in each]
    return counted + null if counted else []


def _types(found: Schema) -> list[str]:
    return [each["type"] for each in map(resolved, found.get("anyOf", [found])) if "type" in each]


def _expected(problem: _Problem) -> str:
    """The value that is expected, in words; for one that breaks a bound, this bound."""
    if problem.kind in ("expected", "unique"):
        return problem.text
    if problem.kind in BOUNDS:
        bounds = {
            name: f"{bound:g}" if isinstance(bound, float) else bound
            for name, bound in problem.context.items()
        }
        return BOUNDS[problem.kind].format(**bounds)
    if problem.is_name:
        return expected_value(problem.schema["propertyNames"])
    return expected_value(problem.schema)


def expected_value(found: Schema) -> str:
    """The value that a schema expects, in words."""
    if EXPECTED in found:
        return str(found[EXPECTED])
    if choices := _choices(found):
        return "one of " + ", ".join("null" if value is None else str(value) for value in choices)
    return " or ".join(TYPES[name] for name in _types(found)) or "another value"


def _quoted(value: Any) -> str:
    text = str(value) if isinstance(value, date) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}..."


def _advice(problem: _Problem) -> str:
    """Advice on a value: YAML takes 1e-3 for text, and 5, no and 2020-01-01 for anything else."""
    value, types = problem.value, _types(problem.schema)
    if types == ["string"] and isinstance(value, int | float | date) and not isinstance(value, bool):
        return "put it in quotes if it is meant as text"
    if {"integer", "number"} & set(types) and isinstance(value, str):
        return "write a number, without quotes and with a point before an exponent (7, 0.001, 1.0e-5)"
    if "integer" in types and isinstance(value, float) and value.is_integer():
        return f"write {value:.0f}"
    names = [*_choices(problem.schema), *problem.schema.get("examples", ())]
    near = difflib.get_close_matches(value, filter(None, names), 1, NEAR) if isinstance(value, str) else []
    return f"perhaps {near[0]} is meant; correct it" if near else "correct the configuration"
