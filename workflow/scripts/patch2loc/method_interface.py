"""The interface of methods of lesion detection, and how one is reached by its name.

A method is a package: its `__init__.py` declares it (`method_declaration.Declaration`), and its `model.py` has two
functions, `fit` and `scorer`, as `Method` has them. One that predicts locations has two more, of `LocatingMethod`. A
method from outside may be a single module with both.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeGuard, cast

import numpy as np

from patch2loc.engine.choices import Device, Precision
from patch2loc.errors import InputError
from patch2loc.method_declaration import Declaration

if TYPE_CHECKING:
    import pandas as pd  # slow to import, as torch, and needed here for annotations alone
    from torch import Tensor

MARK = "-"  # between a method and the name of a variant of it
# What scoring needs of a fitted method: arrays, plain Python values, and dictionaries of these.
State = dict[str, Any]
# Settings of a training by name: the method's own (`configuration.method_settings`), and of the run:
# patch (voxels), seed, spacing (mm), precision; for methods that name them, pretrained {name: path or None} and models
# {method: state}.
MethodSettings = Mapping[str, Any]
# A map of a scan, float32: an array, or a tensor on a method's device, where the heatmap is then made of it.
Map: TypeAlias = "np.ndarray | Tensor"
# Maps of a scan by name. "score", (x, y, z), NaN where it was not asked for, is higher where a voxel is more
# abnormal. "as_published", where there is one, is the score of the method's authors before their post-processing:
# (x, y, z), or of the blocks of 2 mm of a finer grid (`data.volumes.block`), if the method scores these.
Maps = Mapping[str, Map]


class Volumes(Protocol):
    """Standardized scans with their brain masks, read anew each time they are gone through."""

    def __len__(self) -> int:
        """Number of scans."""

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Volumes, (x, y, z) float32, 0 outside the brain, and masks, (x, y, z) boolean, one scan after another."""


class Score(Protocol):
    """Scores one scan."""

    def __call__(self, volume: np.ndarray, mask: np.ndarray, region: np.ndarray, /) -> Maps:
        """Maps of a scan.

        Args:
            volume: (x, y, z) float32, standardized, 0 outside the brain.
            mask: (x, y, z) boolean, the brain.
            region: (x, y, z) boolean, the voxels to score: the brain and what the median filter reaches around it.
        """


class LesionScore(Protocol):
    """Scores one scan for a method that needs its lesion."""

    def __call__(
        self, volume: np.ndarray, mask: np.ndarray, region: np.ndarray, lesion: np.ndarray, /
    ) -> Maps:
        """Maps of a scan; as `Score`, with the lesion mask, (x, y, z) boolean."""


# Predicts the locations of patches: from a scan as the network sees it, (x, y, z) float32, and voxels (n, 3) to means
# (n, 2), percent, and log-variances (n, 2) of log percent squared.
Predictor = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


class Method(Protocol):
    """A module that detects lesions."""

    def fit(
        self,
        training: Volumes,
        validation: Volumes,
        settings: MethodSettings,
        checkpoint: Path | None,
        *,
        device: Device,
    ) -> "tuple[State, pd.DataFrame | None]":
        """Learn from healthy scans.

        Args:
            training: Scans to learn from.
            validation: Scans of other people, to choose by.
            settings: Settings of the training by name.
            checkpoint: File to write now and then, and to go on from where it is there; may be ignored.
            device: "cpu" or "cuda".

        Returns:
            State, all that scoring needs, and history, a table for history.csv, or None.
        """

    def scorer(
        self, state: State, device: Device, stride: int = 1, precision: Precision = "float32"
    ) -> Score | LesionScore:
        """Get ready to score scans.

        Args:
            state: Result of `fit`.
            device: "cpu" or "cuda".
            stride: Voxels between those that are scored, where a method can leave some out.
            precision: "float32" or "bfloat16", of a network.
        """


class LocatingMethod(Method, Protocol):
    """A module that detects lesions by predicting the locations of patches."""

    def network_input(self, state: State, volume: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """A standardized scan as the network sees it, (x, y, z) float32."""

    def predictor(self, state: State, device: Device, precision: Precision = "float32") -> Predictor:
        """Get ready to predict locations, for the patch analysis."""


def as_array(values: Map) -> np.ndarray:
    """A map as an array, which is waited for."""
    return values if isinstance(values, np.ndarray) else values.cpu().numpy()


def method_of(name: str) -> str:
    """The method that a variant of a run is trained as, see `configuration.variants`; a method's own name."""
    return name.partition(MARK)[0]


def module_name(name: str) -> str:
    """The module with the code of a method or variant: model.py of its package, or a single module from outside."""
    package = _package(name)
    return f"{package}.model" if not is_outside(name) or _has_model(package) else package


def _package(name: str) -> str:
    """The module with the declaration of a method or variant."""
    method = method_of(name)
    return method if is_outside(method) else f"patch2loc.methods.{method}"


def _has_model(package: str) -> bool:
    try:
        return find_spec(f"{package}.model") is not None
    except ModuleNotFoundError:  # no package, or no such module at all
        return False


def is_outside(name: str) -> bool:
    """True for a method from outside the package, a dotted module."""
    return "." in name


@cache
def declaration(name: str) -> Declaration:
    """The declaration of a method or variant, with a title; the defaults for any other name.

    A dotted name is imported, as by `method`. Code that shows titles, roles or the order of methods has to import
    `configuration.method_registry`: its hash then covers the declarations (`provenance.code`).

    Raises:
        InputError: For a module from outside that cannot be imported, or whose declaration is wrong.
    """
    base, mark, variant = name.partition(MARK)
    if mark:
        # A second row for each of them would be no answer to what its training changes.
        declared = declaration(base)
        title = f"{declared.title}, {variant}"
        return replace(declared, title=title, role="variant", calibrated=False, as_published=None)
    if not is_outside(name) and name not in methods_of_the_package():
        return Declaration(title=name, network=False)
    try:
        module = import_module(_package(name))
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            return Declaration(title=name)  # it is nowhere: of a run in another environment
        raise InputError(
            f"methods: {name} found, whose import ends with: {error}; correct it, and import what planning may lack, "
            "such as torch, in model.py beside the declaration (docs/how-to/add-a-method.md)"
        ) from error
    declared = _declared(module)
    return replace(declared, title=declared.title or name)


def _declared(module: ModuleType) -> Declaration:
    """What a module declares as METHOD, or the defaults."""
    declared = getattr(module, "METHOD", None)
    if isinstance(declared, Declaration):
        return declared
    former = [each.name for each in fields(Declaration) if hasattr(module, each.name.upper())]
    if declared is None and not former:
        return Declaration()
    found = "METHOD" if declared is not None else ", ".join(name.upper() for name in former)
    raise InputError(
        f"{module.__file__}: {found} found, METHOD = Declaration({', '.join(f'{name}=...' for name in former)}) "
        "expected, with Declaration from patch2loc.method_declaration; write it so"
    )


def method(name: str) -> Method:
    """The imported module of a method.

    A dotted name is imported, which runs code: call it with one that the user named, not with one that a file names
    (`patch2loc.models.load_model` sees to that).

    Raises:
        InputError: For a name that is no method of the package, and for a dotted name that cannot be imported, or has
            not the functions of a method.
    """
    check_name(name)
    try:
        module = import_module(module_name(name))
    except ModuleNotFoundError as error:
        if not is_outside(name):
            raise
        raise InputError(
            f"methods: {name} found, whose import ends with: {error}; install it into the environment that runs this "
            "(pip install)"
        ) from error
    expected = ("fit", "scorer", *(("network_input", "predictor") if declaration(name).locates else ()))
    absent = [function for function in expected if not callable(getattr(module, function, None))]
    if absent:
        raise InputError(
            f"methods: {name} ({module.__file__}) has no {' and '.join(absent)}; see docs/how-to/add-a-method.md"
        )
    return cast(Method, module)


def check_name(name: object) -> None:
    """Raise InputError for what is neither the name of a method of the package nor that of a dotted module."""
    parts = name.split(".") if isinstance(name, str) else []
    if len(parts) == 1 and name in methods_of_the_package():
        return
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        raise InputError(
            f"methods: {name} found, one of {', '.join(methods_of_the_package())}, or a dotted module of your own "
            "expected; correct the name"
        )


def methods_of_the_package() -> list[str]:
    """Names of the packages in `patch2loc.methods` that are methods, sorted; none is imported."""
    return sorted(path.parent.name for path in Path(__file__).parent.glob("methods/*/model.py"))


def is_locating(module: Method) -> TypeGuard[LocatingMethod]:
    """True for the imported module of a method that predicts the locations of patches."""
    return hasattr(module, "predictor")
