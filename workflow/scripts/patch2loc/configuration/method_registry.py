"""The methods there are, and what each declares of itself, read from their modules without running them.

A method's module says what it is in constants that are written out; the registry, the check of names in a
configuration, titles, colors and rows of tables follow from these. One from outside the package ("mypackage.method")
may declare the same.

    ROLE = "control"      its place among the others, of `Role`; an addition where nothing is said
    ORDER = 210           its place in tables; those of the package that say nothing are last
    TITLE = "Distance"    what tables and figures call it; its name where nothing is said
    LOCATES = True        it predicts locations: trained by the configuration's `training`, seen by the patch analysis
    FROM_PATCHES = True   it learns from patches: trained by the configuration's `training`, as one that locates is
    NETWORK = True        it runs a network: on a GPU where there is one, with several threads, by the budget;
                          a method from outside that says nothing may
    SCORED_ONCE = True    its score of a scan is the same whatever scans it was trained on: folds share its heatmaps
    NEEDS_LESION = True   it is given the lesion mask, and compared with no other method
    CALIBRATED = True     it has a second row: its score calibrated by healthy scans
    AS_PUBLISHED = {...}  it has a second row: with the post-processing of its authors
    REDESIGNED = True     built from an abstract alone: a row of the same name in another table is another network
"""

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, TypeVar, cast, get_args

from patch2loc.configuration.method_constants import Unreadable, constant, is_named
from patch2loc.errors import InputError
from patch2loc.method_interface import MARK, is_outside, methods_of_the_package, module_name
from patch2loc.provenance.code import module_file

# Row of the paper's Table 1; compared beside these, not in the paper; Patch2Loc done otherwise, not in the paper;
# a simple score that others must beat to claim anything.
Role = Literal["table1", "addition", "variant", "control"]
Value = TypeVar("Value")
KINDS = {str: "text", bool: "True or False", float: "a number"}


@dataclass(frozen=True)
class Declaration:
    """Declaration of a method; fields are the constants that this module's docstring explains."""

    name: str
    title: str
    role: Role = "addition"
    order: float = math.inf
    locates: bool = False
    from_patches: bool = False
    network: bool = False
    scored_once: bool = False
    needs_lesion: bool = False
    calibrated: bool = False
    as_published: bool = False
    redesigned: bool = False


@cache
def declaration(name: str) -> Declaration:
    """Declaration of a method of the package, or of a module from outside; the defaults for any other name.

    Raises:
        InputError: For a constant of another kind, or one that is not written out, naming the file.
    """
    method, mark, variant = name.partition(MARK)
    if mark:
        # A second row for each of them would be no answer to what its training changes.
        base = declaration(method)
        return replace(
            base,
            name=name,
            title=f"{base.title}, {variant}",
            role="variant",
            calibrated=False,
            as_published=False,
        )
    module = module_name(name)
    outside = "." in name
    if module_file(module) is None:
        return Declaration(name, title=name, network=outside)
    role = cast(Role, _declared(module, "ROLE", "addition"))
    if role not in get_args(Role):
        raise InputError(
            f"{module_file(module)}: ROLE = {role!r} found, one of {', '.join(get_args(Role))} expected; correct it"
        )
    locates = _declared(module, "LOCATES", False)
    return Declaration(
        name=name,
        title=_declared(module, "TITLE", name),
        role=role,
        order=_declared(module, "ORDER", math.inf),
        locates=locates,
        from_patches=locates or _declared(module, "FROM_PATCHES", False),
        network=_declared(module, "NETWORK", outside),
        scored_once=_declared(module, "SCORED_ONCE", False),
        needs_lesion=_declared(module, "NEEDS_LESION", False),
        calibrated=_declared(module, "CALIBRATED", False),
        as_published=is_named(module, "AS_PUBLISHED"),
        redesigned=_declared(module, "REDESIGNED", False),
    )


def _declared(module: str, name: str, default: Value) -> Value:
    """A constant of a module, of the kind of its default."""
    if not is_named(module, name):
        return default
    kind: type = type(default)
    try:
        value = constant(module, name, default)
    except Unreadable as error:
        raise InputError(
            f"{module_file(module)}: {name} found, which cannot be read without running the module, "
            f"{KINDS[kind]} expected, written out; write it so"
        ) from error
    if isinstance(value, bool) != (kind is bool) or not isinstance(
        value, (int, float) if kind is float else kind
    ):
        raise InputError(
            f"{module_file(module)}: {name} = {value!r} found, {KINDS[kind]} expected; correct it"
        )
    return cast(Value, value)


def _in_order(name: str) -> tuple[float, str]:
    return declaration(name).order, name


# Methods of the package, as tables list them.
METHODS = tuple(sorted(methods_of_the_package(), key=_in_order))
VARIANTS = tuple(name for name in METHODS if declaration(name).role == "variant")
CONTROLS = tuple(name for name in METHODS if declaration(name).role == "control")
NETWORKS = tuple(name for name in METHODS if declaration(name).network)
LOCATING = tuple(name for name in METHODS if declaration(name).locates)
FROM_PATCHES = tuple(name for name in METHODS if declaration(name).from_patches)
CALIBRATED = tuple(name for name in METHODS if declaration(name).calibrated)
AS_PUBLISHED = tuple(name for name in METHODS if declaration(name).as_published)
BUDGETS = ("smoke", "short", "paper")


def is_method(name: str) -> bool:
    """True for a method of the package, and for a module from outside that Python finds."""
    return module_file(name) is not None if is_outside(name) else name in METHODS


def locates(name: str) -> bool:
    """True for a method that predicts locations, of the package or from outside, by its declaration."""
    return declaration(name).locates


def from_patches(name: str) -> bool:
    """True for a method that is trained by the configuration's `training`: those that locate, and others on patches."""
    return declaration(name).from_patches


def runs_network(name: str) -> bool:
    """True for a method that computes where networks do."""
    return declaration(name).network


def scoring_modules(name: str) -> list[str]:
    """Modules whose code, with all that they import, is behind the scores of a method."""
    parts = ("job", "patch_predictions") if locates(name) else ("job",)
    return [*(f"patch2loc.score.{part}" for part in parts), module_name(name)]
