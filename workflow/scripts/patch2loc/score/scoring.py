"""Score scans with a model: heatmaps on the grid."""

import functools
import hashlib
import json
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import pandas as pd
from tqdm import tqdm

from patch2loc.data import volumes
from patch2loc.data.prefetch import prefetched
from patch2loc.data.scans import Scan, refuse_fitted_scans
from patch2loc.engine.choices import Device, Precision
from patch2loc.errors import InputError
from patch2loc.files import sha256, write_text
from patch2loc.method_interface import Map, Maps, locates, needs_lesion
from patch2loc.models import Model, check_common_grid, check_origin, from_state, load_model
from patch2loc.score.heatmap_folder import AS_PUBLISHED, gather_parts, part_path, write_part, write_times
from patch2loc.score.postprocessing import as_published, median_filtered
from patch2loc.standardize import standardize

# Imported by its name: a network's code is behind the scores of methods with one alone (rules/score.smk).
PATCHES = "patch2loc.score.patch_predictions"
Result = TypeVar("Result")
Heatmaps = tuple[np.ndarray, np.ndarray | None]


class HeatmapOf(Protocol):
    """Makes the heatmap of a preprocessed scan."""

    def __call__(
        self, volume: np.ndarray, mask: np.ndarray, name: str, lesion: np.ndarray | None = None
    ) -> np.ndarray:
        """Score a scan.

        Args:
            volume: (x, y, z) float32, as preprocessed.
            mask: Brain, (x, y, z) boolean.
            name: Name of the scan, for messages.
            lesion: (x, y, z) boolean, for a method that needs it (`method_interface.needs_lesion`).

        Returns:
            (x, y, z) float32, NaN outside the mask, after the median filter.

        Raises:
            InputError: The scan is not on the model's grid.
        """


class HeatmapsOf(Protocol):
    """Makes both heatmaps of a standardized scan."""

    def __call__(
        self, standardized: np.ndarray, mask: np.ndarray, lesion: np.ndarray | None = None
    ) -> Heatmaps:
        """Return the heatmap after the common median filter, and that with the authors' post-processing or None."""


class Launch(Protocol):
    """Begins to make both heatmaps of a standardized scan."""

    def __call__(
        self, standardized: np.ndarray, mask: np.ndarray, lesion: np.ndarray | None = None
    ) -> Callable[[], Heatmaps]:
        """Return a function that waits for the heatmaps of `HeatmapsOf`."""


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
        common: As of `HeatmapsOf`.
        published: As of `HeatmapsOf`.
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


def heatmap_of(
    model: Model,
    device: Device,
    *,
    stride: int = 1,
    median_filter: int = 7,
    precision: Precision = "float32",
    name: str | Path = "model",
) -> HeatmapOf:
    """Make a model ready to score preprocessed scans.

    Args:
        model: From `load_model`.
        device: Device that the method computes on.
        stride: Voxels from one computed score to the next along x and y; the rest is interpolated.
        median_filter: Width of the median filter, voxels.
        precision: Precision of the method's network.
        name: File of the model, for messages.

    Raises:
        InputError: The method cannot use the model's state.
    """
    heatmaps = heatmaps_with(
        model, device, stride=stride, median_filter=median_filter, precision=precision, name=name
    )

    def heatmap(
        volume: np.ndarray, mask: np.ndarray, name: str, lesion: np.ndarray | None = None
    ) -> np.ndarray:
        return heatmaps(standardized_for(model, volume, mask, name), mask, lesion)[0]

    return heatmap


def standardized_for(
    model: Model, volume: np.ndarray, mask: np.ndarray, name: str, percentiles: Sequence[float] | None = None
) -> np.ndarray:
    """Standardize a preprocessed volume as the model's training scans were; see `HeatmapOf` and `standardize`."""
    shape = tuple(model["grid"]["shape"])
    if volume.shape != shape:
        raise InputError(
            f"{name}: grid {volume.shape} found, but the model was trained on {shape}; "
            "preprocess the scan with the configuration of the model"
        )
    return standardize(volume, mask, model["landmarks"], name, percentiles)


def heatmaps_with(
    model: Model,
    device: Device,
    *,
    stride: int,
    median_filter: int,
    precision: Precision,
    name: str | Path = "model",
) -> HeatmapsOf:
    """Make a model ready to score standardized scans; arguments as for `heatmap_of`.

    Also returns the heatmap with the authors' post-processing, or None: from the same scores, or from the map
    "as_published" where the method makes one.
    """
    launch = launch_with(
        model, device, stride=stride, median_filter=median_filter, precision=precision, name=name
    )

    def heatmaps(standardized: np.ndarray, mask: np.ndarray, lesion: np.ndarray | None = None) -> Heatmaps:
        return launch(standardized, mask, lesion)()

    return heatmaps


def launch_with(
    model: Model,
    device: Device,
    *,
    stride: int,
    median_filter: int,
    precision: Precision,
    name: str | Path = "model",
    threads: int = 1,
) -> Launch:
    """Make a model ready to begin with one scan while the device computes another; see `heatmaps_with`.

    Scans and heatmaps are RAS.  The method gets the axes that it was trained on, so that patches, locations and slices
    are its own to the voxel.

    threads: that compute medians on the host.
    """
    axes = model["grid"].get("axes", "RAS")
    module, score = from_state(
        model, name, lambda module: (module, module.scorer(model["state"], device, stride, precision))
    )
    published_widths = getattr(module, "AS_PUBLISHED", None)
    with_lesion = needs_lesion(model["method"])

    def launch(
        standardized: np.ndarray, mask: np.ndarray, lesion: np.ndarray | None = None
    ) -> Callable[[], Heatmaps]:
        computed_maps = []
        arrays = (standardized, mask) if lesion is None else (standardized, mask, lesion)
        standardized, mask, *drawn = (volumes.reoriented(array, axes) for array in arrays)
        truth = drawn if with_lesion else ()

        def scores_at(region: np.ndarray) -> Map:
            maps: Maps = score(standardized, mask, region, *truth)
            computed_maps.append(maps)
            return maps["score"]

        filtered = [median_filtered(scores_at, mask, median_filter, threads=threads)]
        if published_widths:
            maps = computed_maps[-1]
            published_score = maps.get("as_published", maps["score"])
            spacing = model["grid"]["spacing"]
            filtered.append(as_published(published_score, mask, spacing, threads=threads, **published_widths))
        arriving = [_arriving(each) for each in filtered]

        def heatmaps() -> Heatmaps:
            common, *published = (volumes.reoriented(array(), axes) for array in arriving)
            return common, published[0] if published else None

        return heatmaps

    return launch


def _arriving(values: Map) -> Callable[[], np.ndarray]:
    """A function that waits for a map on the host."""
    if isinstance(values, np.ndarray):
        return lambda: values
    from patch2loc.engine.transfer import to_host  # here: methods without a network do without torch

    return to_host(values)


def launched_ahead(launches: Iterable[Callable[[], Callable[[], Result]]], ahead: int) -> Iterator[Result]:
    """Results in order, each waited for when the next ones have been launched.

    Args:
        launches: Functions that begin to compute a result, and return one that waits for it.
        ahead: Launches between that of a result and waiting for it.  0 where a launch waits itself.

    Yields:
        The results.  An error of a launch, or of what makes it, is raised after the results before it.
    """
    waiting: deque[Callable[[], Result]] = deque()
    error = None
    rest = iter(launches)
    while error is None:
        try:
            waiting.append(next(rest)())
        except StopIteration:
            break
        except Exception as raised:
            error = raised
        if len(waiting) > ahead:
            yield waiting.popleft()()
    while waiting:
        yield waiting.popleft()()
    if error is not None:
        raise error


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
) -> None:
    """Write the heatmap of every scan to `folder`/{subject}.nii.gz; the folder appears when all are there.

    Heatmaps with the post-processing of the method's authors, where it has one, are in `folder`/as_published, and what
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
        stride: See `heatmap_of`.
        median_filter: Width of the median filter, voxels.
        code: Hash of the code behind the scores.
        precision: Precision of the method's network.
        threads: Threads that read scans, and that compute medians on the host.
        method: Method that the model has to be of, see `load_model`.
        fold: Fold that the model has to be of; None for any.
        same_dataset: The scans are of the dataset that the model was trained on (`scans.refuse_fitted_scans`).

    Raises:
        InputError: The model or a scan cannot be used, the model is of another method, modality or fold, or it was
            trained or validated on a scan.
    """
    folder = Path(folder)
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
    launch = launch_with(
        model,
        device,
        stride=stride,
        median_filter=median_filter,
        precision=precision,
        name=model_path,
        threads=threads,
    )
    predict_patches = (
        import_module(PATCHES).patch_predictions_with(model, device, precision, model_path)
        if locates(model["method"])
        else None
    )
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    run = [sha256(model_path), code, stride, median_filter, device, precision]
    with_lesion = needs_lesion(model["method"])

    def load(scan: Scan) -> tuple[Path, _LoadedScan | None]:
        """The file of a scan's heatmap, and the scan unless that is done."""
        files = [scan.volume_path, scan.mask_path, *([scan.lesion_path] if with_lesion else [])]
        key = json.dumps([*run, scan.subject, *map(sha256, files)])
        path = partial / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.nii.gz"
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
