"""Fit a method to healthy scans: from preprocessed scans to one self-describing model file."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from patch2loc.files import read_json, write_csv
from patch2loc.methods import method
from patch2loc.models import save_model
from patch2loc.provenance import describe, write_sidecar
from patch2loc.scans import Scan
from patch2loc.standardize import StandardisedScans
from patch2loc.volumes import read

# Of a method that is not trained in steps; the columns of `patch2loc.train.train`.
NO_HISTORY = (
    "step",
    "patches",
    "training_loss",
    "validation_loss",
    "validation_error",
    "validation_error_mm",
    "validation_log_variance",
    "learning_rate",
    "patches_per_second",
)


def fit_model(
    name: str,
    training: Sequence[Scan],
    validation: Sequence[Scan],
    landmarks_path: str | Path,
    settings: dict[str, Any],
    about: dict[str, Any],
    code: str,
    device: str,
    model_path: str | Path,
    history_path: str | Path,
    threads: int = 1,
) -> None:
    """Fit a method and write its model and history.

    settings: what the method depends on (`methods.complete`, and numbers of the run).  about: modality and fold, and
    what is needed to bring another scan to the model's grid: atlas and preprocess settings.
    threads: that read scans.
    A killed fit goes on from the checkpoint beside the model, if code, settings and scans are still the same.
    """
    landmarks = read_json(landmarks_path)
    inputs = [
        landmarks_path,
        *(path for scan in (*training, *validation) for path in (scan.volume, scan.mask)),
    ]
    subjects = [scan.subject for scan in (*training, *validation)]
    provenance = describe(code, inputs, {**settings, "method": name, **about}, subjects)
    folder = Path(model_path).parent
    checkpoint = folder / f"checkpoint-{_key(provenance, device)}.pt"
    for stale in set(folder.glob("checkpoint-*.pt")) - {checkpoint}:
        stale.unlink()
    state, history = method(name).fit(
        StandardisedScans(training, landmarks, threads),
        StandardisedScans(validation, landmarks, threads),
        settings,
        checkpoint,
        device,
    )
    volume, affine = read(training[0].volume)
    model = {
        "method": name,
        **about,
        "state": state,
        "landmarks": landmarks,
        "grid": {
            "shape": list(volume.shape),
            "spacing": float(np.linalg.norm(affine[:3, 0])),
            "affine": affine.tolist(),
        },
        "training_subjects": [scan.subject for scan in training],
        "validation_subjects": [scan.subject for scan in validation],
        "provenance": provenance,
    }
    write_csv(history_path, pd.DataFrame(columns=NO_HISTORY) if history is None else history)
    save_model(model_path, model)
    write_sidecar(model_path, provenance)


def _key(provenance: dict[str, Any], device: str) -> str:
    """Names what a checkpoint depends on: nothing else may go on from it."""
    text = json.dumps([provenance, device], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
