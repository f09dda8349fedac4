"""What a method of lesion detection offers, and how it is loaded by name."""

from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

import numpy as np

from patch2loc.errors import InputError

Volumes = Collection[tuple[np.ndarray, np.ndarray]]  # training and validation above


def module_name(name: str) -> str:
    """The module of a method: of this package, or, where the name has a dot, any that Python finds."""
    return name if "." in name else f"patch2loc.methods.{name}"


def method(name: str) -> ModuleType:
    """The imported module of a method.

    Raises InputError for a name that is no method of the package, and for a dotted name that cannot be imported, or
    has no `fit` and `scorer`.
    """
    path = module_name(name)
    try:
        module = import_module(path)
    except ModuleNotFoundError as error:
        if path != name and error.name == path:
            raise InputError(
                f"methods: {name} found, one of {', '.join(methods_of_the_package())}, or a dotted module of your own "
                "expected; correct the name"
            ) from error
        if path != name:
            raise
        raise InputError(
            f"methods: {name} found, whose import ends with: {error}; install it, or name its folder in PYTHONPATH"
        ) from error
    absent = [function for function in ("fit", "scorer") if not callable(getattr(module, function, None))]
    if absent:
        raise InputError(
            f"methods: {name} ({module.__file__}) has no {' and '.join(absent)}; see docs/add-a-method.md"
        )
    return module


def methods_of_the_package() -> list[str]:
    """Names of the modules in `patch2loc.methods`, sorted; none is imported."""
    return sorted(
        each.name for each in iter_modules([str(Path(__file__).parent / "methods")]) if not each.ispkg
    )


def needs_lesion(name: str) -> bool:
    """Whether a method scores by the lesion mask, which no scan of one's own has."""
    return getattr(method(name), "NEEDS_LESION", False)
