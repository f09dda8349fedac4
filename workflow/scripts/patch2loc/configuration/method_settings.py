"""Settings of methods: those that they declare, changed by the configuration's `method_settings`."""

from collections.abc import Collection, Mapping
from typing import Any

from patch2loc.errors import InputError
from patch2loc.method_interface import declaration

KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list"}
NO_INFLUENCE = ("threads", "memory_mb")  # keys of `training` that change no number
OF_THE_SCANS = ("orientation", "subjects", "balance_sites")  # keys of `training`: what a method is given


def training_settings(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a method is trained by, all of them.

    Args:
        name: Name of the method.
        config: Configuration that it is trained by (`variants.configuration_of`).

    Returns:
        For a method that learns from patches the configuration's `training`, without the keys that change no number or
        are of the scans, and its own settings. For others its settings, with the budget if it has any or is a network.

    Raises:
        InputError: For settings that the method does not have, and for values of another kind.
    """
    settings = resolve_settings(name, config["budget"], config["method_settings"].get(name, {}))
    declared = declaration(name)
    if declared.by_training:
        others = (*NO_INFLUENCE, *OF_THE_SCANS)
        return {key: value for key, value in config["training"].items() if key not in others} | settings
    return {"budget": config["budget"], **settings} if declared.network or declared.settings else settings


def resolve_settings(name: str, budget: str, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The settings that a method declares, for a budget or besides `training`, single ones changed.

    Args:
        name: Name of the method.
        budget: One of `method_declaration.BUDGETS`.
        changes: Its `method_settings` of the configuration; None for none.

    Raises:
        InputError: For settings that the method does not have, and for values of another kind.
    """
    declared = declaration(name)
    settings = declared.own_settings if declared.by_training else declared.settings.get(budget, {})
    check_changes(name, settings, changes or {}, declared.choices)
    return {**settings, **(changes or {})}


def check_changes(
    name: str,
    settings: Mapping[str, Any],
    changes: Mapping[str, Any],
    choices: Mapping[str, Collection[Any]],
) -> None:
    """Hold changes of a method's settings against these.

    Args:
        name: Name of the method, for messages.
        settings: The method's own.
        changes: The configured ones.
        choices: {setting: values that it may have, or that its list may hold}.

    Raises:
        InputError: For a change of a setting that the method does not have, and for a value that cannot replace its
            own.
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
        values = value if isinstance(value, (list, tuple)) else [value]
        wrong = [str(each) for each in values if key in choices and each not in choices[key]]
        if wrong:
            raise InputError(
                f"method_settings.{name}.{key}: {', '.join(wrong)} found, of {', '.join(map(str, choices[key]))} "
                "expected; correct it"
            )


def _fits(value: Any, default: Any, whole: bool) -> bool:
    """True for a value of the kind of another one.  whole: 2.5 cannot stand for 2."""
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
    words = KINDS.get(kind, "a mapping")
    return words if kind in (bool, str) else f"{words} such as {default}"


def _as_text(value: Any, default: Any) -> str:
    """A hint where a number was meant."""
    try:
        float(value if isinstance(value, str) and isinstance(default, (int, float)) else "")
    except ValueError:
        return ""
    return " (YAML takes 1e-4 for text; 1.0e-4 is a number)"
