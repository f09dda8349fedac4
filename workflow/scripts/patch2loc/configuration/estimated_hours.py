"""How long a run will still take on a processor, by the rates of rates.csv (docs/explanation/scale.md)."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from patch2loc.configuration.method_registry import locates, runs_network
from patch2loc.configuration.rates import required_rate
from patch2loc.configuration.vocabulary import Configuration
from patch2loc.data.results import Results
from patch2loc.engine.choices import Device
from patch2loc.engine.gpus import visible_gpus

LEAST_HOURS = 0.1  # that are worth a note
MANY_HOURS = 96  # from which on days are said
ACCEPTED_SHARE = (
    0.44  # of the grid: voxels around which a patch holds enough brain (docs/explanation/deviations.md)
)
STEM = 3  # kernel and padding of the encoder's first layer


class RatedNetwork(NamedTuple):
    """A location network that rates are of.

    Attributes:
        name: Its name there.
        widths: Channels of its encoder's layers.
        patch: Width of a patch, voxels.
    """

    name: str
    widths: tuple[int, int, int, int]
    patch: int


NARROW = RatedNetwork("narrow location network", (16, 32, 128, 128), 12)
PAPER = RatedNetwork("location network", (64, 128, 256, 512), 24)


class Work(NamedTuple):
    """Work that a run has not done yet.

    Attributes:
        trainings: Models of location networks.
        scorings: Scans that such a network scores.
        preprocessings: Scans to preprocess.
        answers: Scans without truth that a detector answers about: each is preprocessed and scored by itself.
        others: Methods that run a network of another kind, whose times are not estimated.
    """

    trainings: int
    scorings: int
    preprocessings: int
    answers: int
    others: Sequence[str]


def remaining_work(
    results: Results,
    methods: Sequence[str],
    modalities: Iterable[str],
    folds: Sequence[int | str],
    scans: Mapping[str, Sequence[str]],
    tested: Mapping[tuple[str, int | str], int],
    *,
    answered: Iterable[str] = (),
) -> Work:
    """Work of a run whose results are not there yet.

    Args:
        results: Paths of the results.
        methods: Methods of the run.
        modalities: Modalities that models are trained for.
        folds: Folds and further seeds.
        scans: Scans of each dataset.
        tested: Numbers of scans that a dataset has scored in a fold, {(dataset, fold): number}.
        answered: Datasets whose scans a detector answers about.
    """
    locating = [name for name in methods if locates(name)]
    models = [
        results.model(name, modality, fold) for name in locating for modality in modalities for fold in folds
    ]
    return Work(
        trainings=sum(not Path(model).exists() for model in models),
        scorings=sum(
            count
            for name in locating
            for (dataset, fold), count in tested.items()
            if not Path(results.heatmaps(name, dataset, fold)).exists()
        ),
        preprocessings=sum(
            not Path(results.preprocessed(dataset, scan)).exists()
            for dataset, names in scans.items()
            for scan in names
        ),
        answers=sum(
            not Path(results.patient(dataset, scan)).exists()
            for dataset in answered
            for scan in scans[dataset]
        ),
        others=[name for name in methods if runs_network(name) and not locates(name)],
    )


def estimate_note(work: Work, config: Configuration, cores: int | None = None) -> str:
    """A sentence on the hours that a run needs on a processor; "" for minutes, and where a GPU does the work.

    Args:
        work: That is not done yet.
        config: The run's configuration.
        cores: Processor cores; those of this machine without a number.
    """
    if config["device"] != "cpu" and visible_gpus():
        return ""
    cores = cores or os.cpu_count() or 1
    training, scoring = seconds_of_training(config), seconds_of_scoring(config)
    preprocessing = required_rate("preprocess whole head").seconds
    training_hours = work.trainings * training / 3600
    scan_seconds = (work.scorings + work.answers) * scoring
    scan_hours = (scan_seconds + (work.preprocessings + work.answers) * preprocessing) / 3600
    threads = min(config["training"]["threads"], cores)
    longest = training / threads / 3600 if work.trainings else 0
    hours = max((training_hours + scan_hours) / cores, longest)
    if hours < LEAST_HOURS:
        return ""
    others = f" Not counted: {', '.join(work.others)}." if work.others else ""
    return (
        f"Estimate: about {in_hours(hours)} on the {cores} cores of this machine: training of {work.trainings} "
        f"location networks {in_hours(training_hours)} of a core; preprocessing of {work.preprocessings:,} scans, "
        f"{work.scorings:,} heatmaps and {work.answers:,} answers {in_hours(scan_hours)} of a core.{others} From rates "
        "measured on two cores of an AMD EPYC (docs/explanation/scale.md); slower or busy machines take longer. All "
        "of them: --estimate."
    )


def seconds_of_training(config: Configuration, device: Device = "cpu") -> float:
    """Seconds of a core, or of a GPU, that the training of a location network takes."""
    training = config["training"]
    candidates = training.get("candidates")
    share = ACCEPTED_SHARE * candidates if candidates else 1.0
    return _between("train", config, device) * training["patches"] * share


def seconds_of_scoring(config: Configuration, device: Device = "cpu") -> float:
    """Seconds of a core, or of a GPU, that a location network takes to score a scan."""
    voxels = math.prod(config["grid"]["shape"])
    return _between("score", config, device) * voxels / config["score"]["stride"] ** 2


def _between(work: str, config: Configuration, device: Device) -> float:
    """Time of a network's unit, on the line through two networks' by the multiplications of a patch."""
    narrow, paper = (required_rate(f"{work} {network.name}", device).seconds for network in (NARROW, PAPER))
    low, high = (multiplications(network.widths, network.patch) for network in (NARROW, PAPER))
    own = multiplications(config["training"]["widths"], config["patch"])
    return narrow + (paper - narrow) / (high - low) * (own - low)


def multiplications(widths: Sequence[int], patch: int) -> int:
    """Multiplications that the encoder, a ResNet-18, needs for a patch, padding counted in."""
    size = (patch + 2 * STEM - 3) // 2 + 1
    total = size**2 * 9 * widths[0]
    size = (size - 1) // 2 + 1
    inner = widths[0]
    for width, stride in zip(widths, (1, 2, 2, 2), strict=True):
        size = (size - 1) // stride + 1
        total += size**2 * 9 * (inner * width + 3 * width**2)
        total += size**2 * inner * width if stride > 1 or inner != width else 0
        inner = width
    return total


def in_hours(hours: float) -> str:
    """Hours in words: "6 minutes", "1.4 hours", "48 hours", "15 days"."""
    if hours < 1:
        return f"{hours * 60:.0f} minutes"
    if hours >= MANY_HOURS:
        return f"{hours / 24:,.0f} days"
    return f"{hours:.1f} hours" if hours < 10 else f"{hours:.0f} hours"
