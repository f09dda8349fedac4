"""Ways to score and to train, timed: each runs in a process of its own, which keeps all that it has made ready.

The process takes the library from a folder, so that another checkout's is timed beside this one's.
"""

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

import numpy as np

if TYPE_CHECKING:
    from brains import Source
    from straightforward import Predict

    from patch2loc.engine.choices import Device, Precision

FOLDER = Path(__file__).resolve().parent
LIBRARY = FOLDER.parent / "workflow/scripts"
RELEASED, PRACTITIONER, ENGINE, UNPADDED = "released", "practitioner", "engine", "unpadded"
BEFORE = "engine before"
VALIDATED = 64  # patches: the validations of a short training are not timed
VALIDATION_PATCHES, VALIDATIONS = 65_536, 60  # as the configuration has them
Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")


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


class Worker:
    """A process that times one way.

    Args:
        way: One of the ways above.
        device: Device that it computes on.
        threads: Of torch.
        library: Folder that holds patch2loc.
    """

    def __init__(self, way: str, device: "Device", threads: int, library: Path = LIBRARY) -> None:
        self.way = way
        self.process = ProcessPoolExecutor(
            1,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=begin,
            initargs=(way, device, threads, str(library)),
        )

    def __call__(
        self,
        function: Callable[Arguments, Returned],
        *arguments: Arguments.args,
        **named: Arguments.kwargs,
    ) -> Returned:
        """Call a function of this module in the process, and wait for what it returns."""
        return self.process.submit(function, *arguments, **named).result()


def begin(way: str, device: "Device", threads: int, library: str) -> None:
    """Make a new process ready; what is published and what a practitioner does knows no deterministic mode."""
    sys.path[:0] = [library, str(FOLDER)]
    import torch

    from patch2loc.engine.device import select_device

    torch.manual_seed(0)
    if way in (RELEASED, PRACTITIONER):
        torch.set_num_threads(threads)
    else:
        select_device(device, threads)


def set_threads(threads: int) -> None:
    """Change the threads of torch."""
    import torch

    torch.set_num_threads(threads)


def library_in_use() -> str:
    """Folder of the package that the process has imported."""
    import patch2loc

    return str(Path(patch2loc.__file__).parents[1])


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

    from patch2loc.network.inference import DenseNetwork, predict
    from patch2loc.network.unpadded import ReadyUnpadded

    network = network_of(case, way)
    if way in (RELEASED, PRACTITIONER):
        build = released if way == RELEASED else practitioner
        return build(network, device, precision, case.patch)
    ready = (
        ReadyUnpadded(network, device, precision)
        if way == UNPADDED
        else DenseNetwork(network, case.patch, device, precision)
    )
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


def executed_operations(
    way: str, case: Case, source: "Source", voxels: np.ndarray, *, device: "Device", precision: "Precision"
) -> float:
    """Operations a patch, two for each multiplication that is executed with its addition.

    Counted by torch as they are called, so that those that Winograd's algorithm saves do not count.  Neither do
    products with zeros of padding, which a processor's convolutions leave out, nor what the counter does not know: a
    share of the machine's rate by this count is never too high.
    """
    import torch
    from brains import load
    from torch.utils.flop_counter import FlopCounterMode

    def fused(inputs: list[int], weight: list[int], *others: Any, out_shape: list[int]) -> int:
        stride, padding = others[-4:-2]
        return products_within(inputs, weight, stride, padding)

    def convolution(inputs: list[int], weight: list[int], _bias: object, *others: Any, **_shape: Any) -> int:
        return products_within(inputs, weight, *others[:2])

    fused_convolutions = (torch.ops.aten.cudnn_convolution_relu, torch.ops.aten.cudnn_convolution_add_relu)
    mapping = {torch.ops.aten.convolution: convolution, **dict.fromkeys(fused_convolutions, fused)}
    predict, threads = predictor(way, case, device, precision), torch.get_num_threads()
    torch.set_num_threads(1)  # the counter sees the operators of its own thread
    try:
        with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
            predict(load(source)[0], voxels)
    finally:
        torch.set_num_threads(threads)
    free_memory(device)
    return counter.get_total_flops() / len(voxels)


def products_within(
    inputs: Sequence[int], weight: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> int:
    """Operations of a convolution of maps (n, channels, h, w) that do not meet the zeros of its padding."""
    count = 2 * inputs[0] * weight[0] * weight[1]
    for size, kernel, step, margin in zip(inputs[2:], weight[2:], stride, padding, strict=True):
        begins = range(-margin, size + margin - kernel + 1, step)
        count *= sum(max(0, min(begin + kernel, size) - max(begin, 0)) for begin in begins)
    return count


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


def time_training(
    way: str, case: Case, scans: "tuple[Source, ...]", steps: int, *, device: "Device", precision: "Precision"
) -> float:
    """Patches a second of some training steps, after one to warm up."""
    from brains import load
    from machine import synchronize
    from straightforward import training_steps

    if way == RELEASED:
        running = training_steps(
            [load(source) for source in scans], case.batch, device, case.patch, case.widths
        )
        next(running)
        synchronize(device)
        start = time.perf_counter()
        count = sum(next(running) for _ in range(steps))
        synchronize(device)
        rate = count / (time.perf_counter() - start)
        running.close()
    else:
        from patch2loc.methods.patch2loc_unpadded import unpadded
        from patch2loc.network.training import paper_network, train

        pool = pool_of(case, scans, device)
        chosen = training_settings(case, 2 * steps * case.batch, precision, VALIDATED, validations=2)
        build = unpadded if way == UNPADDED else paper_network
        history = train(pool, pool, chosen, progress=lambda text: None, build=build)[1]
        rate = history[-1]["patches_per_second"]  # of the second half
    free_memory(device)
    return rate


def time_whole_training(
    case: Case, scans: "tuple[Source, ...]", patches: int, *, device: "Device", precision: "Precision"
) -> float:
    """Minutes of a training with the configuration's validations and a checkpoint."""
    from patch2loc.network.training import train

    pool = pool_of(case, scans, device)
    chosen = training_settings(case, patches, precision, VALIDATION_PATCHES, VALIDATIONS)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        train(pool, pool, chosen, Path(folder, "checkpoint"), progress=lambda text: None)
    return (time.monotonic() - start) / 60


@cache
def pool_of(case: Case, scans: "tuple[Source, ...]", device: "Device") -> Any:
    """The patches of some scans, on the device."""
    from brains import load

    from patch2loc.network.sampling import PatchPool

    return PatchPool([load(source) for source in scans], case.patch, device)


def training_settings(
    case: Case, patches: int, precision: "Precision", validation_patches: int, validations: int
) -> Any:
    """Settings of a training on so many patches."""
    from patch2loc.network.training import Settings

    return Settings(
        widths=case.widths,
        patch=case.patch,
        patches=patches,
        batch=case.batch,
        learning_rate=1e-3,
        schedule="constant",
        validation_patches=validation_patches,
        validations=validations,
        seed=0,
        precision=precision,
    )


def product_rate(device: "Device", precision: "Precision", seconds: float) -> float:
    """The machine's matrix product, operations a second."""
    from machine import matrix_product_rate

    rate = matrix_product_rate(device, precision, seconds)
    free_memory(device)
    return rate
