"""The interface of methods of lesion detection, and how one is loaded by its name.

A method is a module with two functions, `fit` and `scorer`, as `Method` has them. One that predicts locations (LOCATES)
has two more, of `LocatingMethod`. Constants declare what else there is to know of it: those that planning and tables
read are described in `configuration.method_registry`, SETTINGS, OWN_SETTINGS and CHOICES in
`configuration.method_settings`, PRETRAINED and NEEDS in `configuration.prerequisites`, STATE and OPTIONAL_STATE below.
"""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeGuard, cast

import numpy as np

from patch2loc.engine.choices import Device, Precision
from patch2loc.errors import InputError

if TYPE_CHECKING:
    import pandas as pd  # slow to import, as torch, and needed here for annotations alone
    from torch import Tensor

MARK = "-"  # between a method and the name of a variant of it
# What scoring needs of a fitted method: arrays, plain Python values, and dictionaries of these.
State = dict[str, Any]
# Kind of a value of a state (`model_schema.KINDS`). A method's STATE has that of each value that its state holds,
# OPTIONAL_STATE that of each that it may lack or that may be None; models of other states are refused.
StateKind = Literal[
    "array",
    "map",
    "spread",
    "weights",
    "widths",
    "patch",
    "spacing",
    "seed",
    "flag",
    "number",
    "positive",
    "text",
    "dictionary",
]
StateKinds = Mapping[str, StateKind]
# Settings of a training by name: the method's own (`configuration.method_settings.resolve_settings`), and of the run:
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
    """Scores one scan for a method that needs its lesion (NEEDS_LESION)."""

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
    """The module of a method or variant: of this package, or, where the name has a dot, any that Python finds."""
    method = method_of(name)
    return method if is_outside(method) else f"patch2loc.methods.{method}"


def is_outside(name: str) -> bool:
    """True for a method from outside the package, a dotted module."""
    return "." in name


def method(name: str) -> Method:
    """The imported module of a method.

    A dotted name is imported, which runs code: call it with one that the user named, not with one that a file names
    (`patch2loc.models.load_model` sees to that).

    Raises:
        InputError: For a name that is no method of the package, and for a dotted name that cannot be imported, or has
            no `fit` and `scorer`.
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
    absent = [function for function in ("fit", "scorer") if not callable(getattr(module, function, None))]
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
    """Names of the modules in `patch2loc.methods`, sorted; none is imported."""
    return sorted(
        each.name for each in iter_modules([str(Path(__file__).parent / "methods")]) if not each.ispkg
    )


def needs_lesion(name: str) -> bool:
    """True for controls that need the ground-truth lesion mask, which no scan of one's own has."""
    return bool(getattr(method(name), "NEEDS_LESION", False))


def is_locating(module: Method) -> TypeGuard[LocatingMethod]:
    """True for the imported module of a method that predicts the locations of patches."""
    return bool(getattr(module, "LOCATES", False))
