"""How long a run will still take on a processor, by the rates of rates.csv (docs/explanation/scale.md)."""

import math
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from patch2loc.configuration.keys import Configuration
from patch2loc.configuration.method_registry import locates, runs_network
from patch2loc.engine.choices import Device
from patch2loc.engine.gpus import visible_gpus
from patch2loc.estimate.rates import required_rate
from patch2loc.plan.jobs import jobs
from patch2loc.plan.plan import Plan

LEAST_HOURS = 0.1  # that are worth a note
MANY_HOURS = 96  # from which on days are said
ACCEPTED_SHARE = (
    0.44  # of the grid: voxels around which a patch holds enough brain (docs/explanation/deviations.md)
)
STEM = 3  # kernel and padding of the encoder's first layer
# Options of Snakemake by which it computes nothing that takes hours, and a target that does not either.
COMPUTES_NOTHING = {
    *("--list-target-rules", "--lt", "--list-rules", "--list", "-l", "--lint", "--unlock", "--containerize"),
    *("--summary", "-S", "--detailed-summary", "-D", "--dag", "--rulegraph", "--filegraph", "--d3dag"),
    *("--report", "--touch", "-t", "--delete-all-output", "--delete-temp-output", "--list-changes", "--lc"),
    *("--list-input-changes", "--list-untracked", "--lu", "--cleanup-metadata", "--cm", "--conda-list-envs"),
    *("--conda-create-envs-only", "--conda-cleanup-envs", "--archive", "--print-compilation"),
}
DATA, QUALITY = "data", "quality"  # targets


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


def remaining_work(plan: Plan) -> Work:
    """Work of a run whose results are not there yet."""
    results = plan.results
    paths = {
        "train": results.model(),
        "score": results.heatmaps(),
        "preprocess": results.preprocessed(),
        "patient": results.patient(),
    }
    left: dict[str, list[int]] = {rule: [] for rule in paths}
    for rule, wildcards, scans in jobs(plan):
        is_counted = rule in paths and (not wildcards.method or locates(wildcards.method))
        if is_counted and not Path(wildcards.fill(paths[rule])).exists():
            left[rule].append(scans)
    return Work(
        trainings=len(left["train"]),
        scorings=sum(left["score"]),
        preprocessings=len(left["preprocess"]),
        answers=len(left["patient"]),
        others=[name for name in plan.trained_methods if runs_network(name) and not locates(name)],
    )


def note_before_run(plan: Plan, words: Sequence[str], *, nodes: int | None) -> str:
    """`estimate_note` of what a call of Snakemake computes on this machine; "" if that is nothing.

    Args:
        plan: Plan of the run.
        words: Command line of Snakemake, without the program.
        nodes: Most jobs at once on a cluster; None without a cluster.
    """
    if not computes_here(words, nodes):
        return ""
    work = remaining_work(plan)
    return estimate_note(
        Work(0, 0, work.preprocessings, 0, ()) if asks_for(QUALITY, words) else work, plan.config
    )


def computes_here(words: Sequence[str], cluster_jobs: int | None) -> bool:
    """True if a call of Snakemake computes results, or plans to, with the processors of this machine.

    Args:
        words: Its command line, without the program.
        cluster_jobs: Most jobs at once on a cluster; None without a cluster.
    """
    options = {word.partition("=")[0] for word in words}
    return cluster_jobs is None and COMPUTES_NOTHING.isdisjoint(options) and not asks_for(DATA, words)


def asks_for(target: str, words: Sequence[str]) -> bool:
    """True if a call of Snakemake names a target; words: of its command line, without the program."""
    return any(
        word == target and before not in ("-d", "--directory") for before, word in pairwise(["", *words])
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
