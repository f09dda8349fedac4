"""Methods of lesion detection behind one interface: one module per method, its name in the config.

A module has
    fit(training, validation, settings, checkpoint, device) -> (state, history)
        training, validation: (volume (x, y, z) float32 standardised, mask (x, y, z) boolean) of one scan after
        another; they have a length and are read from disk anew each time they are gone through.
        settings: plain values: those of the method (`complete`), and seed, precision, spacing (mm) and patch.
        checkpoint: file to go on from, or None.
        state: arrays and plain values, all that scoring needs.  history: a table, or None without training.
    scorer(state, device, stride, precision) -> score(volume, mask, wanted) -> maps
        device: "cpu" or "cuda".  stride: voxels between scored places in a slice, for methods that can skip some.
        precision: "float32" or "bfloat16", for methods with a network.
        volume, mask: a standardised scan.  wanted: (x, y, z) boolean, the voxels to score.
        maps: {"score": (x, y, z) float32, NaN where not wanted, higher is more abnormal, ...}; a map "native", where
        there is one, is what NATIVE is applied to.
and may have
    SETTINGS = {"smoke": {...}, "short": {...}, "paper": {...}}
        the method's settings in each budget; the config's `method_settings` change single ones.
    OWN_SETTINGS = {...}
        of a method of LOCATING, which is trained by the config's `training`: what it has besides, and
        `method_settings` change.
    CHOICES = {...}
        values that a setting may have, or that its list may hold: ("one", "two") by its name.
    predictor(state, device, precision) -> predicted(volume, voxels) -> mean, log-variance
        of a method of LOCATING: `patch_statistics.Predictor`.
    NATIVE = {"erosion": 3, "median": 5}
        post-processing of the method's authors (`postprocessing.native`): a second heatmap, and for the methods
        in `method_names.NATIVE` a row of its own.
    NEEDS_LESION = True
        score takes the lesion mask, (x, y, z) boolean, as its last argument: of a control, which is given the truth.
"""

from collections.abc import Collection, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from patch2loc.errors import InputError
from patch2loc.method_names import CONTROLS, VARIANTS
from patch2loc.method_settings import check_changes

Volumes = Collection[tuple[np.ndarray, np.ndarray]]  # training and validation above
METHODS = (
    "patch2loc",
    "patch2loc_robust",
    "patch2loc_multiscale",
    "patch2loc_dense",
    "patch2loc_robust_dense",
    "thresh",
    "thresh_dark",
    "ae",
    "vae",
    "svae",
    "dae",
    "fae",
    "fae_patch2loc",
    "ra",
    "phanes",
    "ddpm",
    "pddpm",
    "cddpm",
    "zscore",
    "zscore_bright",
    "zscore_dark",
    "asymmetry",
    "random",
    "oracle",
)
# Methods that run a network: on a GPU where there is one, with several threads, by the config's budget.
NETWORKS = tuple(name for name in METHODS if name not in ("thresh", "thresh_dark", *CONTROLS))
# Methods that predict locations: trained by the configuration's `training`, and seen by the patch analysis.
LOCATING = ("patch2loc", *VARIANTS)
BUDGETS = ("smoke", "short", "paper")


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


def runs_network(name: str) -> bool:
    """Whether a method computes where networks do; a method from outside may."""
    return name in NETWORKS or "." in name


def needs_lesion(name: str) -> bool:
    """Whether a method scores by the lesion mask, which no scan of one's own has."""
    return getattr(method(name), "NEEDS_LESION", False)


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
