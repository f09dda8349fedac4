"""The jobs of a run, stated once: families of jobs, each of one rule and the wildcards that it runs over.

Counts, the estimate of costs and the crate's list follow from them. Only what the rules gather, such as `all`, and what
is made on request are no families.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple, cast

from patch2loc.configuration.method_registry import runs_network
from patch2loc.data.modalities import Modality
from patch2loc.data.results import Fold
from patch2loc.data.splits import ROLES
from patch2loc.data.vocabulary import SubjectRole
from patch2loc.plan.ablations import ablation_rows, repeated_methods
from patch2loc.plan.dataset_groups import labeled, lesion, of_kind, unlabeled
from patch2loc.plan.detector import detector, has_detector, parts_of_detector
from patch2loc.plan.outputs import Outputs
from patch2loc.plan.plan import Plan
from patch2loc.plan.score import calibrated_methods, locating_methods, scoring_fold
from patch2loc.provenance.crate_entities import Job

# Precedes the path in the repository, where a rule takes a file from there.
REPOSITORY = "/rules/../"
SUBJECT = "/{subject}"  # in the paths of one scan

Pattern = str | Callable[[Any], str | Sequence[str]]


class Wildcards(NamedTuple):
    """Values of a job's wildcards; "" for one that its rule lacks."""

    method: str = ""
    modality: str = ""
    dataset: str = ""
    cohort: str = ""
    subject: str = ""
    fold: Fold = ""

    def fill(self, pattern: str) -> str:
        """A pattern such as "models/{method}.csv" with these values."""
        return pattern.format(**self._asdict())


class JobFamily(NamedTuple):
    """Jobs of one rule.

    Attributes:
        rule: Name of the rule.
        about: What their outputs are, for the crate; "" if it does not describe them.
        jobs: Wildcards of each job.
        role: Role of the scans of its dataset, or of the training data of its modality, that a job takes in its fold;
            None for jobs of a scan, a list or a table.
        inputs: Function of the wildcards that returns what the crate says that jobs take; None if it is what the rule
            says.
    """

    rule: str
    about: str
    jobs: Sequence[Wildcards]
    role: SubjectRole | None = None
    inputs: Callable[[Wildcards], list[str]] | None = None


class SizedJob(NamedTuple):
    """A job.

    Attributes:
        rule: Name of its rule.
        wildcards: Values of its wildcards.
        scans: Number of scans that it takes, or 1.
    """

    rule: str
    wildcards: Wildcards
    scans: int


class RuleOutline(NamedTuple):
    """The parts of a rule that describe its jobs.

    Code and inputs may be functions of a job's wildcards.

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


def job_families(plan: Plan) -> list[JobFamily]:
    """Families of all jobs of a whole run from its beginning, in the order of the stages. No scan need be there."""
    outputs = sorted(Outputs(plan).made, key=lambda output: not output.has_table)
    rows, joint = plan.evaluated_methods, list(plan.joint)
    joint_healthy = sorted({each.healthy for each in plan.joint.values()})
    scored, combined = _scored(plan, plan.trained_methods), _scored(plan, plan.combinations)
    trained = _trained(plan, plan.trained_methods)
    curves = [Wildcards(modality=name, fold=fold) for name, fold in product(plan.training_data, plan.folds)]

    def simulation(rule: str, about: str, kind: str) -> JobFamily:
        return JobFamily(rule, about, _scans(plan, of_kind(plan, kind)), inputs=_no_input)

    def single(rule: str, about: str) -> JobFamily:
        return JobFamily(rule, about, [Wildcards()])

    return [
        JobFamily("fetch_scans", "", [Wildcards()] * bool(plan.data.places_to_fetch)),
        JobFamily("convert_dicom", "", _series(plan)),
        JobFamily("simulate_phantom", "Scans.", _heads(plan), inputs=_no_input),
        simulation("paint_stroke", "Scans with simulated strokes.", "painted"),
        simulation("paint_lesion", "Scans with simulated lesions.", "controlled"),
        simulation("recontrast_scan", "Scans in a simulated contrast.", "recontrasted"),
        JobFamily(
            "preprocess",
            "Scans on the grid, with brain and lesion masks and quality control.",
            _scans(plan, plan.datasets),
            inputs=partial(_raw_scans, plan),
        ),
        JobFamily(
            "cohort_list",
            "List of preprocessed scans.",
            _cohorts(plan),
            inputs=lambda job: [plan.results.preprocessed_dataset(job.dataset)],
        ),
        JobFamily(
            "landmarks",
            "Nyul landmarks.",
            list(dict.fromkeys(job._replace(method="") for job in trained)),
            "train",
        ),
        JobFamily("train", "Model and its training history.", trained, "train"),
        JobFamily(
            "score",
            "Heatmaps of test scans.",
            [job for job in scored if scoring_fold(plan, job.method, job.dataset, job.fold) == job.fold],
            "test",
        ),
        JobFamily(
            "score_validation", "Heatmaps of validation scans.", _of_validation(plan, scored), "validation"
        ),
        JobFamily("combine", "Heatmaps of test scans, combined from others.", combined, "test"),
        JobFamily(
            "combine_validation",
            "Heatmaps of validation scans, combined from others.",
            _of_validation(plan, combined),
            "validation",
        ),
        JobFamily(
            "joint_cohort",
            "List of people who have all scans of a joint dataset.",
            _rows([""], joint, plan.folds),
        ),
        JobFamily(
            "join",
            "Heatmaps of test scans, joined over the scans of a person.",
            _rows(rows, joint, plan.folds),
            "test",
        ),
        JobFamily(
            "join_validation",
            "Heatmaps of validation scans, joined over the scans of a person.",
            _rows(rows, joint_healthy, plan.folds),
            "validation",
        ),
        JobFamily("analyze_patches", "One row a patch.", _patches(plan), "test"),
        JobFamily(
            "calibrate",
            "Location and scale of a score in healthy brains.",
            _trained(plan, calibrated_methods(plan)),
            "validation",
        ),
        JobFamily("evaluate", "One row a scan.", _evaluated(plan), "test"),
        JobFamily("evaluate", "One row a person, of joined scans.", _rows(rows, joint, plan.folds), "test"),
        JobFamily("detector", "Detector.", _detectors(plan), inputs=partial(_files_of_detector, plan)),
        JobFamily(
            "patient",
            "Answers about scans.",
            _scans(plan, _answered(plan)),
            inputs=lambda job: [detector(plan, job.dataset)],
        ),
        *(single(output.name, output.about) for output in outputs),
        single("quality", "Quality control of every scan."),
        single("subject_lists", "Who trains, validates and is tested."),
        JobFamily("learning_curve", "Losses of a training.", curves),
        single("viewer", "The interactive viewer."),
        single("report_page", "The report."),
        single("crate", ""),
        single("every_scan_used", ""),
    ]


def jobs(plan: Plan) -> Iterator[SizedJob]:
    """All jobs of a whole run."""
    for family in job_families(plan):
        for wildcards in family.jobs:
            scans = 1
            if family.role:
                name = wildcards.dataset or plan.training_data[cast(Modality, wildcards.modality)]
                scans = len(plan.all_datasets[name].subjects(wildcards.fold, family.role))
            yield SizedJob(family.rule, wildcards, scans)


def job_counts(plan: Plan) -> dict[str, int]:
    """Number of jobs of each rule of a whole run, without those that only gather."""
    return dict(Counter(job.rule for job in jobs(plan)))


def crate_jobs(plan: Plan, outline_of: Callable[[str], RuleOutline]) -> Iterator[Job]:
    """Jobs as the crate describes them, in the order of the stages; those that differ by the scan alone as one.

    Args:
        plan: Plan of the run.
        outline_of: Gives the outline of a rule by its name.
    """
    scans = (plan.results.raw_folder(), plan.results.preprocessed_folder())
    for family in job_families(plan):
        groups: dict[Wildcards, list[Wildcards]] = {}
        for job in family.jobs if family.about else ():
            groups.setdefault(job._replace(subject=""), []).append(job)
        for group, alike in groups.items():
            outline = outline_of(family.rule)
            # The crate has an entity for the folder of all scans of a dataset, and no file of a scan.
            patterns = [
                path.partition(SUBJECT)[0] if path.startswith(scans) else str(path)
                for path in outline.outputs
            ]
            outputs = [job.fill(path) for job in alike for path in patterns]
            yield Job(
                rule=family.rule,
                about=family.about,
                code=outline.code(group) if callable(outline.code) else outline.code,
                inputs=family.inputs(group) if family.inputs else list(rule_inputs(outline, group)),
                outputs=list(dict.fromkeys(outputs)),
            )


def rule_inputs(rule: RuleOutline, job: Wildcards) -> Iterator[str]:
    """Inputs of a job, those from the repository by their paths there."""
    for pattern in rule.inputs:
        paths = pattern(job) if callable(pattern) else pattern
        for path in [paths] if isinstance(paths, str) else paths:
            # Snakemake takes files of the repository from a cache, whose path differs from run to run.
            yield job.fill(str(path)).rpartition(REPOSITORY)[2]


def _heads(plan: Plan) -> list[Wildcards]:
    """Heads that are simulated, all modalities of a subject by one job."""
    heads = [
        Wildcards(cohort=str(dataset.source["cohort"]), subject=subject)
        for dataset in plan.datasets.values()
        if dataset.kind == "phantom"
        for subject in dataset.scans
    ]
    return list(dict.fromkeys(heads))


def _scans(plan: Plan, datasets: Iterable[str]) -> list[Wildcards]:
    return [
        Wildcards(modality=plan.datasets[name].modality, dataset=name, subject=subject)
        for name in datasets
        for subject in plan.datasets[name].scans
    ]


def _series(plan: Plan) -> list[Wildcards]:
    """Scans that are series of DICOM files."""
    return [
        Wildcards(modality=plan.datasets[name].modality, dataset=name, subject=subject)
        for name in of_kind(plan, "table", "folder")
        for subject in plan.datasets[name].series
    ]


def _cohorts(plan: Plan) -> list[Wildcards]:
    """Lists of scans that other jobs take."""
    cohorts = [
        Wildcards(dataset=name, cohort=dataset.cohort_name(fold, role))
        for name, dataset in plan.datasets.items()
        for fold in plan.folds
        for role in ROLES
        if role == "test"
        or dataset.is_training_data
        or (role == "validation" and dataset.has_lesion_validation)
    ]
    return list(dict.fromkeys(cohorts))


def _folds(plan: Plan, method: str) -> list[Fold]:
    """Folds that a method, a variant or a combination is evaluated in; further seeds are compared on lesions alone."""
    if plan.has_variant(method):
        return plan.trainings if lesion(plan) else []
    is_repeated = method not in plan.combinations and runs_network(method) and lesion(plan)
    return plan.trainings if is_repeated else [*plan.folds]


def _datasets(plan: Plan, method: str, fold: Fold) -> list[str]:
    """Datasets that a method scores: all; those with lesions, and what goes with them, if these alone are compared."""
    if fold in plan.folds and not plan.has_variant(method):
        return list(plan.datasets)
    return list(dict.fromkeys([*lesion(plan), *(plan.datasets[name].healthy for name in lesion(plan))]))


def _trained(plan: Plan, methods: Iterable[str]) -> list[Wildcards]:
    """A job for each modality of the scans that a method scores."""
    jobs = [
        Wildcards(method=job.method, modality=plan.datasets[job.dataset].modality, fold=job.fold)
        for job in _scored(plan, methods)
    ]
    return list(dict.fromkeys(jobs))


def _scored(plan: Plan, methods: Iterable[str]) -> list[Wildcards]:
    return [
        Wildcards(method=method, dataset=dataset, fold=fold)
        for method in methods
        for fold in _folds(plan, method)
        for dataset in _datasets(plan, method, fold)
    ]


def _of_validation(plan: Plan, scored: Iterable[Wildcards]) -> list[Wildcards]:
    """Those jobs whose dataset has validation scans that are scored."""
    with_some = {
        name
        for name, dataset in plan.datasets.items()
        if dataset.is_training_data or dataset.has_lesion_validation
    }
    return [job for job in scored if job.dataset in with_some]


def _patches(plan: Plan) -> list[Wildcards]:
    return [
        job
        for job in _scored(plan, locating_methods(plan))
        if job.fold in plan.folds or plan.datasets[job.dataset].role == "lesion"
    ]


def _rows(rows: Iterable[str], datasets: Iterable[str], folds: Iterable[Fold]) -> list[Wildcards]:
    return [
        Wildcards(method=row, dataset=dataset, fold=fold)
        for row, dataset, fold in product(rows, datasets, folds)
    ]


def _evaluated(plan: Plan) -> list[Wildcards]:
    """Rows of all tables; those of `seeds` and `ablations` are of lesions alone."""
    further = plan.trainings[len(plan.folds) :]
    of_variants = [row for row in ablation_rows(plan) if row not in plan.evaluated_methods]
    return [
        *_rows(plan.evaluated_methods, labeled(plan), plan.folds),
        *_rows(repeated_methods(plan), lesion(plan), further),
        *_rows(of_variants, lesion(plan), plan.trainings),
    ]


def _answered(plan: Plan) -> list[str]:
    """Datasets about whose scans a detector answers."""
    return unlabeled(plan) if has_detector(plan) else []


def _detectors(plan: Plan) -> list[Wildcards]:
    modalities = dict.fromkeys(plan.datasets[name].modality for name in _answered(plan))
    return [Wildcards(modality=modality, fold=plan.folds[0]) for modality in modalities]


def _files_of_detector(plan: Plan, job: Wildcards) -> list[str]:
    parts = parts_of_detector(plan, cast(Modality, job.modality), job.fold).values()
    return [path for part in parts for path in ([part] if isinstance(part, str) else part)]


def _raw_scans(plan: Plan, job: Wildcards) -> list[str]:
    """Folder of the scans of a dataset that the run makes itself."""
    dataset = plan.datasets[job.dataset]
    if dataset.kind == "phantom":
        return [plan.results.raw_dataset(f"phantom_{dataset.source['cohort']}")]
    return [plan.results.raw_dataset(job.dataset)] if dataset.is_changed else []


def _no_input(_job: Wildcards) -> list[str]:
    return []
