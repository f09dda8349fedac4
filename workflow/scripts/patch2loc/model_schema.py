"""What a model may hold: every key with its type and bounds, and the kinds of values of a method's state.

A checksum shows that a file is as its training wrote it; these show that what was written can be used. They need
neither torch nor SimpleITK.
"""

import math
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, get_args

import numpy as np

from patch2loc.data.axes import AXES, axis_order
from patch2loc.data.modalities import Modality
from patch2loc.data.nifti_header import MAX_VOXELS
from patch2loc.data.vocabulary import Scale
from patch2loc.errors import InputError
from patch2loc.method_declaration import StateKind

MAX_SIDE = 1024  # voxels, as of a configuration's grid
SPACINGS = (0.1, 10.0)  # mm
MAX_COORDINATE = 1e5  # mm
MAX_WIDTH = 4096  # channels of a layer; the paper's widest has 512
# Weights of trained networks are below 1e2, their running variances below 1e3; a flipped bit makes 1e38.
MAX_WEIGHT = 1e8
MAX_FILTER = 15  # voxels, as of a configuration
MAX_LANDMARK = 1000  # standard scales end at 100
REMEDY = "train it again or get it again"
DIVERGED = "train it again, with a lower learning rate if its training diverged, or get it again"


class _Shortened(reprlib.Repr):
    """What was found, in one short line."""

    def repr_ndarray(self, array: np.ndarray, level: int) -> str:
        return f"an array {array.shape} of {array.dtype}"

    def repr_float(self, number: float, level: int) -> str:
        return f"{number:g}"


_shortened = _Shortened()
_shortened.maxstring = _shortened.maxother = 60
_shortened.maxlevel, _shortened.maxlist, _shortened.maxdict = 2, 12, 2


class Expectation(NamedTuple):
    """A key's value in words, and the test of it."""

    words: str
    holds: Callable[[Any], bool]
    required: bool = True


def is_number(value: object) -> bool:
    """True for a finite real number of Python, which a truth value is not."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return -1e300 < value < 1e300  # a whole number may be too large for math.isfinite


def is_whole(value: object, least: float = -math.inf, most: float = math.inf) -> bool:
    """True for a whole number of Python in a range."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_text(value: object) -> bool:
    """True for a text that is not empty."""
    return isinstance(value, str) and bool(value)


def is_dictionary(value: object) -> bool:
    """True for a dictionary."""
    return isinstance(value, dict)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _one_of(texts: Sequence[str], *, required: bool = True) -> Expectation:
    # An array, which a damaged file may have here, has no truth value when it is compared with a text.
    return Expectation(" or ".join(texts), lambda value: isinstance(value, str) and value in texts, required)


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def _increase(
    value: object, low: float = -math.inf, high: float = math.inf, *, strictly: bool = True
) -> bool:
    """True for a list of at least two finite numbers in a range, each above the one before, or not below it."""
    if not isinstance(value, list) or len(value) < 2 or not all(map(is_number, value)):
        return False
    steps = np.diff(value)
    return bool(low <= value[0] and value[-1] <= high and (steps > 0 if strictly else steps >= 0).all())


def _is_shape(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 3:
        return False
    return all(is_whole(side, 1, MAX_SIDE) for side in value) and math.prod(value) <= MAX_VOXELS


def _is_affine(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 4 or value[3] != [0, 0, 0, 1]:
        return False
    rows = all(isinstance(row, list) and len(row) == 4 for row in value)
    return rows and all(is_number(each) and abs(each) <= MAX_COORDINATE for row in value for each in row)


# By the path of the key, groups before what they hold.
EXPECTATIONS = {
    "method": Expectation("the name of a method", is_text),
    "modality": _one_of(get_args(Modality)),
    "fold": Expectation("a whole number from 0, or null", lambda value: value is None or is_whole(value, 0)),
    "atlas": Expectation(
        "the name or the folder of an atlas, or null", lambda value: value is None or is_text(value)
    ),
    "preprocess": Expectation(
        "settings of preprocessing, texts and truth values",
        lambda value: is_dictionary(value) and all(isinstance(each, (str, bool)) for each in value.values()),
    ),
    "preprocess_version": Expectation(
        "a whole number from 1", lambda value: is_whole(value, 1), required=False
    ),
    "simulated": Expectation("true or false", lambda value: isinstance(value, bool), required=False),
    "state": Expectation("the method's state, a dictionary", is_dictionary),
    "landmarks": Expectation("a dictionary", is_dictionary),
    "landmarks.percentiles": Expectation(
        "at least two increasing numbers from 0 to 100", lambda value: _increase(value, 0, 100)
    ),
    "landmarks.standard_scale": Expectation(
        f"at least two increasing numbers from -{MAX_LANDMARK:,} to {MAX_LANDMARK:,}",
        lambda value: _increase(value, -MAX_LANDMARK, MAX_LANDMARK, strictly=False),
    ),
    "landmarks.subjects": Expectation("a list of names", _are_texts, required=False),
    "landmarks.scale": _one_of(get_args(Scale), required=False),
    "landmarks.background": Expectation(
        "true or false", lambda value: isinstance(value, bool), required=False
    ),
    "grid": Expectation("a dictionary", is_dictionary),
    "grid.shape": Expectation(f"three whole numbers from 1 to {MAX_SIDE}", _is_shape),
    "grid.spacing": Expectation(
        f"millimeters from {SPACINGS[0]} to {SPACINGS[1]:g}",
        lambda value: is_number(value) and SPACINGS[0] <= value <= SPACINGS[1],
    ),
    "grid.affine": Expectation(
        "four rows of four finite numbers, the last one 0, 0, 0, 1", _is_affine, required=False
    ),
    "grid.axes": Expectation(
        f"one of {', '.join(AXES)}", lambda value: isinstance(value, str) and value in AXES, required=False
    ),
    "training_subjects": Expectation("a list of names", _are_texts),
    "validation_subjects": Expectation("a list of names", _are_texts),
    "provenance": Expectation("a dictionary", is_dictionary),
    "healthy_threshold": Expectation("a finite number", is_number, required=False),
    "reference.median_filter": Expectation(
        f"an odd number of 1 to {MAX_FILTER}",
        lambda value: is_whole(value, 1, MAX_FILTER) and value % 2 == 1,
        required=False,
    ),
    # The rest of the reference is checked where a detector reads it (`score.reference.from_model`).
    "reference": Expectation("a dictionary", is_dictionary, required=False),
    "reference.scans": Expectation(
        "a list of at least one dictionary",
        lambda value: isinstance(value, list) and bool(value) and all(map(is_dictionary, value)),
    ),
    "reference.cohort": Expectation("a dictionary", is_dictionary),
    "reference.cohort.title": Expectation("a text", is_text),
    "reference.cohort.simulated": Expectation("true or false", lambda value: isinstance(value, bool)),
    "reference.cohort.n_training": Expectation("a whole number from 1", lambda value: is_whole(value, 1)),
    "reference.cohort.sites": Expectation("a list of names", _are_texts),
    "reference.cohort.ages": Expectation(
        "the least and the greatest age, or null",
        lambda value: value is None or (_increase(value, 0, strictly=False) and len(value) == 2),
        required=False,
    ),
    "reference.cohort.largest_voxel_mm": Expectation(
        "a positive finite number, or null",
        lambda value: value is None or (is_number(value) and value > 0),
        required=False,
    ),
    "contents": Expectation(
        "hashes, of 64 hexadecimal digits, by subject",
        lambda value: is_dictionary(value) and all(map(_is_hash, value.values())),
        required=False,
    ),
}


def check_content(model: Mapping[str, Any], name: str | Path) -> None:
    """Check every key of a model, and how they go together.

    Args:
        model: As `patch2loc.models.Model`.
        name: Of the model, for messages: its file.

    Raises:
        InputError: Naming the model, the key, what was found and what was expected.
    """
    check_keys(model, EXPECTATIONS, name)
    _check_relations(model, name)
    if "." not in model["method"]:  # one's own method may keep what it likes
        for path, array in _arrays(model["state"]):
            _check_array(array, name, path)


def check_keys(
    content: Mapping[str, Any], expectations: Mapping[str, Expectation], name: str | Path, within: str = ""
) -> None:
    """Check the keys of nested dictionaries.

    Args:
        content: The outermost dictionary.
        expectations: By the path of the key, groups before what they hold; what an absent group would hold is passed
            over.
        name: File of the model, for messages.
        within: Path of `content` in the model, for messages, with its last point.

    Raises:
        InputError: Naming the model, the key, what was found and what was expected.
    """
    for path, expectation in expectations.items():
        *groups, key = path.split(".")
        holder: Any = content
        for group in groups:
            holder = None if holder is None else holder.get(group)
        if holder is None:
            continue
        if key not in holder:
            if expectation.required:
                raise InputError(f"{name}: no {within}{path} found, {expectation.words} expected; {REMEDY}")
        elif not expectation.holds(holder[key]):
            refuse(name, f"{within}{path}", holder[key], expectation.words)


def _check_relations(model: Mapping[str, Any], name: str | Path) -> None:
    landmarks, grid = model["landmarks"], model["grid"]
    percentiles, scale = landmarks["percentiles"], landmarks["standard_scale"]
    if len(percentiles) != len(scale):
        refuse(
            name, "landmarks.standard_scale", scale, f"one number for each of {len(percentiles)} percentiles"
        )
    if not landmarks.get("background") and not np.all(np.diff(scale) > 0):
        refuse(
            name, "landmarks.standard_scale", scale, "increasing numbers, as landmarks.background is not set,"
        )
    if "affine" in grid:
        axes = np.array(grid["affine"], float)[:3, :3]
        if not np.allclose(axes.T @ axes, grid["spacing"] ** 2 * np.eye(3), rtol=0, atol=1e-3):
            words = f"cubic voxels of {grid['spacing']} mm, as grid.spacing says,"
            refuse(name, "grid.affine", grid["affine"], words)


def refuse(name: str | Path, path: str, value: object, words: str, remedy: str = REMEDY) -> NoReturn:
    """Raise InputError that names the model, the path of a key, its value and what was expected in words."""
    raise InputError(f"{name}: {path}: {_shortened.repr(value)} found, {words} expected; {remedy}")


def _arrays(state: Mapping[str, Any], prefix: str = "state") -> Iterator[tuple[str, np.ndarray]]:
    """All arrays of a state with their paths."""
    for key, value in state.items():
        if isinstance(value, dict):
            yield from _arrays(value, f"{prefix}.{key}")
        elif isinstance(value, np.ndarray):
            yield f"{prefix}.{key}", value


def _check_array(array: np.ndarray, name: str | Path, path: str) -> None:
    """Refuse numbers that no training leaves."""
    if array.dtype.kind != "f" or not array.size:
        return
    low, high = float(array.min()), float(array.max())
    if not math.isfinite(low) or not math.isfinite(high):
        raise InputError(
            f"{name}: {path}: numbers that are not finite found, finite ones expected; {DIVERGED}"
        )
    if max(-low, high) > MAX_WEIGHT:
        words = f"numbers up to {MAX_WEIGHT:g}, far above those of trained models,"
        refuse(name, path, max(-low, high), words, DIVERGED)
    if path.endswith("running_var") and low < 0:
        refuse(name, path, low, "variances from 0")


def _is_floating(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _is_map(value: object, grid: Mapping[str, Any]) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and list(value.shape) == grid["shape"]


def _are_weights(value: object) -> bool:
    """True for a network's arrays by name, unless all kernels are 0, which computes the same for every scan."""
    if not isinstance(value, dict) or not all(isinstance(array, np.ndarray) for array in value.values()):
        return False
    kernels = [array for array in value.values() if array.ndim >= 2]
    return any(array.any() for array in kernels)


# Of a value of a state, with the grid of the model: words and test.
KINDS: dict[StateKind, tuple[str, Callable[[Any, Mapping[str, Any]], bool]]] = {
    "array": ("an array of floating-point numbers", lambda value, grid: _is_floating(value)),
    "map": ("an array of floating-point numbers on the model's grid", _is_map),
    "spread": (
        "an array of positive floating-point numbers on the model's grid",
        lambda value, grid: _is_map(value, grid) and bool((value > 0).all()),
    ),
    "weights": ("a network's weights, not all 0,", lambda value, grid: _are_weights(value)),
    "widths": (
        f"whole numbers from 1 to {MAX_WIDTH}",
        lambda value, grid: (
            isinstance(value, list) and bool(value) and all(is_whole(each, 1, MAX_WIDTH) for each in value)
        ),
    ),
    "patch": (
        "a whole number from 2 to the narrower side of a slice",
        lambda value, grid: is_whole(value, 2, min(grid["shape"][:2])),
    ),
    "spacing": (
        "that of the model's grid",
        lambda value, grid: is_number(value) and math.isclose(value, grid["spacing"], rel_tol=1e-3),
    ),
    "seed": ("a whole number from 0", lambda value, grid: is_whole(value, 0)),
    "flag": ("true or false", lambda value, grid: isinstance(value, bool)),
    "number": ("a finite number", lambda value, grid: is_number(value)),
    "positive": ("a positive finite number", lambda value, grid: is_number(value) and value > 0),
    "text": ("text", lambda value, grid: isinstance(value, str)),
    "dictionary": ("a dictionary", lambda value, grid: isinstance(value, dict)),
}


def check_state(
    model: Mapping[str, Any],
    kinds: Mapping[str, StateKind],
    optional: Mapping[str, StateKind],
    name: str | Path,
) -> None:
    """Check the state of a model against what its method declares.

    Args:
        model: As `patch2loc.models.Model`; its state and its grid are looked at.
        kinds: Kind of each value that the state has to have, by key.
        optional: Kind of each value that it may have or lack, or that may be null, by key.
        name: Of the model, for messages.

    Raises:
        InputError: Naming the model, the key, what was found and what was expected.
    """
    state, method = model["state"], model["method"]
    # A method has its maps on the axes that it was trained on.
    shape, axes = model["grid"]["shape"], model["grid"].get("axes", "RAS")
    grid = {**model["grid"], "shape": [shape[axis] for axis in axis_order(axes)]}
    missing = sorted(kinds.keys() - state.keys())
    unknown = sorted(state.keys() - kinds.keys() - optional.keys())
    if missing or unknown:
        raise InputError(
            f"{name}: a state with {', '.join(map(_shortened.repr, sorted(state))) or 'nothing'} found, that of the "
            f"method {method}, with {', '.join(sorted(kinds)) or 'nothing'}, expected; {REMEDY}"
        )
    for key, value in state.items():
        if value is None and key in optional:
            continue
        words, holds = KINDS[kinds[key] if key in kinds else optional[key]]
        if not holds(value, grid):
            refuse(name, f"state.{key}", value, f"{words} for the method {method}")
