"""Score scans with a model: heatmaps on the grid."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from patch2loc.data import volumes
from patch2loc.data.prefetch import prefetched
from patch2loc.data.scans import Scan
from patch2loc.errors import InputError
from patch2loc.files import sha256, write_csv, write_text
from patch2loc.method_interface import method, needs_lesion
from patch2loc.models import load_model
from patch2loc.score.postprocessing import as_published, median_filtered
from patch2loc.standardize import standardize

TIMES = "seconds.csv"
AS_PUBLISHED = "as_published"  # folder of a second heatmap of each scan, among those of the method


def heatmap_of(
    model: dict[str, Any],
    device: str,
    stride: int = 1,
    median_filter: int = 7,
    precision: str = "float32",
) -> Callable[..., np.ndarray]:
    """A function (volume, mask, name, lesion=None) from a preprocessed scan to the heatmap of a model.

    volume: (x, y, z) float32 as preprocessed.  mask: (x, y, z) boolean.  name: of the scan, for messages.
    lesion: (x, y, z) boolean, for a method that needs it (`methods.needs_lesion`).
    The heatmap is (x, y, z) float32, NaN outside the mask, after the median filter.
    Raises InputError when the scan is not on the model's grid.
    """
    maps = heatmaps_with(model, device, stride, median_filter, precision)

    def heatmap(
        volume: np.ndarray, mask: np.ndarray, name: str, lesion: np.ndarray | None = None
    ) -> np.ndarray:
        return maps(standardized_for(model, volume, mask, name), mask, lesion)[0]

    return heatmap


def standardized_for(model: dict[str, Any], volume: np.ndarray, mask: np.ndarray, name: str) -> np.ndarray:
    """A preprocessed volume as the model was trained on; arguments and errors as for `heatmap_of`."""
    shape = tuple(model["grid"]["shape"])
    if volume.shape != shape:
        raise InputError(
            f"{name}: grid {volume.shape} found, but the model was trained on {shape}; "
            "preprocess the scan with the configuration of the model"
        )
    return standardize(volume, mask, model["landmarks"], name)


def heatmaps_with(
    model: dict[str, Any], device: str, stride: int, median_filter: int, precision: str
) -> Callable[..., tuple[np.ndarray, np.ndarray | None]]:
    """A function (standardized, mask, lesion=None) to the heatmap of a model, as `heatmap_of` gives it.

    With it comes the heatmap with the post-processing of the method's authors, or None: from the same scores, or from
    the map "as_published" where the method makes one.
    """
    module = method(model["method"])
    score = module.scorer(model["state"], device, stride, precision)
    own = getattr(module, "AS_PUBLISHED", None)
    with_lesion = needs_lesion(model["method"])

    def heatmaps(
        standardized: np.ndarray, mask: np.ndarray, lesion: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        scores = []
        truth = (lesion,) if with_lesion else ()

        def scored(wanted: np.ndarray) -> np.ndarray:
            scores.append(score(standardized, mask, wanted, *truth))
            return scores[-1]["score"]

        common = median_filtered(scored, mask, median_filter, device)
        theirs = scores[-1].get("as_published", scores[-1]["score"])
        return common, as_published(theirs, mask, model["grid"]["spacing"], **own) if own else None

    return heatmaps


def score_scans(
    model_path: str | Path,
    scans: Sequence[Scan],
    folder: str | Path,
    device: str,
    stride: int,
    median_filter: int,
    code: str,
    precision: str = "float32",
    threads: int = 1,
) -> None:
    """Write the heatmap of every scan to `folder`/{subject}.nii.gz; the folder appears when all are there.

    The heatmaps with the post-processing of the method's authors, where it has one, are in `folder`/as_published.
    Scans are read by `threads` and heatmaps written by one more while the device computes.
    Heatmaps that are done are kept beside the folder meanwhile, so that a killed run goes on: each is named after
    the model, the code, the settings and its scan, and taken again only where all of these are the same. The lesion
    mask is part of a scan where the method needs it.
    """
    folder = Path(folder)
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    model = load_model(model_path)
    heatmaps = heatmaps_with(model, device, stride, median_filter, precision)
    run = [sha256(model_path), code, stride, median_filter, device, precision]
    with_lesion = needs_lesion(model["method"])

    def read(
        scan: Scan,
    ) -> tuple[Path, tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray, float] | None]:
        files = [scan.volume, scan.mask, *([scan.lesion] if with_lesion else [])]
        key = json.dumps([*run, scan.subject, *map(sha256, files)])
        path = partial / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.nii.gz"
        if path.exists() and _timing(path).exists():
            return path, None
        start = time.perf_counter()
        volume, affine = volumes.read(scan.volume)
        mask = volumes.read_mask(scan.mask)
        lesion = volumes.read_mask(scan.lesion) if with_lesion else None
        standardized = standardized_for(model, volume, mask, str(scan.volume))
        return path, (standardized, mask, lesion, affine, time.perf_counter() - start)

    kept = {}
    with ThreadPoolExecutor(1) as writer:
        written = None
        for scan, (path, given) in zip(
            tqdm(scans, desc=folder.name, unit="scan", mininterval=5),
            prefetched(read, scans, threads),
            strict=True,
        ):
            kept[path] = scan.subject
            if given is not None:
                standardized, mask, lesion, affine, seconds = given
                start = time.perf_counter()
                made = heatmaps(standardized, mask, lesion)
                seconds += time.perf_counter() - start
                if written:
                    written.result()  # one heatmap at most waits to be written
                write_text(_timing(path), f"{seconds:.2f}")
                written = writer.submit(_write, path, *made, affine)
        if written:
            written.result()
    wanted = {file for path in kept for file in (path, _timing(path), _as_published(path))}
    for path in {path for path in partial.rglob("*") if path.is_file()} - wanted:
        path.unlink()
    seconds = [float(_timing(path).read_text()) for path in kept]
    times = pd.DataFrame({"subject": kept.values(), "seconds": seconds})
    times = times.assign(device=device, precision=precision)
    for place in {path.parent for path in partial.rglob("*.nii.gz")}:
        write_csv(place / TIMES, times)
    for path, subject in kept.items():
        for file in (path, _as_published(path)):  # in turn: what is at `path` is done, with both
            if file.exists():
                os.replace(file, file.with_name(f"{subject}.nii.gz"))
    for path in kept:
        _timing(path).unlink()
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(partial, folder)


def _write(path: Path, heatmap: np.ndarray, second: np.ndarray | None, affine: np.ndarray) -> None:
    if second is not None:
        volumes.write(_as_published(path), second, affine)  # first: what is at `path` is done
    volumes.write(path, heatmap, affine)


def _as_published(path: Path) -> Path:
    return path.parent / AS_PUBLISHED / path.name


def _timing(path: Path) -> Path:
    return path.with_suffix(".seconds")
