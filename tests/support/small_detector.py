"""A small detector: a model with a healthy reference, trained in seconds on simulated brains in atlas space."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import SimpleITK as sitk
from contrasts import IN_ATLAS_SPACE, SIGNALS, tissue
from scans import save_scan
from scipy import ndimage

from patch2loc.data import volumes
from patch2loc.data.content import content_hash
from patch2loc.files import read_json, write_json
from patch2loc.models import load_model, save_model, sealed
from patch2loc.preprocess.atlas import common_grid, load_atlas
from patch2loc.preprocess.images import resample
from patch2loc.preprocess.skull_strip import stripped_mask
from patch2loc.score.detector import build_detector
from patch2loc.standardize import fit_landmarks
from patch2loc.train import FitJob, fit_model, write_model

SHAPE, SPACING = (46, 54, 44), 4.0  # holds the whole brain
SETTINGS = {
    "network": "tiny",
    "widths": [4, 4, 8, 8],
    "patch": 8,
    "patches": 9600,
    "batch": 64,
    "learning_rate": 0.01,
    "schedule": "one_cycle",
    "validation_patches": 64,
    "validations": 2,
    "seed": 1,
    "spacing": SPACING,
    "precision": "float32",
}
VOXEL_MM = 2.0  # of the scans, as acquired
COHORT = {"title": "simulated brains", "simulated": True, "ages": [20.0, 60.0]}
N_TRAINING, N_VALIDATION, N_HEALTHY = 4, 2, 8
IN_PLACE = {key: IN_ATLAS_SPACE[key] for key in ("registration", "bias_correction")}


def simulated_brain(seed, blobs=(), modality="T1"):
    """A brain in atlas space, 2 mm, 0 outside: (x, y, z) float32, and its affine.

    Args:
        seed: Another one gives other tissue signals, shading and noise.
        blobs: Lesions, ((x, y, z) of the center in mm, radius in mm, factor of the brightness).
        modality: Modality of the scan.
    """
    fractions, brain, affine = tissue()
    rng = np.random.default_rng(seed)
    signals = np.array(SIGNALS[modality]) * (1 + 0.02 * rng.normal(size=3))
    image = np.tensordot(signals, fractions, 1)
    image *= np.exp(0.5 * ndimage.gaussian_filter(rng.normal(size=image.shape), 12, truncate=2) * 12)
    image += 0.03 * rng.normal(size=image.shape)
    places = np.moveaxis(np.indices(brain.shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    for center, radius, factor in blobs:
        image[np.linalg.norm(places - center, axis=-1) <= radius] *= factor
    return np.where(brain, np.maximum(1000 * image, 1), 0).astype(np.float32), affine


def write_brain(path, seed, blobs=(), modality="T1"):
    """Write a simulated brain as a scan that is stripped; its path."""
    volumes.write(path, *simulated_brain(seed, blobs, modality))
    return path


def write_detector(path, *, modality="T1", preprocess=IN_PLACE, cohort=COHORT, **others):
    """Train a small detector and write it; its path.

    Args:
        path: File to write.
        modality: Modality of its scans.
        preprocess: Settings of preprocessing that a scan is to be brought to the model's grid by; without registration
            and bias correction, as the default, it takes least time, for scans of `write_brain`.
        cohort: Whom the model says it was trained on: title, simulated, ages.
        others: Other keys of the model, such as atlas.
    """
    grid = common_grid(load_atlas("icbm152", modality), SHAPE, SPACING)
    with TemporaryDirectory() as folder:
        scans = [
            _save_preprocessed(Path(folder), seed, grid, modality)
            for seed in range(N_TRAINING + N_VALIDATION + N_HEALTHY)
        ]
        training, healthy = scans[:N_TRAINING], scans[N_TRAINING + N_VALIDATION :]
        write_json(Path(folder, "landmarks.json"), fit_landmarks(training))
        fitted = {
            method: _fit(Path(folder), modality, method, training, scans[N_TRAINING:-N_HEALTHY], preprocess)
            for method in ("patch2loc", "zscore")
        }
        detector = build_detector(
            *fitted.values(),
            training=training,
            healthy=healthy,
            sites={scan.subject: "simulation" for scan in scans},
            median_filter=1,
            **cohort,
        )
    save_model(path, sealed({**detector, **others}))
    return path


def _save_preprocessed(folder, seed, grid, modality):
    image, affine = simulated_brain(seed, modality=modality)
    identity = sitk.AffineTransform(3)
    mask = resample(stripped_mask(image), affine, grid, identity) >= 0.5
    volume = np.where(mask, np.maximum(resample(image, affine, grid, identity), 0), 0)
    scan = save_scan(folder, f"sub-{seed:02}", volume, mask, affine=grid.affine, modality=modality)
    contents = {"content": content_hash(image, affine), "voxel_mm": 3 * [VOXEL_MM]}
    write_json(scan.qc_path, {**read_json(scan.qc_path), **contents})
    return scan


def _fit(folder, modality, method, training, validation, preprocess):
    settings = SETTINGS if method == "patch2loc" else {}
    job = FitJob(method, modality, 0, settings, {"atlas": "icbm152", "preprocess": preprocess}, "code", "cpu")
    fitted = fit_model(
        job,
        training=training,
        validation=validation,
        landmarks_path=folder / "landmarks.json",
        checkpoint_folder=folder / method,
    )
    path = folder / method / "model.safetensors"
    write_model(fitted, path, folder / method / "history.csv")
    return load_model(path)
