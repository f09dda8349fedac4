"""The jobs of a run for its crate: rule, code, inputs and outputs of each, in the order of the stages."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from types import SimpleNamespace
from typing import Any, NamedTuple

from patch2loc.configuration.datasets import ALL_SCANS, names_with_role
from patch2loc.configuration.run import Run
from patch2loc.data.splits import ROLES
from patch2loc.provenance.crate_entities import Job

# Precedes the path in the repository, where a rule takes a file from there.
REPOSITORY = "/rules/../"

Pattern = str | Callable[[Any], str | Sequence[str]]


class RuleOutline(NamedTuple):
    """The parts of a rule that describe its jobs.

    Code and inputs may be functions of a job's wildcards, an object with one attribute for each.

    Attributes:
        name: Name of the rule.
        code: Hash of the code behind it.
        inputs: Patterns such as "models/{method}.csv".
        outputs: Patterns.
    """

    name: str
    code: str | Callable[[Any], str]
    inputs: Sequence[Pattern]
    outputs: Sequence[str]


def jobs_of(rule: RuleOutline, about: str, wildcards: Mapping[str, Iterable[Any]]) -> Iterator[Job]:
    """Jobs of a rule, one for every combination of its wildcards.

    Args:
        rule: The rule.
        about: Description of its outputs.
        wildcards: Values of each wildcard.
    """
    for values in product(*wildcards.values()):
        fields = dict(zip(wildcards, map(str, values), strict=True))
        yield Job(
            rule=rule.name,
            about=about,
            code=_code(rule, fields),
            # Snakemake takes files of the repository from a cache, whose path differs from run to run.
            inputs=[path.rpartition(REPOSITORY)[2] for path in _paths(rule.inputs, fields)],
            outputs=[str(path).format(**fields) for path in rule.outputs],
        )


def run_jobs(run: Run, outline_of: Callable[[str], RuleOutline]) -> Iterator[Job]:
    """Jobs that made the results of a run, in the order of the stages.

    Args:
        run: The run.
        outline_of: Gives the outline of a rule by its name.
    """

    def jobs(name: str, about: str, wildcards: Mapping[str, Iterable[Any]] | None = None) -> Iterator[Job]:
        return jobs_of(outline_of(name), about, wildcards or {})

    every_dataset: dict[str, Iterable[Any]] = {"dataset": run.datasets, "fold": run.trainings}
    every_training: dict[str, Iterable[Any]] = {"modality": list(run.training_data), "fold": run.trainings}
    methods = {"method": run.trained_methods}
    combinations = {"method": run.combinations}
    yield from scan_jobs(run, outline_of)
    yield from jobs("landmarks", "Nyul landmarks.", every_training)
    yield from jobs("train", "Model and its training history.", methods | every_training)
    pairs = [(name, dataset) for name in run.trained_methods for dataset in run.datasets_scored_by(name)]
    for name, dataset in pairs:
        folds = [fold for fold in run.trainings if run.scoring_fold(name, dataset, fold) == fold]
        scored: dict[str, Iterable[Any]] = {"method": [name], "dataset": [dataset], "fold": folds}
        yield from jobs("score", "Heatmaps of test scans.", scored)
    yield from jobs("score_validation", "Heatmaps of validation scans.", methods | every_dataset)
    yield from jobs("combine", "Heatmaps of test scans, combined from others.", combinations | every_dataset)
    yield from jobs(
        "combine_validation",
        "Heatmaps of validation scans, combined from others.",
        combinations | every_dataset,
    )
    joint: dict[str, Iterable[Any]] = {"dataset": run.joint, "fold": run.folds}
    rows = {"method": run.evaluated_methods}
    yield from jobs("joint_cohort", "List of people who have all scans of a joint dataset.", joint)
    yield from jobs("join", "Heatmaps of test scans, joined over the scans of a person.", rows | joint)
    healthy = {run.training_dataset(name) for name in run.joint}
    yield from jobs(
        "join_validation",
        "Heatmaps of validation scans, joined over the scans of a person.",
        rows | joint | {"dataset": sorted(healthy)},
    )
    yield from jobs("analyze_patches", "One row a patch.", {"method": run.locating_methods} | every_dataset)
    yield from jobs(
        "calibrate",
        "Location and scale of a score in healthy brains.",
        {"method": run.calibrated_methods} | every_training,
    )
    evaluations: dict[str, Iterable[Any]] = {
        "method": run.evaluated_methods,
        "dataset": run.labeled_datasets,
        "fold": run.trainings,
    }
    yield from jobs("evaluate", "One row a scan.", evaluations)
    yield from jobs("evaluate", "One row a person, of joined scans.", rows | joint)
    of_variants = [name for name in run.ablation_rows if name not in run.evaluated_methods]
    lesion = names_with_role(run.datasets, "lesion")
    yield from jobs("evaluate", "One row a scan.", evaluations | {"method": of_variants, "dataset": lesion})
    if "patients" in run.outputs.tables:
        yield from patient_jobs(run, outline_of)
    for output in sorted(run.outputs.made, key=lambda output: not output.has_table):
        yield from jobs(output.name, output.about)
    yield from jobs("quality", "Quality control of every scan.")
    yield from jobs("subject_lists", "Who trains, validates and is tested.")
    yield from jobs("learning_curve", "Losses of a training.", every_training)
    yield from jobs("viewer", "The interactive viewer.")
    yield from jobs("report_page", "The report.")


def scan_jobs(run: Run, outline_of: Callable[[str], RuleOutline]) -> Iterator[Job]:
    """Jobs that made the scans and the lists of them, one dataset after another; arguments as for `run_jobs`."""
    cohorts = [ALL_SCANS, *(f"{role}_fold{fold}" for fold in run.folds for role in ROLES)]
    for name, dataset in run.datasets.items():
        raw: list[str] = []
        if dataset.kind == "phantom":
            raw = [run.results.raw_dataset(f"phantom_{dataset.source['cohort']}")]
            yield _scan_job(outline_of("simulate_phantom"), "Scans.", [], raw)
        elif dataset.kind == "painted":
            raw = [run.results.raw_dataset(name)]
            yield _scan_job(outline_of("paint_stroke"), "Scans with simulated strokes.", [], raw)
        elif dataset.kind == "controlled":
            raw = [run.results.raw_dataset(name)]
            yield _scan_job(outline_of("paint_lesion"), "Scans with simulated lesions.", [], raw)
        elif dataset.kind == "recontrasted":
            raw = [run.results.raw_dataset(name)]
            yield _scan_job(outline_of("recontrast_scan"), "Scans in a simulated contrast.", [], raw)
        scans = [run.results.preprocessed_dataset(name)]
        about = "Scans on the grid, with brain and lesion masks and quality control."
        yield _scan_job(outline_of("preprocess"), about, raw, scans)
        for cohort in cohorts:
            lists = [run.results.cohort(name, cohort)]
            yield _scan_job(outline_of("cohort_list"), "List of preprocessed scans.", scans, lists)


def patient_jobs(run: Run, outline_of: Callable[[str], RuleOutline]) -> Iterator[Job]:
    """Jobs that made the detectors and the answers about scans without truth; arguments as for `run_jobs`."""
    unlabeled = names_with_role(run.datasets, "unlabeled")
    for modality in dict.fromkeys(run.datasets[name].modality for name in unlabeled):
        parts = run.parts_of_detector(modality, run.folds[0]).values()
        inputs = [path for part in parts for path in ([part] if isinstance(part, str) else part)]
        detectors = [run.results.detector(modality, run.folds[0])]
        yield _scan_job(outline_of("detector"), "Detector.", inputs, detectors)
    for name in unlabeled:
        answers = [run.results.patient(name, scan) for scan in run.datasets[name].scans]
        yield _scan_job(outline_of("patient"), "Answers about scans.", [run.detector(name)], answers)


def _scan_job(rule: RuleOutline, about: str, inputs: list[str], outputs: list[str]) -> Job:
    """One job for all scans of a dataset, of a rule that makes each of them by itself."""
    return Job(rule=rule.name, about=about, code=_code(rule, {}), inputs=inputs, outputs=outputs)


def _code(rule: RuleOutline, fields: Mapping[str, str]) -> str:
    return rule.code(SimpleNamespace(**fields)) if callable(rule.code) else rule.code


def _paths(inputs: Sequence[Pattern], fields: Mapping[str, str]) -> Iterator[str]:
    wildcards = SimpleNamespace(**fields)
    for pattern in inputs:
        paths = pattern(wildcards) if callable(pattern) else pattern
        for path in [paths] if isinstance(paths, str) else paths:
            yield str(path).format(**fields)
