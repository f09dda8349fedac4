"""What preprocessing takes: scans, cohorts, resources."""

from pathlib import Path

from patch2loc.data.image_files import image_files
from patch2loc.data.results import Fold
from patch2loc.data.vocabulary import SubjectRole
from patch2loc.plan import missing_scans
from patch2loc.plan.plan import Plan

MINUTES = {"coarse": 20, "full": 120}  # by what the bias field is fitted to


def scan_parts(plan: Plan, dataset: str, subject: str) -> dict[str, str]:
    """Files of a subject's scan, of its brain and lesion masks if it has them, and of the scan it was made of.

    Of an image that is a pair of files, the other one too.

    Raises:
        InputError: Data of the run are missing.
    """
    plan.data.stop_for_missing()
    planned = plan.datasets[dataset]
    named = {part: path for part, path in planned.scans[subject].items() if isinstance(path, Path)}
    if planned.is_changed:
        named["acquired"] = planned.acquired_scans[subject]
    other_halves = {
        f"{part}_other_half": str(file)
        for part, path in named.items()
        for file in image_files(path)
        if file != path
    }
    return {part: str(path) for part, path in named.items()} | other_halves


def minutes(plan: Plan) -> int:
    """Time that the preprocessing of a scan asks for."""
    return MINUTES[plan.config["preprocess"]["bias_field"]]


def scans_of_cohort(plan: Plan, dataset: str, cohort: str) -> list[str]:
    """Folders of the preprocessed scans of a cohort.

    Raises:
        InputError: Data of the run are missing.
    """
    plan.data.stop_for_missing()
    return [plan.results.preprocessed(dataset, scan) for scan in plan.datasets[dataset].members(cohort)]


def unusable_scans_of_cohort(plan: Plan, dataset: str, cohort: str) -> list[str]:
    """Folders of scans of a cohort that preprocessing left out, and `leave_out` does now.

    The list of the cohort was made from them, too, without them in it. They stay what it is made from, so that to
    accept that a scan is left out computes nothing anew.
    """
    unusable = plan.datasets[dataset].unusable_members(cohort)
    return [plan.results.preprocessed(dataset, scan) for scan in unusable]


def cohort(plan: Plan, dataset: str, fold: Fold, *, role: SubjectRole) -> str:
    """List of a dataset's scans of a role in a fold, or of all scans of a dataset without roles."""
    return plan.results.cohort(dataset, plan.all_datasets[dataset].cohort_name(fold, role))


def subject_roles(plan: Plan) -> list[dict[str, str]]:
    """Role of each person in each fold, of the datasets that have roles: dataset, subject, fold0, ..."""
    return [
        {"dataset": name, **row}
        for name, dataset in plan.datasets.items()
        if dataset.has_roles
        for row in dataset.subject_roles
    ]


def passed_over(plan: Plan) -> list[dict[str, str]]:
    """Scans that are passed over because they are not there: dataset, subject, files."""
    return missing_scans.rows(plan.listed_datasets) if plan.data.passes_over else []
