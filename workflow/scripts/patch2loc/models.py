"""Models: one safetensors file carries weights, landmarks, grid, configuration and versions."""

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from patch2loc.data.vocabulary import Landmarks, Modality
from patch2loc.data.volumes import AXES, Axes
from patch2loc.errors import InputError
from patch2loc.files import replacing

FORMAT = "patch2loc model 2"
CHECKPOINT_SUFFIX = ".ckpt"
# Names of methods in models of version 0.1, and their names since.
FORMER_METHODS = {
    "patch2loc_dense": "patch2loc_unpadded",
    "patch2loc_robust_dense": "patch2loc_robust_unpadded",
}


class ModelGrid(TypedDict):
    """The voxels that a model was trained on: shape, mm of a voxel, and (4, 4) affine to atlas space.

    A checkpoint of the paper's authors has no affine, because its grid lies elsewhere for every scan, and other axes.
    """

    shape: list[int]
    spacing: float
    affine: NotRequired[list[list[float]]]
    axes: NotRequired[Axes]  # of the arrays that the method was trained on; RAS where it is absent


class Model(TypedDict):
    """All that scoring a scan needs.

    atlas and fold are None in a model from a checkpoint of the paper's authors.  state is the method's own: arrays,
    plain Python values, and dictionaries of these.  contents are the hashes of training and validation scans by subject
    (`data.content`); older models have none.  healthy_threshold is a score that healthy brain stays below.
    """

    method: str
    modality: Modality
    fold: int | None
    atlas: str | None
    preprocess: dict[str, Any]
    preprocess_code: NotRequired[str]
    state: dict[str, Any]
    landmarks: Landmarks
    grid: ModelGrid
    training_subjects: list[str]
    validation_subjects: list[str]
    contents: NotRequired[dict[str, str]]
    provenance: dict[str, Any]
    healthy_threshold: NotRequired[float]


def save_model(path: str | Path, model: Model) -> None:
    """Write a model, whole or not at all; the same model gives the same bytes."""
    plain, arrays = _split(model)
    # One entry only: safetensors gives no order to several.
    data = save(arrays, metadata={FORMAT: json.dumps(plain, sort_keys=True)})
    with replacing(path) as partial:
        partial.write_bytes(data)


def load_model(
    path: str | Path, modality: Modality | None = None, landmarks_path: str | Path | None = None
) -> Model:
    """Read a model without running any code from the file.

    Args:
        path: File of `save_model`, or a .ckpt of the paper's authors
            (`patch2loc.network.lightning.load_checkpoint`).
        modality: Modality of a .ckpt, which does not store it; None for any other file.
        landmarks_path: File of landmarks for a .ckpt; None for any other file.

    Returns:
        The model as it was saved, arrays as numpy's.  Its keys are not checked, but for the axes of its grid.

    Raises:
        InputError: The file is neither, or modality and landmarks do not go with it.
    """
    if Path(path).suffix == CHECKPOINT_SUFFIX:
        # Imported by name so that code_hash does not follow it: no rule reads .ckpt files.
        lightning = import_module("patch2loc.network.lightning")
        return cast(Model, lightning.load_checkpoint(path, modality, landmarks_path))
    if modality or landmarks_path:
        raise InputError(
            f"{path}: a model of the workflow has its own modality and landmarks; leave them out, or give a "
            f"{CHECKPOINT_SUFFIX} of the paper's authors"
        )
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; a model from the workflow was expected there")
    try:
        with safe_open(path, framework="numpy") as stored:
            header = stored.metadata() or {}
            arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (SafetensorError, TypeError, AttributeError) as error:  # the latter: number types unknown to numpy
        raise InputError(f"{path}: not a readable model ({error}); train it again or get it again") from error
    if FORMAT not in header:
        raise InputError(f"{path}: not a model of this workflow; expected a file with format {FORMAT!r}")
    try:
        model = _join(json.loads(header[FORMAT]), arrays)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(
            f"{path}: a model whose description is damaged or does not fit its arrays found ({error}), one from the "
            "workflow expected; train it again or get it again"
        ) from error
    grid = model.get("grid")
    if isinstance(grid, dict) and grid.get("axes", "RAS") not in AXES:
        raise InputError(
            f"{path}: a grid with the axes {grid['axes']!r} found, one of {', '.join(AXES)} expected; write the model "
            "again"
        )
    for former, name in FORMER_METHODS.items():
        if model.get("method") == former:
            model["method"] = name
    return cast(Model, model)


def check_common_grid(model: Mapping[str, Any], name: str | Path) -> None:
    """Raise InputError, naming the model, unless it was trained on arrays as a run's: cropped at one place, RAS."""
    crop, axes = model["preprocess"].get("crop", "atlas"), model["grid"].get("axes", "RAS")
    if (crop, axes) != ("atlas", "RAS"):
        raise InputError(
            f"{name}: a model of scans with the crop {crop!r} and the axes {axes} found, the crop 'atlas' and the axes "
            "RAS of a run's scans expected; score scans one by one with it (python -m patch2loc score)"
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
            arrays[f"{prefix}{key}"] = np.ascontiguousarray(value)
        else:
            plain[key] = value
    return plain, arrays


def _join(plain: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The inverse of `_split`; TypeError and KeyError where the two do not fit."""
    if not isinstance(plain, dict):
        raise TypeError(f"{type(plain).__name__} instead of dict")
    for name, array in arrays.items():
        *parents, key = name.split("/")
        place = plain
        for parent in parents:
            place = place[parent]
        place[key] = array
    return plain
