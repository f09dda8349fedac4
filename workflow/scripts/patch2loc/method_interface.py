"""What a method of lesion detection offers, and how it is loaded by name."""

from collections.abc import Collection
from importlib import import_module
from types import ModuleType

import numpy as np

from patch2loc.configuration.method_registry import METHODS
from patch2loc.errors import InputError

Volumes = Collection[tuple[np.ndarray, np.ndarray]]  # training and validation above


def module_name(name: str) -> str:
    """The module of a method: of this package, or, where the name has a dot, any that Python finds."""
    if "." in name:
        return name
    if name not in METHODS:
        raise ValueError(
            f"method {name!r} is unknown; expected one of {', '.join(METHODS)}, or a dotted module"
        )
    return f"patch2loc.methods.{name}"


def method(name: str) -> ModuleType:
    """The imported module of a method; ValueError for an unknown name.

    Raises InputError for a dotted name that cannot be imported, or has no `fit` and `scorer`.
    """
    path = module_name(name)
    if path != name:
        return import_module(path)
    try:
        module = import_module(path)
    except ModuleNotFoundError as error:
        raise InputError(
            f"methods: {name} found, whose import ends with: {error}; install it, or name its folder in PYTHONPATH"
        ) from error
    absent = [function for function in ("fit", "scorer") if not callable(getattr(module, function, None))]
    if absent:
        raise InputError(
            f"methods: {name} ({module.__file__}) has no {' and '.join(absent)}; see docs/add-a-method.md"
        )
    return module


def needs_lesion(name: str) -> bool:
    """Whether a method scores by the lesion mask, which no scan of one's own has."""
    return getattr(method(name), "NEEDS_LESION", False)
