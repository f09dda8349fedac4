"""What the configuration's `method_settings` may say of a method: names, kinds of values, choices."""

from collections.abc import Collection, Mapping
from types import ModuleType
from typing import Any

from patch2loc.configuration.method_registry import LOCATING
from patch2loc.errors import InputError
from patch2loc.method_interface import method

KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list"}


def check_changes(
    name: str,
    settings: Mapping[str, Any],
    changes: Mapping[str, Any],
    choices: Mapping[str, Collection[Any]],
) -> None:
    """Raise InputError for changes of what a method does not have, and for values that cannot replace its own.

    settings: the method's own.  changes: those of the configuration.  choices: {setting: values that it may have, or
    that its list may hold}.
    """
    unknown = sorted(map(str, set(changes) - set(settings)))
    if unknown:
        raise InputError(
            f"method_settings.{name}: {', '.join(unknown)} found, of {', '.join(sorted(settings))} expected; correct "
            "the names"
            if settings
            else f"method_settings.{name}: {', '.join(unknown)} found, nothing expected, as {name} has no settings; "
            "leave it out"
        )
    for key, value in changes.items():
        if not _fits(value, settings[key], whole="." not in name):
            raise InputError(
                f"method_settings.{name}.{key}: {value!r} found, {_expected(settings[key])} expected"
                f"{_as_text(value, settings[key])}; correct it"
            )
        given = value if isinstance(value, (list, tuple)) else [value]
        wrong = [str(each) for each in given if key in choices and each not in choices[key]]
        if wrong:
            raise InputError(
                f"method_settings.{name}.{key}: {', '.join(wrong)} found, of {', '.join(map(str, choices[key]))} "
                "expected; correct it"
            )


def _fits(value: Any, default: Any, whole: bool) -> bool:
    """Whether a value is of the kind of another one.  whole: whether 2.5 cannot stand for 2."""
    if default is None:
        return True
    if isinstance(default, (list, tuple)):
        return isinstance(value, (list, tuple)) and all(
            not default or any(_fits(each, one, whole) for one in default) for each in value
        )
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, (int, float)):
        return isinstance(value, int if whole and isinstance(default, int) else (int, float))
    return isinstance(value, type(default))


def _expected(default: Any) -> str:
    kind = list if isinstance(default, tuple) else type(default)
    said = KINDS.get(kind, "a mapping")
    return said if kind in (bool, str) else f"{said} such as {default}"


def _as_text(value: Any, default: Any) -> str:
    """A hint where a number was meant."""
    try:
        float(value if isinstance(value, str) and isinstance(default, (int, float)) else "")
    except ValueError:
        return ""
    return " (YAML takes 1e-4 for text; 1.0e-4 is a number)"


def complete(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a method: those of its budget, changed by the given ones.

    given: {"budget": "smoke" | "short" | "paper", ...single settings}; without a budget, or for a method without
    SETTINGS, as they are.  For a method of LOCATING: those of the training, and under "own" the single ones that
    change its OWN_SETTINGS.  Raises InputError for settings that the method does not have, and for values of another
    kind.
    """
    module = method(name)
    if name in LOCATING:
        training = {key: value for key, value in given.items() if key != "own"}
        return training | _changed(name, module, getattr(module, "OWN_SETTINGS", {}), given.get("own", {}))
    budgets = getattr(module, "SETTINGS", None)
    if budgets is None or "budget" not in given:
        return dict(given)
    changes = {key: value for key, value in given.items() if key != "budget"}
    return {"budget": given["budget"], **_changed(name, module, budgets[given["budget"]], changes)}


def _changed(
    name: str, module: ModuleType, settings: Mapping[str, Any], changes: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings of a method, single ones changed; InputError for a change that it cannot take."""
    check_changes(name, settings, changes, getattr(module, "CHOICES", {}))
    return {**settings, **changes}
