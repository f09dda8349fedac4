"""Settings of methods: those of their modules, changed by the configuration's `method_settings`."""

from collections.abc import Collection, Mapping
from typing import Any

from patch2loc.configuration.method_registry import from_patches
from patch2loc.errors import InputError
from patch2loc.method_interface import Method, method

KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list"}


def resolve_settings(name: str, configured: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a method is trained by: its module's, changed by the configured ones.

    Args:
        name: The method's.
        configured: Result of `check.training_settings`. {"budget": "smoke" | "short" | "paper", ...single settings}
            changes the module's SETTINGS of this budget; without a budget, or for a module without SETTINGS, it is
            returned as it is. For a method that learns from patches, settings of the training, returned as they are,
            and under "own" single ones that change its OWN_SETTINGS.

    Raises:
        InputError: For settings that the method does not have, and for values of another kind.
    """
    module = method(name)
    if from_patches(name):
        training = {key: value for key, value in configured.items() if key != "own"}
        own_settings = getattr(module, "OWN_SETTINGS", {})
        return training | _changed(name, module, own_settings, configured.get("own", {}))
    budgets = getattr(module, "SETTINGS", None)
    if budgets is None or "budget" not in configured:
        return dict(configured)
    changes = {key: value for key, value in configured.items() if key != "budget"}
    return {"budget": configured["budget"], **_changed(name, module, budgets[configured["budget"]], changes)}


def check_changes(
    name: str,
    settings: Mapping[str, Any],
    changes: Mapping[str, Any],
    choices: Mapping[str, Collection[Any]],
) -> None:
    """Hold changes of a method's settings against these.

    Args:
        name: The method's, for messages.
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


def _changed(
    name: str, module: Method, settings: Mapping[str, Any], changes: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings of a method, single ones changed; InputError for a change that it cannot take."""
    check_changes(name, settings, changes, getattr(module, "CHOICES", {}))
    return {**settings, **changes}


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
