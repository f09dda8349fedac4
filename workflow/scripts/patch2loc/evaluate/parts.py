"""Parts of the score as detectors: every part by epsilon, median filter and stride, from one model.

The network predicts a scan once for each stride, which is timed. All else follows from these predictions, and no map is
kept.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from patch2loc.data.scans import Scan
from patch2loc.data.vocabulary import Truth
from patch2loc.data.volumes import isotropic_voxel_ml, read_mask
from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.transfer import to_device
from patch2loc.errors import InputError
from patch2loc.evaluate.patch_analysis import edge_distance
from patch2loc.evaluate.subjects import missed_off_grid, rank_scan
from patch2loc.files import replacing, sha256
from patch2loc.heatmap import abnormality, interpolated, lattice_points
from patch2loc.method_interface import LocatingMethod, Map, Predictor, as_array
from patch2loc.metrics.parts import PartsSettings, Setting, edge_measures, lesion_measures
from patch2loc.metrics.released_code import OURS, MetricChoices, chosen_metrics
from patch2loc.models import Model, from_state
from patch2loc.score.job import model_for_scans, name_of_part
from patch2loc.score.postprocessing import median_filtered, widened
from patch2loc.score.scoring import standardized_for


class PartMap(NamedTuple):
    """A heatmap of one part of the score.

    Attributes:
        setting: How it was computed.
        heatmap: (x, y, z) float32, NaN outside the brain.
        seconds: Of the predictions at its stride, of its interpolation and of its filter.
        patches: Number of patches that were predicted.
    """

    setting: Setting
    heatmap: np.ndarray
    seconds: float
    patches: int


def part_maps(
    predict: Predictor,
    volume: np.ndarray,
    mask: np.ndarray,
    settings: PartsSettings,
    *,
    device: Device = "cpu",
    threads: int = 1,
) -> Iterator[PartMap]:
    """Heatmaps of a scan by every part of the score and every setting, one after the other.

    Each is the heatmap that scoring with its setting makes.

    Args:
        predict: Predicts locations at voxels.
        volume: (x, y, z) float32, as the network sees it.
        mask: (x, y, z) boolean, the brain.
        settings: That are combined, each with each.
        device: Device that medians are computed on.
        threads: Threads that compute them on a processor.
    """
    region = widened(mask, max(settings["median_filters"]) // 2)
    for stride in settings["strides"]:
        voxels = np.argwhere(lattice_points(region, stride))
        start = time.perf_counter()
        mean, log_variance = predict(volume, voxels)
        predicting = time.perf_counter() - start
        for part, epsilon, values in _parts(mean, log_variance, voxels, volume.shape, settings["epsilons"]):
            start = time.perf_counter()
            sparse_map = np.full(volume.shape, np.nan, np.float32)
            sparse_map[tuple(voxels.T)] = values
            part_map = interpolated(sparse_map, region, stride)
            placing = time.perf_counter() - start
            for size in settings["median_filters"]:
                start = time.perf_counter()
                heatmap = _filtered(part_map, mask, size, device=device, threads=threads)
                seconds = predicting + placing + time.perf_counter() - start
                yield PartMap(Setting(part, epsilon, size, stride), heatmap, seconds, len(voxels))


def _parts(
    mean: np.ndarray,
    log_variance: np.ndarray,
    voxels: np.ndarray,
    shape: tuple[int, ...],
    epsilons: Sequence[float],
) -> Iterator[tuple[str, float, np.ndarray]]:
    """Part, epsilon and values (n,) of each part of the score; the arrays are as of `heatmap.abnormality`."""
    for epsilon in epsilons:
        measures = abnormality(mean, log_variance, voxels, shape, epsilon=epsilon)
        yield "score", epsilon, measures["score"]
        yield "log_error", epsilon, measures["log_error"]
    yield "log_variance", np.nan, measures["log_variance"]


def _filtered(
    part_map: np.ndarray, mask: np.ndarray, size: int, *, device: Device, threads: int
) -> np.ndarray:
    """A map after the median filter, computed where scoring computes it."""
    values: Map = part_map if device == "cpu" else to_device(part_map, device)
    return as_array(median_filtered(lambda _region: values, mask, size, threads=threads))


def measures_of_parts(
    maps: Iterator[PartMap],
    mask: np.ndarray,
    lesion: np.ndarray,
    *,
    lost_ml: float,
    spacing: float,
    choices: MetricChoices = OURS,
) -> pd.DataFrame:
    """Measures of every part of the score in one scan.

    Args:
        maps: As of `part_maps`.
        mask: (x, y, z) boolean, the brain.
        lesion: (x, y, z) boolean; an empty one, with nothing lost, is that of a healthy scan.
        lost_ml: Volume of lesion off the grid, in atlas space, ml.
        spacing: Of the grid, mm.
        choices: Behind the metrics of a scan with lesion.

    Returns:
        Columns part, epsilon, median_filter, stride, metric, low, high, value, seconds, patches. A scan with lesion has
        the metrics of `lesion_measures`, any other one those of `edge_measures`.

    Raises:
        ValueError: A map is not finite somewhere in the brain.
    """
    voxel_ml = isotropic_voxel_ml(spacing)
    has_lesion = bool(lesion.any()) or round(lost_ml / voxel_ml) > 0
    missed = missed_off_grid(lost_ml, voxel_ml, choices)
    distance = None if has_lesion else edge_distance(mask, spacing).T[mask.T]
    rows = []
    for setting, heatmap, seconds, patches in maps:
        ranking = rank_scan(heatmap, mask, lesion, missed)
        measures = (
            lesion_measures(chosen_metrics(ranking, mask, lesion, choices))
            if distance is None
            else edge_measures(ranking, heatmap.T[mask.T], distance)
        )
        cost = {"seconds": seconds, "patches": patches}
        rows += [{**setting._asdict(), **measure._asdict(), **cost} for measure in measures]
    return pd.DataFrame(rows)


def analyze_parts(
    model_path: str | Path,
    scans: Sequence[Scan],
    path: str | Path,
    *,
    settings: PartsSettings,
    truth: Truth,
    choices: MetricChoices,
    device: Device,
    precision: Precision,
    code: str,
    method: str | None = None,
    fold: int | None = None,
    same_dataset: bool = False,
    threads: int = 1,
) -> None:
    """Write `measures_of_parts` of every scan to one table (parquet), which appears when all are there.

    The tables of finished scans are kept beside it meanwhile, so that a killed run goes on: each is named after the
    model, the code, the settings and its scan, and taken again only where all of these are the same.

    Args:
        model_path: File of the model, of a run: its axes are RAS.
        scans: Preprocessed scans.
        path: Table to write: columns subject, those of `measures_of_parts`, device, precision.
        settings: See `part_maps`.
        truth: Which of the lesion masks of a scan is its truth.
        choices: Behind the metrics, as of the evaluation.
        device: Device that the network computes on.
        precision: Precision of the network's encoder.
        code: Hash of the code behind the measures.
        method: Method that the model has to be of, see `load_model`.
        fold: Fold that the model has to be of; None for any.
        same_dataset: The scans are of the dataset that the model was trained on (`scans.refuse_fitted_scans`).
        threads: Threads that compute medians on the host.

    Raises:
        InputError: The model or a scan cannot be used, the model is of another method, modality or fold, or it was
            trained or validated on a scan.
    """
    model = model_for_scans(model_path, scans, method=method, fold=fold, same_dataset=same_dataset)
    module, predict = from_state(model, model_path, lambda module: _ready(module, model, device, precision))
    partial = Path(f"{path}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    run = [sha256(model_path), code, settings, truth, choices, device, precision]

    def table_of(scan: Scan) -> pd.DataFrame:
        standardized, mask = _standardized(model, scan)
        volume = module.network_input(model["state"], standardized, mask)
        spacing = model["grid"]["spacing"]
        lesion, lost_ml = read_mask(scan.truth_path(truth)), scan.lost_lesion().ml
        maps = part_maps(predict, volume, mask, settings, device=device, threads=threads)
        try:
            return measures_of_parts(maps, mask, lesion, lost_ml=lost_ml, spacing=spacing, choices=choices)
        except ValueError as problem:
            raise InputError(
                f"{scan.folder}: {problem}, by the model {model_path}; preprocess the scan again, or leave it out"
            ) from problem

    finished = []
    for scan in tqdm(scans, desc=Path(path).stem, unit="scan", mininterval=5):
        files = [scan.volume_path, scan.mask_path, scan.truth_path(truth), scan.qc_path]
        file = partial / f"{name_of_part(run, scan, files)}.parquet"
        if not file.exists():
            _write(file, table_of(scan).assign(subject=scan.subject, device=device, precision=precision))
        finished.append(file)
    _write(Path(path), pd.concat(map(pd.read_parquet, finished), ignore_index=True))
    shutil.rmtree(partial)


def _ready(
    module: Any, model: Model, device: Device, precision: Precision
) -> tuple[LocatingMethod, Predictor]:
    return module, module.predictor(model["state"], device, precision)


def _standardized(model: Model, scan: Scan) -> tuple[np.ndarray, np.ndarray]:
    """A scan as the model's training scans were standardized, and its mask."""
    volume, mask = scan.read()
    return standardized_for(model, volume, mask, str(scan.volume_path), scan.percentiles()), mask


def _write(path: Path, table: pd.DataFrame) -> None:
    with replacing(path) as partial:
        table.to_parquet(partial, index=False)
