"""Fit a method to healthy scans: from preprocessed scans to one self-describing model file."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from patch2loc.data.scans import Scan
from patch2loc.data.volumes import read
from patch2loc.files import read_json, write_csv
from patch2loc.method_interface import method
from patch2loc.models import load_model, save_model
from patch2loc.provenance.record import describe, digest, write_sidecar
from patch2loc.standardize import StandardizedScans

# Of a method that is not trained in steps; the columns of `patch2loc.network.training.train`.
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
    pretrained: Mapping[str, str | Path] | None = None,
    published: Mapping[str, Mapping[str, str]] | None = None,
    models: Mapping[str, str | Path] | None = None,
) -> None:
    """Fit a method and write its model and history.

    settings: what the method depends on (`methods.complete`, and numbers of the run).  about: modality and fold, and
    what is needed to bring another scan to the model's grid: atlas and preprocess settings.
    threads: that read scans.
    pretrained: files of the weights that the method can use and that are given, {name: path}; the method finds in
    settings["pretrained"] all that it can use, None where not given.  published: their rows of the registry by name.
    models: files of the models of other methods that it needs, {method: path}; it finds their states in
    settings["models"].  The provenance has the weights by their SHA-256, wherever they lie.
    A killed fit goes on from the checkpoint beside the model, if code, settings and scans are still the same.
    """
    module, landmarks = method(name), read_json(landmarks_path)
    inputs = [
        landmarks_path,
        *(models or {}).values(),
        *(path for scan in (*training, *validation) for path in (scan.volume, scan.mask)),
    ]
    subjects = [scan.subject for scan in (*training, *validation)]
    known, given = dict(settings), dict(settings)
    if usable := getattr(module, "PRETRAINED", ()):
        given["pretrained"] = {each: (pretrained or {}).get(each) for each in usable}
        known["pretrained"] = {
            each: path and digest(path, published[each]) for each, path in given["pretrained"].items()
        }
    if models:
        given["models"] = {each: load_model(path)["state"] for each, path in models.items()}
    provenance = describe(code, inputs, {**known, "method": name, **about}, subjects)
    folder = Path(model_path).parent
    checkpoint = folder / f"checkpoint-{_key(provenance, device)}.pt"
    for stale in set(folder.glob("checkpoint-*.pt")) - {checkpoint}:
        stale.unlink()
    state, history = module.fit(
        StandardizedScans(training, landmarks, threads),
        StandardizedScans(validation, landmarks, threads),
        given,
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
