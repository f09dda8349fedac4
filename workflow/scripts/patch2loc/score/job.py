"""A scoring job: the heatmaps of many scans by one model, which goes on where it was killed."""

import functools
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from patch2loc import method_interface
from patch2loc.data import volumes
from patch2loc.data.prefetch import prefetched
from patch2loc.data.scans import Scan, refuse_fitted_scans
from patch2loc.data.vocabulary import Tiles
from patch2loc.engine.choices import Device, Precision
from patch2loc.files import sha256, write_text
from patch2loc.models import Model, check_common_grid, check_origin, load_model
from patch2loc.score.heatmap_folder import AS_PUBLISHED, gather_parts, part_path, write_part, write_times
from patch2loc.score.launched_ahead import launched_ahead
from patch2loc.score.scoring import launch_with, standardized_for

# Imported by its name: a network's code is behind the scores of methods with one alone (rules/score.smk).
PATCHES = "patch2loc.score.patch_predictions"


class _LoadedScan(NamedTuple):
    """A scan in memory; seconds: taken to read and standardize it."""

    standardized: np.ndarray
    mask: np.ndarray
    lesion: np.ndarray | None
    affine: np.ndarray
    seconds: float


class _ScoredScan(NamedTuple):
    """Both heatmaps of a scan, which are to be written.

    Attributes:
        path: File of the common one.
        common: As of `scoring.HeatmapsOf`.
        published: As of `scoring.HeatmapsOf`.
        affine: Of both.
        seconds: Taken to read and standardize the scan.
        start: When the device was given it, on the clock of `time.perf_counter`.
    """

    path: Path
    common: np.ndarray
    published: np.ndarray | None
    affine: np.ndarray
    seconds: float
    start: float


def model_for_scans(
    model_path: str | Path,
    scans: Sequence[Scan],
    *,
    method: str | None = None,
    fold: int | None = None,
    same_dataset: bool = False,
) -> Model:
    """Load the model of a job that scores scans; arguments and errors as of `score_scans`."""
    model = load_model(model_path, method=method)
    for modality in {scan.modality for scan in scans}:
        check_origin(model, model_path, modality=modality, fold=model["fold"] if fold is None else fold)
    check_common_grid(model, model_path)
    refuse_fitted_scans(
        scans,
        model.get("contents", {}),
        f"training or validation scans of {model_path}",
        same_dataset=same_dataset,
    )
    return model


def name_of_part(run: Sequence[Any], scan: Scan, files: Iterable[Path]) -> str:
    """Name of what a job that can be killed keeps of a scan: taken again only where all of it is the same.

    Args:
        run: What the job computes with, as JSON can have it.
        scan: One of the job's scans.
        files: Of the scan, that the job reads.
    """
    key = json.dumps([*run, scan.subject, *map(sha256, files)])
    return hashlib.sha256(key.encode()).hexdigest()[:24]


def score_scans(
    model_path: str | Path,
    scans: Sequence[Scan],
    folder: str | Path,
    *,
    device: Device,
    stride: int,
    median_filter: int,
    code: str,
    precision: Precision = "float32",
    threads: int = 1,
    method: str | None = None,
    fold: int | None = None,
    same_dataset: bool = False,
    epsilon: float | None = None,
    tiles: Tiles = "whole",
    as_published: Mapping[str, int] | None = None,
) -> None:
    """Write the heatmap of every scan to `folder`/{subject}.nii.gz; the folder appears when all are there.

    Heatmaps with the post-processing of the method's authors, where it is given, are in `folder`/as_published, and what
    a method that predicts locations predicts for patches (`patch_predictions`) is in one table beside the heatmaps.
    Scans are read by `threads` and heatmaps written by one more while the device computes, and a GPU is given the next
    scan before the host waits for the last one.
    Finished heatmaps are kept beside the folder meanwhile, so that a killed run goes on: each is named after the model,
    the code, the settings and its scan, and taken again only where all of these are the same.  The lesion mask is part
    of a scan where the method needs it.

    Args:
        model_path: File of the model.
        scans: Preprocessed scans.
        folder: Folder to write to; an older one is replaced.
        device: Device that the method computes on.
        stride: See `scoring.heatmap_of`.
        median_filter: Width of the median filter, voxels.
        code: Hash of the code behind the scores.
        precision: Precision of the method's network.
        threads: Threads that read scans, and that compute medians on the host.
        method: Method that the model has to be of, see `load_model`.
        fold: Fold that the model has to be of; None for any.
        same_dataset: The scans are of the dataset that the model was trained on (`scans.refuse_fitted_scans`).
        epsilon: See `scoring.launch_with`.
        tiles: See `patch_predictions.predicted_patches`.
        as_published: Post-processing of the method's authors, {"erosion": voxels, "median": voxels}, for a second
            heatmap; None for none.

    Raises:
        InputError: The model or a scan cannot be used, the model is of another method, modality or fold, or it was
            trained or validated on a scan.
    """
    folder = Path(folder)
    model = model_for_scans(model_path, scans, method=method, fold=fold, same_dataset=same_dataset)
    launch = launch_with(
        model,
        device,
        stride=stride,
        median_filter=median_filter,
        precision=precision,
        name=model_path,
        threads=threads,
        epsilon=epsilon,
        as_published=as_published,
    )
    predict_patches = (
        import_module(PATCHES).patch_predictions_with(model, device, precision, model_path, tiles=tiles)
        if method_interface.is_locating(method_interface.method(model["method"]))
        and model["grid"].get("axes", "RAS") == "RAS"  # patches of axial slices
        else None
    )
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    run = [sha256(model_path), code, stride, median_filter, device, precision, epsilon, tiles, as_published]
    with_lesion = method_interface.declaration(model["method"]).needs_lesion

    def load(scan: Scan) -> tuple[Path, _LoadedScan | None]:
        """The file of a scan's heatmap, and the scan unless that is done."""
        files = [scan.volume_path, scan.mask_path, *([scan.lesion_path] if with_lesion else [])]
        path = partial / f"{name_of_part(run, scan, files)}.nii.gz"
        if path.exists() and _timing(path).exists():
            return path, None
        start = time.perf_counter()
        volume, affine = volumes.read(scan.volume_path)
        mask = volumes.read_mask(scan.mask_path)
        lesion = volumes.read_mask(scan.lesion_path) if with_lesion else None
        standardized = standardized_for(model, volume, mask, str(scan.volume_path), scan.percentiles())
        return path, _LoadedScan(standardized, mask, lesion, affine, time.perf_counter() - start)

    subjects: dict[Path, str] = {}

    def launches() -> Iterator[Callable[[], Callable[[], _ScoredScan]]]:
        for scan, (path, loaded) in zip(
            tqdm(scans, desc=folder.name, unit="scan", mininterval=5),
            prefetched(load, scans, threads),
            strict=True,
        ):
            subjects[path] = scan.subject
            if loaded is not None:
                yield functools.partial(begin, path, loaded)

    def begin(path: Path, loaded: _LoadedScan) -> Callable[[], _ScoredScan]:
        if predict_patches:  # waited for, so before the scan is launched; a scan with a heatmap is done
            write_part(path, predict_patches(loaded.standardized, loaded.mask))
        start = time.perf_counter()
        heatmaps = launch(loaded.standardized, loaded.mask, loaded.lesion)
        return lambda: _ScoredScan(path, *heatmaps(), loaded.affine, loaded.seconds, start)

    with ThreadPoolExecutor(1) as writer:
        writing: Future[None] | None = None
        end = 0.0
        for scored in launched_ahead(launches(), ahead=0 if device == "cpu" else 1):
            start, end = max(scored.start, end), time.perf_counter()
            if writing:
                writing.result()  # one heatmap at most waits to be written
            write_text(_timing(scored.path), f"{scored.seconds + end - start:.2f}")
            writing = writer.submit(_write, scored.path, scored.common, scored.published, scored.affine)
        if writing:
            writing.result()
    _finish(partial, subjects, device, precision)
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(partial, folder)


def _finish(partial: Path, subjects: dict[Path, str], device: Device, precision: Precision) -> None:
    """Name the heatmaps in a folder after their subjects, write the table of times, and remove all else."""
    expected = {
        file for path in subjects for file in (path, _timing(path), _as_published(path), part_path(path))
    }
    for path in {path for path in partial.rglob("*") if path.is_file()} - expected:
        path.unlink()
    seconds = [float(_timing(path).read_text()) for path in subjects]
    times = pd.DataFrame({"subject": subjects.values(), "seconds": seconds})
    times = times.assign(device=device, precision=precision)
    for heatmap_folder in {path.parent for path in partial.rglob("*.nii.gz")}:
        write_times(heatmap_folder, times)
    gather_parts(partial, subjects)
    for path, subject in subjects.items():
        for file in (path, _as_published(path)):  # in turn: what is at `path` is done, with both
            if file.exists():
                os.replace(file, file.with_name(f"{subject}.nii.gz"))
    for path in subjects:
        _timing(path).unlink()
        part_path(path).unlink(missing_ok=True)


def _write(path: Path, common: np.ndarray, published: np.ndarray | None, affine: np.ndarray) -> None:
    if published is not None:
        volumes.write(_as_published(path), published, affine)  # first: what is at `path` is done
    volumes.write(path, common, affine)


def _as_published(path: Path) -> Path:
    return path.parent / AS_PUBLISHED / path.name


def _timing(path: Path) -> Path:
    return path.with_suffix(".seconds")
