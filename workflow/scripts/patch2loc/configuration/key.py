"""Building blocks that declare the keys of a configuration: description, default, bounds, and checks beside the key.

A group of keys is a `TypedDict` marked by `group`; each field is `Annotated` by its type, further checks, and `key`.
Pydantic checks it, fills in the defaults, and returns plain dictionaries, which Snakemake hands to its jobs.
"""

from collections.abc import Callable
from typing import Any

from pydantic import AfterValidator, ConfigDict, Field, GetCoreSchemaHandler, with_config
from pydantic.annotated_handlers import GetJsonSchemaHandler
from pydantic.functional_validators import ModelWrapValidatorHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

EXPECTED = (
    "x-expected"  # entry of a schema: the expected value in words, where its other entries would not say it
)

# Unknown keys are refused, and no value is converted: "7" is no number, 7.0 is no whole number.
group = with_config(ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, regex_engine="python-re"))


def key(description: str | None = None, **rules: Any) -> Any:
    """A key of a configuration.

    Args:
        description: Meaning of the key, in Markdown, links relative to config/; for a group of keys, its docstring.
        **rules: `default`, without which the key is required, and bounds, as `pydantic.Field` takes them. The default
            of a group of keys, {}, is filled with the defaults of its keys.
    """
    is_group = rules.get("default") == {}
    return Field(description=description, validate_default=is_group or None, **rules)


class Expected:
    """What a key expects, in words for messages, where its type and bounds would not say it well."""

    def __init__(self, words: str) -> None:
        self.words = words

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.custom_error_schema(handler(source), "expected", custom_error_message=self.words)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(schema) | {EXPECTED: self.words}


class OrWord:
    """A word that may stand for a whole value, such as `all` for a list of methods; the type stays the value's."""

    def __init__(self, word: str, words: str = "") -> None:
        self.word, self.words = word, words

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def validate(value: Any, inner: ModelWrapValidatorHandler[Any]) -> Any:
            return value if value == self.word else inner(value)

        return core_schema.no_info_wrap_validator_function(validate, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [handler(schema), {"const": self.word}]} | (
            {EXPECTED: self.words} if self.words else {}
        )


class Unique:
    """A list that has every entry once."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(_unique, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(schema) | {"uniqueItems": True}


def _unique(entries: list[Any]) -> list[Any]:
    if any(entry in entries[:index] for index, entry in enumerate(entries)):
        raise PydanticCustomError("unique", "every entry once")
    return entries


def check(holds: Callable[[Any], bool], expected: str) -> AfterValidator:
    """A check of a value that its type and bounds allow.

    Args:
        holds: True for a value that is right.
        expected: What is expected, in words.
    """

    def validate(value: Any) -> Any:
        if not holds(value):
            raise PydanticCustomError("expected", "{expected}", {"expected": expected})
        return value

    return AfterValidator(validate)


def needs(condition: Callable[[dict[str, Any]], bool], path: str) -> AfterValidator:
    """A check of a group: where a condition holds, one of its keys must be there.

    Args:
        condition: True for a group that needs the key.
        path: The key below the group, such as "source.lesion".
    """

    def validate(value: dict[str, Any]) -> dict[str, Any]:
        holder: Any = value
        for name in path.split("."):
            holder = holder.get(name) if isinstance(holder, dict) else None
        if holder is None and condition(value):
            raise PydanticCustomError("needed", "{path}", {"path": path})
        return value

    return AfterValidator(validate)
