"""The cost of a run as a page of text: a table of its stages, how long it takes, and where each rate is from."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from patch2loc.estimate.costs import Stage
from patch2loc.estimate.hours import in_hours
from patch2loc.estimate.rates import MEASURED, Rate

NEVER_RUN = (
    "Hours are products of the rates below, without waiting in a queue: nobody has run the paper's configuration as a "
    "whole, on any machine."
)
UNMEASURED_GPU = "No rate of a GPU has been measured: those are estimates."
UNITS = ("MB", "GB", "TB")


class Machine(NamedTuple):
    """Computers that a run takes place on.

    Attributes:
        cores: Processor cores of one machine.
        gpus: GPUs of that machine.
        cluster_jobs: Jobs that a cluster runs at once, each with the cores, or the GPU, that it asks for.
    """

    cores: int
    gpus: int
    cluster_jobs: int


def cost_summary(stages: Sequence[Stage], machine: Machine) -> dict[str, str]:
    """Cost of a whole run in words: {what: how much}."""
    whole = total(stages)
    of_machine = (
        f"{machine.cores} cores and {counted(machine.gpus, 'GPU')}"
        if machine.gpus
        else f"{machine.cores} cores"
    )
    return {
        "jobs": f"{whole.jobs:,}",
        "cluster jobs": f"{whole.cluster_jobs:,}",
        "hours of a core": hours_in_words(whole.core_hours),
        "hours of a GPU": hours_in_words(whole.gpu_hours),
        f"time on {of_machine}": in_hours(hours_on_machine(stages, machine)),
        f"time on a cluster, {machine.cluster_jobs} jobs at once": in_hours(
            hours_on_cluster(stages, machine.cluster_jobs)
        ),
        "memory of the largest job": size_in_words(whole.memory_mb),
        "memory of a GPU": size_in_words(whole.gpu_memory_mb),
        "disk": size_in_words(whole.disk_mb),
    }


def cost_page(stages: Sequence[Stage], data: Stage, machine: Machine, scans: str) -> str:
    """All about the cost of a run, in Markdown that reads well in a terminal.

    Args:
        stages: Of the run (`run_costs`).
        data: What comes before it (`data_costs`).
        machine: Computers to tell the time for.
        scans: Sentence on the scans that were counted.
    """
    rates = list(dict.fromkeys(rate for stage in (data, *stages) for rate in stage.rates if stage.jobs))
    unknown = list(dict.fromkeys(work for stage in stages for work in stage.unknown))
    summary = cost_summary(stages, machine)
    notes = [
        scans,
        NEVER_RUN,
        UNMEASURED_GPU if any(rate.device == "cuda" and rate.status != MEASURED for rate in rates) else "",
        f"Not counted, as nobody has measured or estimated it: {', '.join(unknown)}." if unknown else "",
    ]
    return "\n\n".join(
        [
            markdown(
                ("stage", "jobs", "core hours", "GPU hours", "memory", "GPU memory", "disk"),
                stage_rows(stages, data),
            ),
            markdown(("the whole run", ""), summary.items()),
            " ".join(note for note in notes if note),
            markdown(("rate", "takes", "how it is known"), map(rate_row, rates)),
        ]
    )


def stage_rows(stages: Sequence[Stage], data: Stage) -> list[Sequence[str]]:
    """Rows of the table of stages; the data come first, and do not count in the sum."""
    before = [data._replace(name="(before: data)")] if data.jobs else []
    return [
        (
            stage.name,
            f"{stage.jobs:,}",
            "?" if stage.unknown and not stage.rates else hours_in_words(stage.core_hours),
            hours_in_words(stage.gpu_hours),
            size_in_words(stage.memory_mb),
            size_in_words(stage.gpu_memory_mb),
            size_in_words(stage.disk_mb),
        )
        for stage in (*before, *stages, total(stages))
    ]


def total(stages: Sequence[Stage]) -> Stage:
    """Sums over all stages, and the largest memory."""
    return Stage(
        name="all",
        phase=0,
        jobs=sum(stage.jobs for stage in stages),
        cluster_jobs=sum(stage.cluster_jobs for stage in stages),
        core_hours=sum(stage.core_hours for stage in stages),
        gpu_hours=sum(stage.gpu_hours for stage in stages),
        longest_hours=0.0,
        threads=1,
        memory_mb=max((stage.memory_mb or 0 for stage in stages), default=0),
        gpu_memory_mb=max((stage.gpu_memory_mb or 0 for stage in stages), default=0),
        disk_mb=sum(stage.disk_mb for stage in stages),
        rates=(),
        unknown=(),
    )


def hours_on_machine(stages: Sequence[Stage], machine: Machine) -> float:
    """Hours of a run on one machine.

    In each phase cores and GPUs are shared out without loss, but no job is divided further than its threads, and the
    longest job of each stage follows that of the stage before.
    """

    def hours(phase: Sequence[Stage]) -> float:
        cores = sum(stage.core_hours for stage in phase) / machine.cores
        gpus = sum(stage.gpu_hours for stage in phase) / max(1, machine.gpus)
        return max(cores, gpus, _chain(phase, machine.cores))

    return _sum_over_phases(stages, hours)


def hours_on_cluster(stages: Sequence[Stage], jobs_at_once: int) -> float:
    """Hours of a run on a cluster that runs so many jobs at once, each on the cores, or the GPU, that it asks for."""

    def hours(phase: Sequence[Stage]) -> float:
        of_jobs = sum((stage.gpu_hours or stage.core_hours / stage.threads) for stage in phase)
        return max(of_jobs / jobs_at_once, _chain(phase, None))

    return _sum_over_phases(stages, hours)


def _sum_over_phases(stages: Sequence[Stage], hours: Callable[[Sequence[Stage]], float]) -> float:
    ordered = sorted(stages, key=lambda stage: stage.phase)
    return sum(hours(list(phase)) for _, phase in groupby(ordered, key=lambda stage: stage.phase))


def _chain(phase: Sequence[Stage], cores: int | None) -> float:
    """Hours of the longest jobs that wait for each other: a method's training, its heatmaps, and what follows."""
    longest: dict[str, float] = {}
    for stage in phase:
        threads = stage.threads if cores is None else min(stage.threads, cores)
        kind = stage.name.partition(" ")[0]  # train, score, evaluate
        longest[kind] = max(longest.get(kind, 0.0), stage.longest_hours / threads)
    return sum(longest.values())


def rate_row(rate: Rate) -> tuple[str, str, str]:
    """A rate in words: work, time of a unit, and how it is known."""
    device = "a GPU" if rate.device == "cuda" else "a core"
    on = f" on {rate.machine}" if rate.machine else ""
    return (
        rate.work,
        f"{seconds_in_words(rate.seconds)} of {device} a {rate.unit}",
        f"{rate.status} {rate.date}{on}: {rate.source}",
    )


def hours_in_words(hours: float) -> str:
    """Hours as a cell: "-", "0.3", "1,200"."""
    if not hours:
        return "-"
    if hours < 0.05:
        return "< 0.1"
    return f"{hours:.1f}" if hours < 10 else f"{hours:,.0f}"


def size_in_words(size_mb: float | None) -> str:
    """A size as a cell: "-", "630 MB", "1.8 GB"."""
    if not size_mb:
        return "-"
    size, unit = size_mb, 0
    while size >= 1000 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.1f} {UNITS[unit]}" if size < 10 and unit else f"{size:.0f} {UNITS[unit]}"


def seconds_in_words(seconds: float) -> str:
    """Seconds with a unit that suits them: "9 s", "2.4 ms", "0.22 ms", "1.9e-04 ms"."""
    return f"{seconds:.3g} s" if seconds >= 0.1 else f"{1000 * seconds:.2g} ms"


def counted(number: int, name: str) -> str:
    """A number of things: "1 GPU", "2 GPUs"."""
    return f"{number} {name}{'s' if number != 1 else ''}"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown whose columns are as wide as they need to be."""
    cells = [list(header), *map(list, rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(header))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])
