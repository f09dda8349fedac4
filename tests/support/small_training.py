"""A small training: its scans on disk, its settings, its model."""

import numpy as np
import torch
from scans import box, save_scan

from patch2loc.engine.device import select_device
from patch2loc.files import write_json
from patch2loc.standardize import fit_landmarks
from patch2loc.train import FitJob, fit_model, write_model

SHAPE, CPU = (24, 20, 6), "cpu"
SETTINGS = {
    "network": "tiny",
    "widths": [4, 4, 8, 8],
    "patch": 8,
    "patches": 640,
    "batch": 64,
    "learning_rate": 0.01,
    "schedule": "constant",
    "validation_patches": 64,
    "validations": 2,
    "seed": 1,
}


def write_scan(folder, subject, seed):
    """Write a scan that is brighter to the right, with noise."""
    rng = np.random.default_rng(seed)
    mask = box(SHAPE, np.s_[3:21, 3:17, 1:5])
    volume = np.where(mask, 100 + 5 * np.arange(SHAPE[0])[:, None, None] + rng.normal(0, 8, SHAPE), 0)
    return save_scan(folder, subject, volume, mask, affine=np.diag([2.0, 2, 2, 1]))


def train_small(folder, name, device="cpu", threads=1):
    """Train on scans in a folder, as the script of the rule does; the model's file, in the folder `name`."""
    before = torch.get_num_threads()
    device = select_device(device, threads)
    scans = [write_scan(folder, f"s{number}", number) for number in range(4)]
    write_json(folder / "landmarks.json", fit_landmarks(scans[:3]))
    settings = {**SETTINGS, "spacing": 2.0, "precision": "float32"}
    fitted = fit_model(
        FitJob("patch2loc", "T1", 0, settings, {"atlas": "icbm152", "preprocess": {}}, "code", device),
        training=scans[:3],
        validation=scans[3:],
        landmarks_path=folder / "landmarks.json",
        checkpoint_folder=folder / name,
    )
    write_model(fitted, folder / name / "model.safetensors", folder / name / "history.csv")
    torch.set_num_threads(before)
    return folder / name / "model.safetensors"
