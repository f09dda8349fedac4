"""Score scans with a model: heatmaps on the grid."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from patch2loc import volumes
from patch2loc.errors import InputError
from patch2loc.files import sha256, write_csv, write_text
from patch2loc.methods import method
from patch2loc.models import load_model
from patch2loc.postprocessing import median_filtered
from patch2loc.scans import Scan
from patch2loc.standardize import standardise

TIMES = "seconds.csv"


def heatmap_of(
    model: dict[str, Any], device: str, stride: int = 1, median_filter: int = 7
) -> Callable[[np.ndarray, np.ndarray, str], np.ndarray]:
    """A function from a preprocessed volume and its mask to the heatmap of a model.

    volume: (x, y, z) float32 as preprocessed.  mask: (x, y, z) boolean.  name: of the scan, for messages.
    The heatmap is (x, y, z) float32, NaN outside the mask, after the median filter.
    Raises InputError when the scan is not on the model's grid.
    """
    score = method(model["method"]).scorer(model["state"], device, stride)
    shape = tuple(model["grid"]["shape"])

    def heatmap(volume: np.ndarray, mask: np.ndarray, name: str) -> np.ndarray:
        if volume.shape != shape:
            raise InputError(
                f"{name}: grid {volume.shape} found, but the model was trained on {shape}; "
                "preprocess the scan with the configuration of the model"
            )
        standardised = standardise(volume, mask, model["landmarks"], name)
        return median_filtered(lambda wanted: score(standardised, mask, wanted)["score"], mask, median_filter)

    return heatmap


def score_scans(
    model_path: str | Path,
    scans: Sequence[Scan],
    folder: str | Path,
    device: str,
    stride: int,
    median_filter: int,
    code: str,
) -> None:
    """Write the heatmap of every scan to `folder`/{subject}.nii.gz; the folder appears when all are there.

    Heatmaps that are done are kept beside the folder meanwhile, so that a killed run goes on: each is named after
    the model, the code, the settings and its scan, and taken again only where all of these are the same.
    """
    folder = Path(folder)
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    heatmap = heatmap_of(load_model(model_path), device, stride, median_filter)
    run = [sha256(model_path), code, stride, median_filter, device]
    kept = {}
    for scan in tqdm(scans, desc=folder.name, unit="scan", mininterval=5):
        key = json.dumps([*run, scan.subject, sha256(scan.volume), sha256(scan.mask)])
        path = partial / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.nii.gz"
        kept[path] = scan.subject
        if not path.exists():
            start = time.perf_counter()
            volume, mask = scan.read()
            scored = heatmap(volume, mask, str(scan.volume))
            write_text(_timing(path), f"{time.perf_counter() - start:.2f}")
            volumes.write(path, scored, volumes.read(scan.volume)[1])
    for path in set(partial.iterdir()) - set(kept) - {_timing(path) for path in kept}:
        path.unlink()
    seconds = [float(_timing(path).read_text()) for path in kept]
    write_csv(partial / TIMES, pd.DataFrame({"subject": kept.values(), "seconds": seconds}))
    for path, subject in kept.items():
        _timing(path).unlink()
        os.replace(path, partial / f"{subject}.nii.gz")
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(partial, folder)


def _timing(path: Path) -> Path:
    return path.with_suffix(".seconds")
