"""Checkpoints of PyTorch Lightning, as the paper's authors write them: the weights and nothing else of the file.

The file stores neither landmarks nor modality; its training is that of the released code, whose conventions for axes,
crop and epsilon are in the model that is made of it.
"""

import sys
from _compat_pickle import IMPORT_MAPPING
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from patch2loc.data.axes import Axes
from patch2loc.data.modalities import MODALITIES, Modality
from patch2loc.data.vocabulary import Landmarks, Scale
from patch2loc.engine.weights import first, mismatches
from patch2loc.errors import InputError
from patch2loc.files import read_json
from patch2loc.network.location import PAPER_WIDTHS, LocationNetwork

PREFIX = "model."
PATCH = 24
SHAPE, SPACING = (192, 192, 100), 1.0  # of the released code's grid: voxels, mm
AXES: Axes = "LPS"  # of its arrays
PREPROCESSING = {
    **{"registration": "affine", "template": "T1", "crop": "brain"},
    **{"brain_mask": "any", "bias_field": "full", "smoothing": "curvature-flow"},
}
SCALE: Scale = "range"
EPSILON = 1e-10  # percent squared, in its heatmaps; 0.5 in its patch analysis
# Modules of Python whose classes only hold values.  All else that a file names of Python's own can execute code.
PLAIN_MODULES = {"argparse", "collections", "datetime", "enum", "functools", "pathlib", "types"}


class _StandIn:
    """Replaces an object of a class that a file names: the class is not imported, the values are dropped."""

    def __new__(cls, *_: object) -> "_StandIn":
        return super().__new__(cls)

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def load_checkpoint(
    path: str | Path, modality: Modality | None, landmarks_path: str | Path | None
) -> dict[str, Any]:
    """Read a Lightning checkpoint of the paper's network as a model, without running any code from the file.

    Args:
        path: A zip file as torch.save writes it, with the parameters of `LocationNetwork` behind "model." in its
            state_dict.
        modality: Modality of its training scans, which the file does not store.
        landmarks_path: See `read_landmarks`.

    Returns:
        The keys of `patch2loc.models.Model`.  The atlas is None: it is SRI24, which has to be at hand for scoring.  The
        grid has no affine, because the released code crops every scan around its own brain.

    Raises:
        InputError: The file is no checkpoint, or parameters are missing, unknown or of another shape.
    """
    if modality not in MODALITIES or landmarks_path is None:
        raise InputError(
            f"{path}: a checkpoint stores neither its modality nor its landmarks; give both (--modality "
            f"{'|'.join(MODALITIES)}, --landmarks FILE)"
        )
    weights = read_weights(path)
    landmarks = read_landmarks(landmarks_path)
    if landmarks.setdefault("scale", SCALE) != SCALE:
        raise InputError(
            f"{landmarks_path}: landmarks of the scale {landmarks['scale']} found, {SCALE} expected, by which "
            "published weights were trained; fit them with config/released_code.yaml on top of the configuration"
        )
    return {
        "method": "patch2loc",
        "modality": modality,
        "fold": None,
        "atlas": None,
        "preprocess": dict(PREPROCESSING),
        "state": {
            "weights": weights,
            "widths": list(PAPER_WIDTHS),
            "patch": PATCH,
            "epsilon": EPSILON,
        },
        "landmarks": landmarks,
        "grid": {"shape": list(SHAPE), "spacing": SPACING, "axes": AXES},
        "training_subjects": [],
        "validation_subjects": [],
        "provenance": {},
    }


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Read the parameters and buffers of a checkpoint by the names of `LocationNetwork`, float32 and int64.

    Anything not behind "model." is left out.

    Raises:
        InputError: See `load_checkpoint`.
    """
    stored = _as_data(Path(path)).get("state_dict")
    if not isinstance(stored, dict):
        raise InputError(f"{path}: no state_dict found, a checkpoint of PyTorch Lightning expected")
    parameters = {
        name.removeprefix(PREFIX): value
        for name, value in stored.items()
        if isinstance(name, str) and name.startswith(PREFIX)
    }
    with torch.device("meta"):  # names and shapes alone
        expected = LocationNetwork(PAPER_WIDTHS).state_dict()
    problems = [
        f"{PREFIX}{name} is no tensor"
        for name in expected
        if name in parameters and not isinstance(parameters[name], torch.Tensor)
    ] or mismatches(parameters, expected, PREFIX)
    problems = problems or [
        f"{PREFIX}{name} has values that are not finite"
        for name in expected
        if not torch.isfinite(parameters[name]).all()
    ]
    if problems:
        raise InputError(
            f"{path}: not the weights of the paper's network ({first(problems)}); get the file again, or one of this "
            "network"
        )
    return {name: parameters[name].detach().to(value.dtype).numpy() for name, value in expected.items()}


def read_landmarks(path: str | Path) -> Landmarks:
    """Read intensity landmarks (Nyul et al. 2000).

    Args:
        path: File landmarks/{modality}/fold{n}.json of the workflow, or an .npy of intensity-normalization's
            `save_standard_histogram`: two rows, the standard scale and the percentiles.

    Raises:
        InputError: The file is neither, or its numbers do not increase.
    """
    path = Path(path)
    try:
        if path.suffix == ".npy":
            scale, percentiles = np.load(path, allow_pickle=False).astype(float).tolist()
            landmarks: Landmarks = {"percentiles": percentiles, "standard_scale": scale}
        else:
            landmarks = read_json(path)
            percentiles, scale = landmarks["percentiles"], landmarks["standard_scale"]
        rows = np.array([percentiles, scale], float)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; landmarks were expected there") from error
    except Exception as error:
        raise InputError(
            f"{path}: no landmarks found ({type(error).__name__}: {error}); landmarks/T1/fold0.json of the workflow "
            "expected, or the .npy of intensity-normalization's save_standard_histogram"
        ) from error
    if rows.ndim != 2 or rows.shape[1] < 2 or not np.isfinite(rows).all() or not (np.diff(rows[0]) > 0).all():
        raise InputError(f"{path}: percentiles {percentiles} found, increasing numbers expected")
    if rows[0][0] < 0 or rows[0][-1] > 100:
        raise InputError(
            f"{path}: percentiles {percentiles} found, numbers from 0 to 100 expected; fit them again"
        )
    if not (np.diff(rows[1]) > 0).all() and not landmarks.get("background"):
        as_released = f"write {sorted(landmarks)} as .json with" if path.suffix == ".npy" else "add"
        raise InputError(
            f"{path}: a standard scale of {np.round(rows[1], 4).tolist()} found, increasing numbers expected; one that "
            "starts with equal values was fitted with the background and would make much of a brain one gray: fit "
            f'landmarks in brain masks, or, to apply them as the released code does, {as_released} "background": true'
        )
    return landmarks


def _as_data(path: Path) -> dict[str, Any]:
    """Read the dictionary that torch.save wrote, with stand-ins for all that is neither plain values nor tensors."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; a checkpoint was expected there")
    try:
        class_names = get_unsafe_globals_in_checkpoint(str(path))
        executable = sorted(name for name in class_names if _is_executable(name))
        if not executable:
            # A class each, as torch keeps them by name.
            stand_ins: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
                (type("StandIn", (_StandIn,), {}), name) for name in class_names
            ]
            with safe_globals(stand_ins):
                stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        lines = str(error).strip().splitlines()
        raise InputError(
            f"{path}: not a readable checkpoint ({lines[0] if lines else type(error).__name__}), one that torch.save "
            "wrote expected; get it again"
        ) from error
    if executable:
        raise InputError(
            f"{path}: reading it would call {', '.join(executable)}, which no weights need; nothing was run; do not "
            "use the file unless you know who made it"
        )
    if not isinstance(stored, dict):
        raise InputError(f"{path}: no dictionary found, a checkpoint of PyTorch Lightning expected")
    return stored


def _is_executable(name: str) -> bool:
    """True for a name of Python's own library, unless its module only holds values."""
    module = name.split(".")[0]
    module = IMPORT_MAPPING.get(module, module)  # pickles may have the names of Python 2
    return module in sys.stdlib_module_names and module not in PLAIN_MODULES
