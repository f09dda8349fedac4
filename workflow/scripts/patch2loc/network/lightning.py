"""Checkpoints of PyTorch Lightning, as the paper's authors write them: the weights and nothing else of the file.

Such a file knows neither landmarks nor modality, and its training is that of the released code on the paper's grid.
"""

import sys
from _compat_pickle import IMPORT_MAPPING
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from patch2loc.errors import InputError
from patch2loc.files import read_json
from patch2loc.network.location import PAPER_WIDTHS, LocationNetwork

PREFIX = "model."
PATCH = 24
GRID = {"shape": [192, 192, 100], "spacing": 1.0}
PROTOCOL = "released-code"
# Modules of Python whose classes only hold values. What else a file names of Python's own can act.
PLAIN_MODULES = {"argparse", "collections", "datetime", "enum", "functools", "pathlib", "types"}
SHOWN = 3


class _StandIn:
    """Takes the place of an object of a class that a file names: the class is not imported, the values are dropped."""

    def __new__(cls, *_: object) -> "_StandIn":
        return super().__new__(cls)

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def load_checkpoint(path: str | Path, modality: str | None, landmarks: str | Path | None) -> dict[str, Any]:
    """Read a Lightning checkpoint of the published network as a model, without running any code from the file.

    path: a zip file as torch.save writes it, with the parameters of `LocationNetwork` behind "model." in its
    state_dict.  modality: "T1" or "T2", which the file does not say.  landmarks: as for `read_landmarks`.
    The model has no atlas and its grid no affine: both are those of SRI24, which has to be at hand for scoring.
    Raises InputError for a file that is none, and for parameters that are missing, unknown or of another shape.
    """
    if modality not in ("T1", "T2") or landmarks is None:
        raise InputError(
            f"{path}: a checkpoint tells neither its modality nor its landmarks; give both (--modality T1 or T2, "
            "--landmarks FILE)"
        )
    weights = read_weights(path)
    scale = read_landmarks(landmarks)
    if scale.setdefault("protocol", PROTOCOL) != PROTOCOL:
        raise InputError(
            f"{landmarks}: landmarks of scans preprocessed by the protocol {scale['protocol']} found, {PROTOCOL} "
            f"expected, by which published weights were trained; fit them with preprocess: {{protocol: {PROTOCOL}}}"
        )
    return {
        "method": "patch2loc",
        "modality": modality,
        "fold": None,
        "atlas": None,
        "preprocess": {"registration": "affine", "protocol": PROTOCOL},
        "state": {"weights": weights, "widths": list(PAPER_WIDTHS), "patch": PATCH},
        "landmarks": scale,
        "grid": GRID | {"shape": list(GRID["shape"])},
        "training_subjects": [],
        "validation_subjects": [],
        "provenance": {},
    }


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """The parameters and buffers of a checkpoint by the names of `LocationNetwork`, float32 and int64.

    What is not behind "model." is left out.  Raises InputError as `load_checkpoint` does.
    """
    stored = _as_data(Path(path)).get("state_dict")
    if not isinstance(stored, dict):
        raise InputError(f"{path}: no state_dict found, a checkpoint of PyTorch Lightning expected")
    found = {
        name.removeprefix(PREFIX): value
        for name, value in stored.items()
        if isinstance(name, str) and name.startswith(PREFIX)
    }
    with torch.device("meta"):  # names and shapes alone
        expected = LocationNetwork(PAPER_WIDTHS).state_dict()
    missing, unknown = [sorted(a.keys() - b.keys()) for a, b in ((expected, found), (found, expected))]
    problems = []
    if missing:
        problems.append(f"without {_some(missing)}")
    if unknown:
        problems.append(f"with {_some(unknown)}, which the network does not have")
    for name in sorted(expected.keys() & found.keys()):
        value, shape = found[name], tuple(expected[name].shape)
        if not isinstance(value, torch.Tensor):
            problems.append(f"{PREFIX}{name} is no tensor")
        elif tuple(value.shape) != shape:
            problems.append(f"{PREFIX}{name} has the shape {tuple(value.shape)} instead of {shape}")
        elif not torch.isfinite(value).all():
            problems.append(f"{PREFIX}{name} has values that are not finite")
    if problems:
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise InputError(
            f"{path}: not the weights of the published network ({'; '.join(problems[:SHOWN])}{more}); get the file "
            "again, or one of this network"
        )
    return {name: found[name].detach().to(value.dtype).numpy() for name, value in expected.items()}


def read_landmarks(path: str | Path) -> dict[str, Any]:
    """Nyul landmarks: percentiles (n,) and standard_scale (n,).

    path: landmarks/{modality}/fold{n}.json of the workflow, or an .npy of intensity-normalization's
    `save_standard_histogram`: two rows, the standard scale and the percentiles.
    Raises InputError when it is neither, or does not increase.
    """
    path = Path(path)
    try:
        if path.suffix == ".npy":
            scale, percentiles = np.load(path, allow_pickle=False).astype(float).tolist()
            landmarks = {"percentiles": percentiles, "standard_scale": scale}
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
    if not (np.diff(rows[1]) > 0).all():
        raise InputError(
            f"{path}: a standard scale of {np.round(rows[1], 4).tolist()} found, increasing numbers expected; one that "
            "starts with equal values was fitted with the background and would make much of a brain one gray: fit "
            "landmarks in brain masks"
        )
    return landmarks


def _as_data(path: Path) -> dict[str, Any]:
    """The dictionary that torch.save wrote, with stand-ins for all that is neither plain values nor tensors."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; a checkpoint was expected there")
    try:
        named = get_unsafe_globals_in_checkpoint(str(path))
        acting = sorted(name for name in named if _acts(name))
        if not acting:
            # A class each, as torch keeps them by name.
            stand_ins = [(type("StandIn", (_StandIn,), {}), name) for name in named]
            with safe_globals(stand_ins):
                stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        said = str(error).strip().splitlines()
        raise InputError(
            f"{path}: not a readable checkpoint ({said[0] if said else type(error).__name__}), one that torch.save "
            "wrote expected; get it again"
        ) from error
    if acting:
        raise InputError(
            f"{path}: reading it would call {', '.join(acting)}, which no weights need; nothing was run; do not use "
            "the file unless you know who made it"
        )
    if not isinstance(stored, dict):
        raise InputError(f"{path}: no dictionary found, a checkpoint of PyTorch Lightning expected")
    return stored


def _acts(name: str) -> bool:
    """Whether a name is of Python's own library, and not of a module that only holds values."""
    module = name.split(".")[0]
    module = IMPORT_MAPPING.get(module, module)  # pickles may have the names of Python 2
    return module in sys.stdlib_module_names and module not in PLAIN_MODULES


def _some(names: list[str]) -> str:
    listed = ", ".join(f"{PREFIX}{name}" for name in names[:SHOWN])
    return f"{listed} and {len(names) - SHOWN} more" if len(names) > SHOWN else listed
