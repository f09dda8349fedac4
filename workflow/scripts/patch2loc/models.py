"""Models: one safetensors file carries weights, landmarks, grid, configuration and versions."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from patch2loc.errors import InputError
from patch2loc.files import replacing

FORMAT = "patch2loc model 2"
CHECKPOINT_SUFFIX = ".ckpt"


def save_model(path: str | Path, model: dict[str, Any]) -> None:
    """Write a model, whole or not at all; the same model gives the same bytes.

    model: method, modality, fold, state, landmarks, grid, patch, subjects, configuration, provenance: arrays, plain
    Python values, and dictionaries of these.
    """
    plain, arrays = _split(model)
    # One entry only: safetensors gives no order to several.
    data = save(arrays, metadata={FORMAT: json.dumps(plain, sort_keys=True)})
    with replacing(path) as partial:
        partial.write_bytes(data)


def load_model(
    path: str | Path, modality: str | None = None, landmarks: str | Path | None = None
) -> dict[str, Any]:
    """Read a model as `save_model` was given it, arrays as numpy's, without running any code from the file.

    A .ckpt is read as a checkpoint of the paper's authors (`patch2loc.network.lightning.load_checkpoint`); modality
    and landmarks are given for it alone.
    Raises InputError for anything else.
    """
    if Path(path).suffix == CHECKPOINT_SUFFIX:
        # By name, as methods are: no rule takes this way, so none is to run again for an edit there.
        return import_module("patch2loc.network.lightning").load_checkpoint(path, modality, landmarks)
    if modality or landmarks:
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
        return _join(json.loads(header[FORMAT]), arrays)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(
            f"{path}: a model whose description is damaged or does not fit its arrays found ({error}), one from the "
            "workflow expected; train it again or get it again"
        ) from error


def _split(model: dict[str, Any], prefix: str = "") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Plain values with their nesting, and arrays under the keys that lead to them, joined by "/"."""
    plain, arrays = {}, {}
    for key, value in model.items():
        if isinstance(value, dict):
            plain[key], inner = _split(value, f"{prefix}{key}/")
            arrays |= inner
        elif isinstance(value, np.ndarray):
            arrays[f"{prefix}{key}"] = np.ascontiguousarray(value)
        else:
            plain[key] = value
    return plain, arrays


def _join(plain: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    if not isinstance(plain, dict):
        raise TypeError(f"{type(plain).__name__} instead of dict")
    for name, array in arrays.items():
        *folders, key = name.split("/")
        place = plain
        for folder in folders:
            place = place[folder]
        place[key] = array
    return plain
