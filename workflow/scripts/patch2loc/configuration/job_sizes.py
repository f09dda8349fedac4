"""How many jobs of each rule a run has from its beginning, and how large they are: without Snakemake, without data."""

from collections.abc import Iterable

from patch2loc.configuration.datasets import names_with_role
from patch2loc.configuration.run import Run
from patch2loc.data.results import Fold
from patch2loc.data.vocabulary import Modality, SubjectRole

Sizes = list[int]  # of jobs, a number for each: the scans that it takes, or 1


def job_sizes(run: Run) -> dict[str, Sizes]:
    """Sizes of the jobs of each rule that a whole run needs; of rules by method, those of one method.

    Args:
        run: The run. Its scans need not be there.

    Returns:
        {rule: sizes}. One job of train, score, score_validation, combine, combine_validation, join, join_validation,
        analyze_patches, calibrate and evaluate is listed for each dataset or modality and fold, and there is one for
        every method; of score not for each of them (`scored_by`).
    """
    outputs = [output.name for output in run.outputs.made]
    tables = ["quality", "subject_lists", "every_scan_used"]
    answered = names_with_role(run.datasets, "unlabeled") if run.has_detector else []
    tested, validated = scored_scans(run, run.datasets), validation_scans(run)
    joined = _joined_scans(run, run.joint, "test")
    return {
        "simulate_phantom": [1] * _simulated_subjects(run),
        "paint_stroke": [1] * _scans_of_kind(run, "painted"),
        "paint_lesion": [1] * _scans_of_kind(run, "controlled"),
        "recontrast_scan": [1] * _scans_of_kind(run, "recontrasted"),
        "preprocess": [1] * sum(len(each.scans) for each in run.datasets.values()),
        "cohort_list": [1] * len(_cohorts(run)),
        "landmarks": training_scans(run, "train"),
        "train": training_scans(run, "train"),
        "score": tested,
        "score_validation": validated,
        "combine": tested if run.combinations else [],
        "combine_validation": validated if run.combinations else [],
        "joint_cohort": [1] * len(joined),
        "join": joined,
        "join_validation": _joined_scans(
            run, {run.training_dataset(name) for name in run.joint}, "validation"
        ),
        "analyze_patches": scored_scans(run, run.labeled_datasets),
        "calibrate": training_scans(run, "validation"),
        "evaluate": scored_scans(run, run.labeled_datasets) + joined,
        "detector": [1] * len({run.datasets[name].modality for name in answered}),
        "patient": [1] * sum(len(run.datasets[name].scans) for name in answered),
        "learning_curve": [1] * len(_trainings(run)),
        **{name: [1] for name in (*outputs, *tables, "viewer", "report_page", "crate")},
    }


def job_counts(run: Run) -> dict[str, int]:
    """Number of jobs of each rule of a whole run, less those that only gather."""
    methods = {
        "train": run.trained_methods,
        "score_validation": run.trained_methods,
        "combine": run.combinations,
        "combine_validation": run.combinations,
        "join": run.evaluated_methods,
        "join_validation": run.evaluated_methods,
        "analyze_patches": run.locating_methods,
        "calibrate": run.calibrated_methods,
        "evaluate": run.evaluated_methods,
    }
    counts = {rule: len(sizes) * len(methods.get(rule, [rule])) for rule, sizes in job_sizes(run).items()}
    counts["score"] = sum(len(scored_by(run, name)) for name in run.trained_methods)
    of_variants = [name for name in run.ablation_rows if name not in run.evaluated_methods]
    counts["evaluate"] += len(of_variants) * len(names_with_role(run.datasets, "lesion")) * len(run.trainings)
    return {rule: count for rule, count in counts.items() if count}


def training_scans(run: Run, role: SubjectRole) -> Sizes:
    """Scans of a role of each training of a method: of each modality and fold."""
    return [
        len(run.datasets[run.training_data[modality]].subjects(fold, role))
        for modality, fold in _trainings(run)
    ]


def scored_scans(run: Run, datasets: Iterable[str]) -> Sizes:
    """Test scans of each of the datasets in each fold."""
    return [len(run.test_scans(name, fold)) for name in datasets for fold in run.trainings]


def scored_by(run: Run, method: str) -> Sizes:
    """Test scans of each of the datasets and folds that a method scores by itself, and no other fold for it."""
    return [
        len(run.test_scans(name, fold))
        for name in run.datasets_scored_by(method)
        for fold in run.trainings
        if run.scoring_fold(method, name, fold) == fold
    ]


def validation_scans(run: Run) -> Sizes:
    """Validation scans in each fold of the datasets whose validation scans are scored."""
    healthy = {run.training_dataset(name) for name in run.labeled_datasets}
    return [
        len(dataset.subjects(fold, "validation"))
        for name, dataset in run.datasets.items()
        if name in healthy or dataset.has_lesion_validation
        for fold in run.trainings
    ]


def _joined_scans(run: Run, names: Iterable[str], role: SubjectRole) -> Sizes:
    """People of a role of each of some joint datasets in each fold."""
    return [len(run.joint[name].subjects(fold, role)) for name in names for fold in run.folds]


def _trainings(run: Run) -> list[tuple[Modality, Fold]]:
    return [(modality, fold) for modality in run.training_data for fold in run.trainings]


def _scans_of_kind(run: Run, kind: str) -> int:
    """Scans of the datasets of a kind."""
    return sum(len(run.datasets[name].scans) for name in run.datasets_of_kind(kind))


def _simulated_subjects(run: Run) -> int:
    """Heads that are simulated: both modalities of a subject by one job."""
    subjects: dict[str, int] = {}
    for dataset in run.datasets.values():
        if dataset.kind == "phantom":
            cohort = str(dataset.source["cohort"])
            subjects[cohort] = max(subjects.get(cohort, 0), len(dataset.scans))
    return sum(subjects.values())


def _cohorts(run: Run) -> set[str]:
    """Lists of scans that other jobs take."""
    tested = {run.cohort(name, fold, role="test") for name in run.datasets for fold in run.trainings}
    fitted = {
        run.training_cohort(modality, fold, role=role)
        for modality, fold in _trainings(run)
        for role in ("train", "validation")
    }
    validated = {
        run.cohort(name, fold, role="validation")
        for name, dataset in run.datasets.items()
        if dataset.has_lesion_validation
        for fold in run.trainings
    }
    return tested | fitted | validated
