"""Ways to score, made ready once and timed; each runs in a process of its own (`worker`)."""

import time
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from brains import Source
    from straightforward import Predict

    from patch2loc.engine.choices import Device, Precision

RELEASED, PRACTITIONER, ENGINE, UNPADDED = "released", "practitioner", "engine", "unpadded"
BEFORE = "engine before"


class Case(NamedTuple):
    """What is scored and trained: the grid, the network, and the batch of a training."""

    grid: tuple[int, int, int]
    patch: int
    widths: tuple[int, int, int, int]
    median: int  # voxels, of the heatmap's filter
    batch: int


class Timing(NamedTuple):
    """Seconds of wall time, and the largest memory meanwhile, MB."""

    seconds: float
    memory_mb: float


@cache
def network_of(case: Case, way: str) -> Any:
    """The network that the way scores with, the same numbers in every process."""
    import torch

    from patch2loc.network.location import LocationNetwork
    from patch2loc.network.unpadded import UnpaddedNetwork

    torch.manual_seed(0)
    if way == UNPADDED:
        return UnpaddedNetwork(case.patch, case.widths).eval()
    return LocationNetwork(case.widths).eval()


@cache
def predictor(way: str, case: Case, device: "Device", precision: "Precision") -> "Predict":
    """From a volume and voxels (n, 3) to mean and log-variance, all made ready."""
    from straightforward import practitioner, released

    from patch2loc.network import inference
    from patch2loc.network.unpadded import ReadyUnpadded

    network = network_of(case, way)
    if way in (RELEASED, PRACTITIONER):
        build = released if way == RELEASED else practitioner
        return build(network, device, precision, case.patch)
    ready = (
        ReadyUnpadded(network, device, precision)
        if way == UNPADDED
        else inference.DenseNetwork(network, case.patch, device, precision)
    )
    if hasattr(inference, "predict"):  # of another checkout
        return partial(inference.predict, network=ready)
    from patch2loc.network.prediction import predict

    return partial(predict, network=ready)


@cache
def heatmap_maker(way: str, case: Case, device: "Device", precision: "Precision") -> Any:
    """From a standardized volume and its mask to the filtered heatmap, as a scoring job makes it."""
    import torch

    from patch2loc.engine.weights import weights_of
    from patch2loc.score import scoring

    state = {"weights": weights_of(network_of(case, way)), "widths": list(case.widths), "patch": case.patch}
    method = "patch2loc_unpadded" if way == UNPADDED else "patch2loc"
    model: Any = {"method": method, "state": state, "grid": {"shape": list(case.grid), "spacing": 1.0}}
    settings: Any = {"stride": 1, "median_filter": case.median, "precision": precision}
    if not hasattr(scoring, "launch_with"):  # of another checkout
        return scoring.heatmaps_with(model, device, **settings)
    launch = scoring.launch_with(model, device, **settings, threads=torch.get_num_threads())
    return lambda volume, mask: launch(volume, mask)()


def timed(run: Callable[[], object], device: "Device") -> Timing:
    """Time what has been made ready; on a GPU the second time, as its memory was given back in between."""
    from machine import forget_peak_memory, peak_memory, synchronize

    if device == "cuda":
        run()
    forget_peak_memory(device)
    synchronize(device)
    start = time.perf_counter()
    run()
    synchronize(device)
    timing = Timing(time.perf_counter() - start, peak_memory(device))
    free_memory(device)
    return timing


def free_memory(device: "Device") -> None:
    """Leave a GPU's memory to the other processes."""
    if device == "cuda":
        import torch

        torch.cuda.empty_cache()


def time_prediction(
    way: str, case: Case, source: "Source", voxels: np.ndarray, *, device: "Device", precision: "Precision"
) -> Timing:
    """Time predictions at voxels (n, 3) of a scan."""
    from brains import load

    volume, _ = load(source)
    return timed(partial(predictor(way, case, device, precision), volume, voxels), device)


def predictions(
    way: str, case: Case, source: "Source", voxels: np.ndarray, *, device: "Device", precision: "Precision"
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and log-variance at voxels (n, 3) of a scan."""
    from brains import load

    return predictor(way, case, device, precision)(load(source)[0], voxels)


def time_heatmap(
    way: str,
    case: Case,
    source: "Source",
    z: slice,
    sample: int,
    *,
    device: "Device",
    precision: "Precision",
) -> Timing:
    """Time the way from some slices of a standardized scan to their filtered heatmap.

    The released way filters the map of all voxels by scipy, once it is on the CPU, and masks it afterwards.  Patch by
    patch, predictions are timed on as many voxels as `sample` says, and count for all.
    """
    from brains import load
    from scipy import ndimage

    volume, mask = (np.ascontiguousarray(array[:, :, z]) for array in load(source))
    if way not in (RELEASED, PRACTITIONER):
        return timed(partial(heatmap_maker(way, case, device, precision), volume, mask), device)
    predict = predictor(way, case, device, precision)
    voxels = np.argwhere(np.ones_like(mask))
    part = voxels[:sample]
    outputs: list[tuple[np.ndarray, np.ndarray]] = []

    def filtered() -> np.ndarray:
        mean, log_variance = (np.resize(output, (len(voxels), 2)) for output in outputs[-1])
        error = ((100 * voxels[:, :2] / mask.shape[:2] - mean) ** 2).sum(axis=1)
        score = (np.log(error + 0.5) + log_variance.mean(axis=1)).astype(np.float32).reshape(mask.shape)
        return np.where(mask, ndimage.median_filter(score, case.median), np.float32(np.nan))

    predicted = timed(lambda: outputs.append(predict(volume, part)), device)
    rest = timed(filtered, "cpu")
    return Timing(predicted.seconds * len(voxels) / len(part) + rest.seconds, predicted.memory_mb)
