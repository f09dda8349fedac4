"""Models: one safetensors file carries weights, landmarks, grid, configuration and versions, and its own checksum."""

import hashlib
import json
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NotRequired, TypedDict, TypeVar, cast

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from patch2loc.data.axes import AXES_OF_SLICES, Axes
from patch2loc.data.modalities import Modality
from patch2loc.data.vocabulary import Landmarks
from patch2loc.errors import InputError
from patch2loc.files import replacing
from patch2loc.method_interface import Method, declaration, is_outside, method, methods_of_the_package
from patch2loc.model_schema import check_content, check_state

FORMAT_NAME = "patch2loc model"
FORMAT = f"{FORMAT_NAME} 3"
CHECKPOINT_SUFFIX = ".ckpt"
CHECKSUM = "checksum"
# Errors of a method of the package that is given a state of another one.  Their subclasses say something else, such as
# that a GPU is out of memory.
UNFIT_STATE = (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError, ZeroDivisionError)
Ready = TypeVar("Ready")


class ModelGrid(TypedDict):
    """The voxels that a model was trained on: shape, mm of a voxel, and (4, 4) affine to atlas space.

    A model of scans with the crop `brain` has no affine, because its grid lies elsewhere for every scan; a checkpoint
    of the paper's authors is one, and has other axes.
    """

    shape: list[int]
    spacing: float
    affine: NotRequired[list[list[float]]]
    axes: NotRequired[Axes]  # of the arrays that the method was trained on; RAS where it is absent


class Model(TypedDict):
    """All that scoring a scan needs; `patch2loc.model_schema` has the bounds of each value.

    atlas and fold are None in a model from a checkpoint of the paper's authors.  state is the method's own: arrays,
    plain Python values, and dictionaries of these.  healthy_threshold is a score that healthy brain stays below.
    preprocess_version is that of the numbers of its training scans (`preprocess.version`), simulated tells of these.
    reference is what healthy scans score (`score.reference.to_model`): a model with it is a detector.
    contents has a hash of each training and validation scan by subject (`data.content`).  checksum is that of all the
    rest (`sealed`).
    """

    method: str
    modality: Modality
    fold: int | None
    atlas: str | None
    preprocess: dict[str, Any]
    preprocess_version: NotRequired[int]
    simulated: NotRequired[bool]
    state: dict[str, Any]
    landmarks: Landmarks
    grid: ModelGrid
    training_subjects: list[str]
    validation_subjects: list[str]
    contents: NotRequired[dict[str, str]]
    provenance: dict[str, Any]
    healthy_threshold: NotRequired[float]
    reference: NotRequired[dict[str, Any]]
    checksum: NotRequired[str]


def sealed(model: Model) -> Model:
    """The model with the checksum of what it holds now; for one that was changed on purpose."""
    return cast(Model, {**model, CHECKSUM: _checksum(model)})


def save_model(path: str | Path, model: Model) -> None:
    """Write a model, whole or not at all; the same model gives the same bytes.

    A model without a checksum is sealed.  One that has its checksum keeps it, so that one that was changed since is
    found when it is read: `sealed` says that the change is on purpose.
    """
    plain, arrays = _split(model if CHECKSUM in model else sealed(model))
    # One entry only: safetensors gives no order to several.
    data = save(arrays, metadata={FORMAT: json.dumps(plain, sort_keys=True)})
    with replacing(path) as partial:
        partial.write_bytes(data)


def load_model(
    path: str | Path,
    modality: Modality | None = None,
    landmarks_path: str | Path | None = None,
    *,
    method: str | None = None,
) -> Model:
    """Read a model without running any code from the file, or that only the file names.

    Args:
        path: File of `save_model`, or a .ckpt of the paper's authors
            (`patch2loc.network.lightning.load_checkpoint`).
        modality: Modality of a .ckpt, which does not store it; None for any other file.
        landmarks_path: File of landmarks for a .ckpt; None for any other file.
        method: Method that the model has to be of; None for any method of the package.  A model of a method from
            outside is read only if it is named here: its module is code, and nothing that a file names is run.

    Returns:
        The model as it was saved, arrays as numpy's.

    Raises:
        InputError: The file is neither, it is not as it was saved, a value in it is not what
            `patch2loc.model_schema` expects, its method is another one, or modality and landmarks do not go with it.
    """
    if Path(path).suffix == CHECKPOINT_SUFFIX:
        # Imported by name so that code_hash does not follow it: no rule reads .ckpt files.
        lightning = import_module("patch2loc.network.lightning")
        model = cast(Model, lightning.load_checkpoint(path, modality, landmarks_path))
    elif modality or landmarks_path:
        raise InputError(
            f"{path}: a model of the workflow has its own modality and landmarks; leave them out, or give a "
            f"{CHECKPOINT_SUFFIX} of the paper's authors"
        )
    else:
        model = cast(Model, _read(path))
    check_content(model, path)
    _check_method(model["method"], method, path)
    return model


def _read(path: str | Path) -> dict[str, Any]:
    """The content of a file of `save_model`, held against its checksum."""
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; a model from the workflow was expected there")
    try:
        with safe_open(path, framework="numpy") as stored:
            header = stored.metadata() or {}
            arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (SafetensorError, TypeError, AttributeError) as error:  # the latter: number types unknown to numpy
        raise InputError(f"{path}: not a readable model ({error}); train it again or get it again") from error
    if FORMAT not in header:
        former = next((key for key in header if key.startswith(FORMAT_NAME)), None)
        if former:
            raise InputError(
                f"{path}: a file with format {former[:30]!r} found, one with format {FORMAT!r} expected; train it "
                "again with this version"
            )
        raise InputError(f"{path}: not a model of this workflow; expected a file with format {FORMAT!r}")
    try:
        model = _join(json.loads(header[FORMAT]), arrays)
        checksum = _checksum(model)
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise InputError(
            f"{path}: a model whose description is damaged or does not fit its arrays found ({error}), one from the "
            "workflow expected; train it again or get it again"
        ) from error
    if model.get(CHECKSUM) != checksum:
        raise InputError(
            f"{path}: content that does not match its checksum found, damaged or changed after training, a model as "
            "it was trained expected; train it again or get it again (patch2loc.models.sealed is for changes on "
            "purpose)"
        )
    return model


def _check_method(found: str, expected: str | None, path: str | Path) -> None:
    """Raise InputError unless the method of a model is the expected one, or of the package where none is expected."""
    if expected is not None and found != expected:
        raise InputError(
            f"{path}: a model of the method {found!r} found, one of {expected!r} expected; give a model of that "
            "method, or train it again"
        )
    methods = methods_of_the_package()
    if expected is not None or found in methods:
        return
    if all(part.isidentifier() for part in found.split(".")) and is_outside(found):
        raise InputError(
            f"{path}: a model of the method {found!r} found, one of this package expected: a module that only a model "
            f"names is not run; if you know that module and trust it, name it yourself (--method {found}, or "
            f"load_model(path, method={found!r}))"
        )
    raise InputError(
        f"{path}: a model of the method {found!r} found, one of {', '.join(methods)} expected; get the file again"
    )


def check_origin(model: Model, name: str | Path, *, modality: str, fold: int | None) -> None:
    """Raise InputError, naming the model, unless it was trained on scans of a modality and in a fold."""
    found = (model["modality"], model["fold"])
    if found != (modality, fold):
        raise InputError(
            f"{name}: a model of {found[0]} and fold {found[1]} found, of {modality} and fold {fold} expected; "
            "remove the file, so that it is trained again"
        )


def from_state(model: Mapping[str, Any], name: str | Path, make: Callable[[Method], Ready]) -> Ready:
    """What a model's method makes of its state.

    Args:
        model: From `load_model`.
        name: Of the model, for messages: its file.
        make: From the method's module to what it makes, such as its scorer.

    Raises:
        InputError: Naming the model: its state is not what the method declares, or the method cannot use it.  Errors of
            a method from outside the package are its own and go through.
    """
    module = method(model["method"])
    declared = declaration(model["method"])
    if declared.state is not None:
        check_state(model, declared.state, declared.optional_state, name)
    try:
        return make(module)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    except Exception as error:
        if is_outside(model["method"]) or type(error) not in UNFIT_STATE:
            raise
        raise InputError(
            f"{name}: a state that the method {model['method']} cannot use found ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:300]}), one of its own training expected; train it again or get it again"
        ) from error


def check_common_grid(model: Mapping[str, Any], name: str | Path) -> None:
    """Raise InputError, naming the model, unless it was trained on arrays as a run's: no flips."""
    axes = model["grid"].get("axes", "RAS")
    if axes not in AXES_OF_SLICES.values():
        raise InputError(
            f"{name}: a model of scans with the axes {axes} found, the axes {', '.join(AXES_OF_SLICES.values())} of a "
            "run's scans expected; score scans one by one with it (patch2loc score)"
        )


def _split(
    content: Mapping[str, object], prefix: str = ""
) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """Separate plain values, in their nesting, from arrays, by the keys that lead to them, joined by "/"."""
    plain: dict[str, object] = {}
    arrays: dict[str, np.ndarray] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            plain[key], inner = _split(value, f"{prefix}{key}/")
            arrays |= inner
        elif isinstance(value, np.ndarray):
            arrays[f"{prefix}{key}"] = np.asarray(value, order="C")
        else:
            plain[key] = value
    return plain, arrays


def _join(plain: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The inverse of `_split`; TypeError, KeyError and IndexError where the two do not fit."""
    if not isinstance(plain, dict):
        raise TypeError(f"{type(plain).__name__} instead of dict")
    for name, array in arrays.items():
        *parents, key = name.split("/")
        place = plain
        for parent in parents:
            place = place[parent]
        place[key] = array
    return plain


def _checksum(model: Mapping[str, Any]) -> str:
    """SHA-256, hexadecimal, of all that a model holds but its checksum: values, and arrays with their types."""
    plain, arrays = _split({key: value for key, value in model.items() if key != CHECKSUM})
    # Twice, as keys that are numbers are texts in the file, and in another order.
    text = json.dumps(json.loads(json.dumps(plain)), sort_keys=True)
    digest = hashlib.sha256(text.encode())
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
