"""Models: one file carries weights, landmarks, grid, configuration and versions (weights-only torch)."""

import io
from pathlib import Path
from typing import Any

import torch

from patch2loc.errors import InputError
from patch2loc.files import replacing

FORMAT = "patch2loc model 1"


def save_model(path: str | Path, model: dict[str, Any]) -> None:
    """Write a model, whole or not at all; the same model gives the same bytes.

    model: method, modality, fold, state, landmarks, grid, patch, subjects, configuration, provenance: tensors and
    plain Python values only.
    """
    # Written through memory: torch names the archive inside after the file, and the file is temporary.
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **model}, buffer)
    with replacing(path) as partial:
        partial.write_bytes(buffer.getvalue())


def load_model(path: str | Path) -> dict[str, Any]:
    """Read a model on the CPU without running any code from the file; InputError for anything else."""
    try:
        model = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; a model from the workflow was expected there") from error
    except Exception as error:
        raise InputError(f"{path}: not a readable model ({error}); train it again or get it again") from error
    if not isinstance(model, dict) or model.get("format") != FORMAT:
        raise InputError(f"{path}: not a model of this workflow; expected a file with format {FORMAT!r}")
    return model
