"""Stage train: from preprocessed healthy scans to one self-describing model file."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd

from patch2loc.data.axes import AXES_OF_SLICES, Axes, Orientation
from patch2loc.data.modalities import Modality
from patch2loc.data.scans import Scan, refuse_fitted_scans
from patch2loc.data.volumes import read, reoriented
from patch2loc.engine.choices import Device
from patch2loc.engine.device import repeatable
from patch2loc.errors import InputError
from patch2loc.files import read_json, write_csv
from patch2loc.method_interface import State, Volumes, declaration, method
from patch2loc.model_schema import check_content
from patch2loc.models import Model, check_origin, from_state, load_model, save_model, sealed
from patch2loc.provenance.record import Description, describe, digest, write_sidecar
from patch2loc.standardize import StandardizedScans

# Columns of an empty history, of a method that is not trained in steps: those of `patch2loc.network.training.train`.
HISTORY_COLUMNS = (
    "step",
    "patches",
    "training_loss",
    "validation_loss",
    "validation_nll",
    "validation_error",
    "validation_error_mm",
    "validation_log_variance",
    "learning_rate",
    "patches_per_second",
)


@dataclass(frozen=True)
class FitJob:
    """A method to fit, and all that the fit depends on besides the scans.

    Attributes:
        method: Name of the method.
        modality: Modality of the scans.
        fold: Number of the split.
        settings: What the method depends on (`configuration.method_settings`), and numbers of the run.
        preprocessing: What is needed to bring another scan to the model's grid: atlas, preprocess, preprocess_version;
            and simulated, True for simulated scans.
        code: Hash of the code behind the training.
        device: Device that the method computes on.
        orientation: Slices that the method sees.
    """

    method: str
    modality: Modality
    fold: int
    settings: Mapping[str, Any]
    preprocessing: Mapping[str, Any]
    code: str
    device: Device
    orientation: Orientation = "axial"


@dataclass(frozen=True)
class PretrainedWeights:
    """A file of weights from elsewhere, and its row of the registry: file, url, checksum."""

    path: str | Path
    registry_row: Mapping[str, str]


class FittedModel(NamedTuple):
    """A model and the history of its training, a row for each validation."""

    model: Model
    history: pd.DataFrame


def fit_model(
    job: FitJob,
    *,
    training: Sequence[Scan],
    validation: Sequence[Scan],
    landmarks_path: str | Path,
    checkpoint_folder: str | Path,
    sites: Mapping[str, str] | None = None,
    weights: Mapping[str, PretrainedWeights] | None = None,
    needed_models: Mapping[str, str | Path] | None = None,
    threads: int = 1,
) -> FittedModel:
    """Fit a method to healthy scans.

    A killed fit goes on from its checkpoint if code, settings and scans are still the same.  The provenance records
    pretrained weights by their SHA-256, wherever they lie.

    Args:
        job: Method to fit, and its settings.
        training: Scans to learn from.
        validation: Scans of other people, to choose by.
        landmarks_path: File of the landmarks that scans are standardized by.
        checkpoint_folder: Folder of the checkpoint; checkpoints of other jobs there are removed.
        sites: Site of each training scan, to learn about as much from each site (`balanced`); None to learn about as
            much from each scan.
        weights: Pretrained weights at hand, by name; the method finds the paths of all that it can use in
            settings["pretrained"], None where there are none.
        needed_models: Files of the models of other methods that it needs, by method; it finds their states in
            settings["models"].
        threads: Threads that read scans.

    Raises:
        InputError: A scan, a model or weights cannot be used, or a validation scan is a training scan by another name.
    """
    contents = {scan.subject: scan.contents().acquired for scan in training}
    refuse_fitted_scans(validation, contents, "training scans", same_dataset=True)
    contents |= {scan.subject: scan.contents().acquired for scan in validation}
    module, landmarks = method(job.method), read_json(landmarks_path)
    weights, needed_models = weights or {}, needed_models or {}
    scans = (*training, *validation)
    inputs = [
        landmarks_path,
        *needed_models.values(),
        *(path for scan in scans for path in (scan.volume_path, scan.mask_path)),
    ]
    method_inputs, recorded_settings = dict(job.settings), dict(job.settings)
    if usable := declaration(job.method).pretrained:
        method_inputs["pretrained"] = {
            name: weights[name].path if name in weights else None for name in usable
        }
        recorded_settings["pretrained"] = {
            name: digest(weights[name].path, weights[name].registry_row) if name in weights else None
            for name in usable
        }
    if needed_models:
        method_inputs["models"] = {name: _state_of(path, name, job) for name, path in needed_models.items()}
    described = {"modality": job.modality, "fold": job.fold, **job.preprocessing}
    provenance = describe(
        job.code,
        inputs,
        {
            **recorded_settings,
            **({} if sites is None else {"balance_sites": True}),
            "orientation": job.orientation,
            "method": job.method,
            **described,
        },
        [scan.subject for scan in scans],
    )
    axes = AXES_OF_SLICES[job.orientation]
    learned = training if sites is None else balanced(training, sites)
    with repeatable(job.device):
        state, history = module.fit(
            ReorientedScans(StandardizedScans(learned, landmarks, threads), axes),
            ReorientedScans(StandardizedScans(validation, landmarks, threads), axes),
            method_inputs,
            _checkpoint(Path(checkpoint_folder), provenance, job.device),
            device=job.device,
        )
    volume, affine = read(training[0].volume_path)
    model = {
        "method": job.method,
        **described,
        "state": state,
        "landmarks": landmarks,
        "grid": {
            "shape": list(volume.shape),
            "spacing": float(np.linalg.norm(affine[:3, 0])),
            "axes": axes,
            # With the crop `brain` it lies elsewhere for every scan.
            **(
                {}
                if job.preprocessing.get("preprocess", {}).get("crop") == "brain"
                else {"affine": affine.tolist()}
            ),
        },
        "training_subjects": [scan.subject for scan in training],
        "validation_subjects": [scan.subject for scan in validation],
        "contents": contents,
        "provenance": provenance,
    }
    empty = pd.DataFrame(columns=HISTORY_COLUMNS)
    return FittedModel(cast(Model, model), empty if history is None else history)


@dataclass(frozen=True)
class ReorientedScans:
    """Volumes and masks of scans with other axes, so that slices of another orientation are along the last one."""

    scans: Volumes
    axes: Axes

    def __len__(self) -> int:
        return len(self.scans)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for volume, mask in self.scans:
            yield reoriented(volume, self.axes), reoriented(mask, self.axes)


def drawn_subset(scans: Sequence[Scan], count: int | None, seed: int) -> list[Scan]:
    """A subset of scans, in their order; a smaller one is part of a larger one of the same seed.

    Which scans it has depends on their names and the seed alone, so that a scan more or less exchanges one at most.

    Args:
        scans: To draw from.
        count: Number of scans; None for all.
        seed: Of the draw.

    Raises:
        InputError: There are fewer scans.
    """
    if count is None:
        return list(scans)
    if count > len(scans):
        raise InputError(
            f"training.subjects: {count} found, at most {len(scans)} expected, the training scans that can be used; "
            "lower it"
        )
    order = {scan.subject: hashlib.sha256(f"{seed} {scan.subject}".encode()).digest() for scan in scans}
    drawn = set(sorted(order, key=order.__getitem__)[:count])
    return [scan for scan in scans if scan.subject in drawn]


def balanced(scans: Sequence[Scan], sites: Mapping[str, str]) -> list[Scan]:
    """Scans of which those of smaller sites come several times, so that sites have about the same number of them.

    Args:
        scans: Each once.
        sites: Site of each scan, by subject.
    """
    counts = Counter(sites[scan.subject] for scan in scans)
    largest = max(counts.values())
    return [scan for scan in scans for _ in range(round(largest / counts[sites[scan.subject]]))]


def _state_of(model_path: str | Path, method: str, job: FitJob) -> State:
    """The state of another method's model, of the modality and fold of a job."""
    model = load_model(model_path, method=method)
    check_origin(model, model_path, modality=job.modality, fold=job.fold)
    return from_state(model, model_path, lambda module: model["state"])


def write_model(fitted: FittedModel, model_path: str | Path, history_path: str | Path) -> None:
    """Write the history as CSV, the model with its checksum, and its provenance beside it.

    Raises:
        InputError: The model cannot be used: its training diverged.
    """
    check_content(fitted.model, model_path)
    write_csv(history_path, fitted.history)
    save_model(model_path, sealed(fitted.model))
    write_sidecar(model_path, cast(Description, fitted.model["provenance"]))


def _checkpoint(folder: Path, provenance: Description, device: Device) -> Path:
    """The checkpoint of a fit, named after all that it depends on: nothing else may go on from it.

    Other checkpoints in the folder are removed.
    """
    text = json.dumps([provenance, device], sort_keys=True)
    checkpoint = folder / f"checkpoint-{hashlib.sha256(text.encode()).hexdigest()[:16]}.pt"
    for stale in set(folder.glob("checkpoint-*.pt")) - {checkpoint}:
        stale.unlink()
    return checkpoint
