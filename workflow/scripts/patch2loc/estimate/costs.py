"""What a whole run costs, stage by stage: jobs, hours of cores and GPUs, memory and disk, by its plan and by rates.

Nothing is read but the configuration and its lists of subjects: the data need not be there.
"""

import math
from collections.abc import Iterator, Sequence
from statistics import mean
from typing import Any, NamedTuple, cast

from patch2loc.acquire.sources import SIMULATED
from patch2loc.configuration.keys import Configuration
from patch2loc.configuration.method_registry import locates, runs_network
from patch2loc.configuration.method_settings import resolve_settings
from patch2loc.configuration.variants import configuration_of
from patch2loc.data.vocabulary import SubjectRole
from patch2loc.engine.choices import Device
from patch2loc.estimate.hours import PAPER, seconds_of_scoring, seconds_of_training
from patch2loc.estimate.rates import Rate, find_rate
from patch2loc.method_interface import declaration
from patch2loc.plan.jobs import SizedJob, jobs
from patch2loc.plan.outputs import Outputs
from patch2loc.plan.plan import Plan
from patch2loc.preprocess.external_tools import TOOLS

GRID = (192, 192, 100)  # of the paper, whose voxels of 1 mm rates of a scan are for
SLICE_MM = 2  # edge of a voxel of the slices that methods see, on a finer grid
SMALL = " (small)"  # after work of a network of the budget `smoke`
GROUPED = 8  # scans that a cluster job makes and preprocesses (profiles/slurm)
WHOLE_HEAD, STRIPPED = "preprocess whole head", "preprocess stripped head"
FULL_BIAS_FIELD = "fit bias field to all voxels"

Jobs = Sequence[SizedJob]


class Stage(NamedTuple):
    """Cost of a stage of a run.

    Attributes:
        name: Work that is done.
        phase: Number of the phase: stages of one run side by side, those of the next begin when they are done.
        jobs: Number of jobs.
        cluster_jobs: Number of cluster jobs; short jobs share one.
        core_hours: Hours of a core, all jobs together; while a GPU works, of one core.
        gpu_hours: Hours of a GPU, all jobs together.
        longest_hours: Hours of the longest job, on one core or on a GPU.
        threads: Cores that divide the hours of a job.
        memory_mb: Largest memory of a job; None where nobody knows.
        gpu_memory_mb: Largest memory on a GPU; None without one, and where nobody knows.
        disk_mb: Size of the results.
        rates: Rates that hours and sizes are products of.
        unknown: Kinds of work without a rate, which hours and sizes leave out.
    """

    name: str
    phase: int
    jobs: int
    cluster_jobs: int
    core_hours: float
    gpu_hours: float
    longest_hours: float
    threads: int
    memory_mb: float | None
    gpu_memory_mb: float | None
    disk_mb: float
    rates: tuple[Rate, ...]
    unknown: tuple[str, ...]


class Part(NamedTuple):
    """A part of the work of a job.

    Attributes:
        work: Kind of work.
        rate: Its rate; None where there is none.
        units: Units of the rate for each scan of the job, or for each job.
        seconds: Seconds of a unit, if not those of the rate.
    """

    work: str
    rate: Rate | None
    units: float = 1.0
    seconds: float | None = None

    @property
    def cost(self) -> float:
        """Seconds."""
        seconds = self.rate.seconds if self.rate and self.seconds is None else self.seconds or 0.0
        return seconds * self.units

    @property
    def disk_mb(self) -> float:
        """Size on disk."""
        return (self.rate.disk_mb or 0.0) * self.units if self.rate else 0.0


def run_costs(plan: Plan, device: Device) -> list[Stage]:
    """Cost of each stage of a run from its beginning, in order.

    Args:
        plan: Plan of the run. Its scans need not be there.
        device: Device of its networks.
    """
    planned = list(jobs(plan))
    stages = [
        *_scan_stages(plan, planned),
        *(_training(plan, name, planned, device) for name in plan.trained_methods),
        *(_scoring(plan, name, planned, device) for name in plan.trained_methods),
        *_further_stages(plan, planned, device),
    ]
    return [stage for stage in stages if stage.jobs]


def data_costs(plan: Plan) -> Stage:
    """Cost of `snakemake data`, which comes before a run: of the sources that are unpacked, as large as their scans."""
    scans: dict[str, int] = {}
    for dataset in plan.datasets.values():
        if name := dataset.source.get("registry"):
            scans[name] = scans.get(name, 0) + len(dataset.scans)
    return _stage("data", 0, list(scans.values()), [_part("unpack")])


def scan_counts(plan: Plan) -> str:
    """A sentence on the scans that a run's cost is of, and on those of which nothing is there yet."""
    counts = ", ".join(f"{name} {len(dataset.scans):,}" for name, dataset in plan.datasets.items())
    total = sum(len(dataset.scans) for dataset in plan.datasets.values())
    absent = sum(
        not paths["scan"].exists()
        for dataset in plan.datasets.values()
        if dataset.kind not in SIMULATED
        for paths in dataset.source_scans.values()
    )
    told = f"; {absent:,} of them, counted by the lists of subjects, are not below {plan.config['data']}"
    return f"{total:,} scans ({counts}){told if absent else ''}."


def _scan_stages(plan: Plan, jobs: Jobs) -> Iterator[Stage]:
    """Stages up to the landmarks."""
    disk = _grid_share(plan)
    for rule, work in (
        ("simulate_phantom", "simulate head"),
        ("paint_stroke", "paint stroke"),
        ("paint_lesion", "paint lesion"),
        ("recontrast_scan", "recontrast scan"),
    ):
        yield _stage(work, 1, _scans(jobs, rule), [_part(work)], together=GROUPED)
    for name, count in _preprocessing_kinds(plan).items():
        rate = find_rate(name)
        part = Part(name, rate and rate._replace(disk_mb=(rate.disk_mb or 0) * disk))
        fits = plan.config["preprocess"].get("bias_field") == "full"
        fitting = [_part(FULL_BIAS_FIELD, _grid_share(plan))] if fits else []
        yield _stage(name, 1, [1] * count, [part, *fitting], together=GROUPED)
    lists = _scans(jobs, "cohort_list", "quality", "subject_lists", "every_scan_used")
    yield _stage("lists of scans", 1, lists, [_part("list scans")])
    if plan.config["intensities"]["landmarks"] == "box":
        yield _stage("landmarks", 2, _scans(jobs, "landmarks"), [_part("read scan", disk)])
    else:  # from the percentiles that are in the quality control of each scan
        yield _stage("landmarks", 2, [1] * len(_scans(jobs, "landmarks")), [_part("list scans")])


def _preprocessing_kinds(plan: Plan) -> dict[str, int]:
    """Scans of each kind of work that preprocessing is."""
    kinds: dict[str, int] = {}
    for dataset in plan.datasets.values():
        strip = dataset.settings["skull_strip"]
        kind = f"preprocess by {strip}" if strip in TOOLS else STRIPPED if strip == "none" else WHOLE_HEAD
        kinds[kind] = kinds.get(kind, 0) + len(dataset.scans)
    return kinds


def _training(plan: Plan, name: str, jobs: Jobs, device: Device) -> Stage:
    """Training of all models of a method: it reads the scans, and trains on patches, slices, or scans at once."""
    once = list(_training_parts(plan, name, device))
    threads = plan.config["training"]["threads"] if runs_network(name) else 1
    reading = _part("read scan", _grid_share(plan))
    scans = _scans(jobs, "train", method=name)
    return _stage(f"train {name}", 3, scans, [reading], once=once, threads=threads)


def _training_parts(plan: Plan, name: str, device: Device) -> Iterator[Part]:
    """What a training does once it has read its scans."""
    if locates(name):
        work = f"train {PAPER.name}"
        config = cast(Configuration, configuration_of(name, plan.config))
        patches = config["training"]["patches"]
        seconds = seconds_of_training(config, device) / patches
        yield Part(work, find_rate(work, device), patches, seconds)
        return
    if not runs_network(name):
        return
    settings = resolve_settings(name, plan.config["budget"], plan.config["method_settings"].get(name))
    if not {"steps", "batch"} <= settings.keys():
        yield Part(f"train {name}", None)
        return
    for work, steps in (("train", "steps"), ("pretrain", "pretraining_steps")):
        if steps in settings:
            part = _of_network(work, name, plan, device)
            share = _slice_share(plan) * (
                _slices_share(plan) if part.rate and part.rate.unit == "scan" else 1
            )
            yield part._replace(units=settings[steps] * settings["batch"] * share)


def _scoring(plan: Plan, name: str, jobs: Jobs, device: Device) -> Stage:
    """Heatmaps of a method: its network, and what every heatmap takes."""
    grid = _grid_share(plan)
    parts = [_part("finish heatmap", grid, device=device if runs_network(name) else "cpu")]
    if declaration(name).as_published is not None:
        parts.append(_part("filter as published", grid))
    if locates(name):
        work = f"score {PAPER.name}"
        config = cast(Configuration, configuration_of(name, plan.config))
        parts.append(Part(work, find_rate(work, device), 1, seconds_of_scoring(config, device)))
        parts.append(_part("predict patches", grid, device=device))
    elif runs_network(name):
        share = _slice_share(plan) * _slices_share(plan)
        parts.append(_of_network("score", name, plan, device)._replace(units=share))
    threads = plan.config["score"]["threads"] if runs_network(name) else 1
    scans = _scans(jobs, "score", "score_validation", method=name)
    return _stage(f"score {name}", 3, scans, parts, threads=threads)


def _further_stages(plan: Plan, jobs: Jobs, device: Device) -> Iterator[Stage]:
    """Stages after the heatmaps of methods."""
    grid = _grid_share(plan)
    yield _stage("patches", 3, _scans(jobs, "analyze_patches"), [_part("analyze patches", grid)])
    yield _stage("calibrate", 3, _scans(jobs, "calibrate"), [_part("calibrate", grid)])
    combined = _scans(jobs, "combine", "combine_validation", "join", "join_validation")
    yield _stage("combine", 3, combined, [_part("combine", grid)])
    evaluated = _scans(jobs, "evaluate")
    yield _stage("evaluate", 3, evaluated, [_part("evaluate", grid)], once=[_comparison(plan, grid)])
    yield _stage("detectors", 4, _scans(jobs, "detector"), [_part("make detector")])
    scoring = seconds_of_scoring(plan.config, device)
    network = Part(f"score {PAPER.name}", find_rate(f"score {PAPER.name}", device), 1, scoring)
    answer = [_part(WHOLE_HEAD), network, _part("finish heatmap", grid, device=device)]
    threads = plan.config["score"]["threads"]
    yield _stage("answers", 4, _scans(jobs, "patient"), answer, threads=threads)
    outputs = [output.name for output in Outputs(plan).made]
    last = [*_scans(jobs, *outputs, "learning_curve", "viewer", "report_page", "crate"), 1]  # and `all`
    yield _stage("tables, figures, report", 5, last, [_part("make table or figure")])


def _comparison(plan: Plan, grid: float) -> Part:
    """Healthy test and validation scans that an evaluation compares with, of one modality and fold."""
    roles: tuple[SubjectRole, ...] = ("test", "validation")
    datasets = [plan.datasets[name] for name in plan.training_data.values()]
    scans = sum(
        mean(len(dataset.subjects(fold, role)) for dataset in datasets for fold in plan.folds)
        for role in roles
    )
    return _part("compare with healthy scan", grid * scans)


def _of_network(work: str, name: str, plan: Plan, device: Device) -> Part:
    """Work of a method's network, which is a small one by the budget `smoke`."""
    rate = find_rate(f"{work} {name}{SMALL if plan.config['budget'] == 'smoke' else ''}", device)
    return Part(rate.work if rate else f"{work} {name}", rate)


def _part(work: str, units: float = 1.0, device: Device = "cpu") -> Part:
    return Part(work, find_rate(work, device), units)


def _stage(
    name: str,
    phase: int,
    sizes: Sequence[int],
    parts: Sequence[Part],
    *,
    once: Sequence[Part] = (),
    threads: int = 1,
    together: int = 1,
) -> Stage:
    """A stage from the scans of each of its jobs.

    Args:
        name: See `Stage`.
        phase: See `Stage`.
        sizes: Scans, or other units, of each job.
        parts: Work for each of them.
        once: Work of each job.
        threads: See `Stage`.
        together: Jobs that share a cluster job.
    """
    once = [_part("start job"), *once]
    rates = [part.rate for part in (*parts, *once) if part.rate]
    of_scan, of_job = (sum(part.cost for part in some) for some in (parts, once))
    hours = [(of_job + size * of_scan) / 3600 for size in sizes]
    on_gpu = any(rate.device == "cuda" for rate in rates)
    memory: list[Any] = [rate.memory_mb for rate in rates if rate.memory_mb]
    gpu_memory: list[Any] = [rate.gpu_memory_mb for rate in rates if rate.gpu_memory_mb]
    return Stage(
        name=name,
        phase=phase,
        jobs=len(sizes),
        cluster_jobs=math.ceil(len(sizes) / together),
        core_hours=sum(hours),
        gpu_hours=sum(hours) if on_gpu else 0.0,
        longest_hours=max(hours, default=0.0) * min(together, len(sizes)),
        threads=1 if on_gpu else threads,
        memory_mb=max(memory, default=None),
        gpu_memory_mb=max(gpu_memory, default=None) if on_gpu else None,
        disk_mb=sum(sizes) * sum(part.disk_mb for part in parts)
        + len(sizes) * sum(part.rate.disk_mb or 0 for part in once if part.rate),
        rates=tuple(dict.fromkeys(rates)),
        unknown=tuple(part.work for part in (*parts, *once) if not part.rate),
    )


def _scans(jobs: Jobs, *rules: str, method: str | None = None) -> list[int]:
    """Scans that each job of some rules takes, of one method or of all."""
    return [job.scans for job in jobs if job.rule in rules and method in (None, job.wildcards.method)]


def _grid_share(plan: Plan) -> float:
    """Voxels of the grid, those of the paper being 1."""
    return math.prod(plan.config["grid"]["shape"]) / math.prod(GRID)


def _slice_share(plan: Plan) -> float:
    """Voxels of a slice that methods see, those of the paper's grid being 1."""
    columns, rows, _ = plan.config["grid"]["shape"]
    return columns * rows / GRID[0] / GRID[1] * (SLICE_MM / _block(plan)) ** 2


def _slices_share(plan: Plan) -> float:
    """Slices of a scan that methods see, those of the paper's grid being 1."""
    return float(plan.config["grid"]["shape"][2] / GRID[2] * (SLICE_MM / _block(plan)))


def _block(plan: Plan) -> int:
    """Voxels of the grid along the edge of a voxel of such a slice (`data.volumes.block`, without its imports)."""
    return max(1, round(SLICE_MM / plan.config["grid"]["spacing"]))
