"""What an evaluation takes: heatmaps and what they are compared with. Of what a dataset lacks, no file: []."""

from patch2loc.configuration.method_names import base_method
from patch2loc.configuration.method_registry import locates
from patch2loc.data.results import Fold
from patch2loc.plan.plan import Plan
from patch2loc.plan.preprocess import cohort
from patch2loc.plan.score import calibration, heatmaps, model, scoring_fold, validation_heatmaps

FileOrNone = str | list[str]


def healthy_heatmaps(plan: Plan, row: str, dataset: str, fold: Fold) -> FileOrNone:
    """Heatmaps of the healthy test scans that go with a dataset with lesions."""
    evaluated = plan.all_datasets[dataset]
    return heatmaps(plan, row, evaluated.healthy, fold) if evaluated.role == "lesion" else []


def healthy_validation_heatmaps(plan: Plan, row: str, dataset: str, fold: Fold) -> str:
    """Heatmaps of the healthy validation scans that go with a dataset."""
    return validation_heatmaps(plan, row, plan.all_datasets[dataset].healthy, fold)


def needed_calibration(plan: Plan, row: str, dataset: str, fold: Fold) -> FileOrNone:
    """Calibration of heatmaps that are calibrated when they are read."""
    needed = plan.all_datasets[dataset].stored(row).needs_calibration
    return calibration(plan, row, dataset, fold) if needed else []


def lesion_validation_heatmaps(plan: Plan, row: str, dataset: str, fold: Fold) -> FileOrNone:
    """Heatmaps of the validation scans of a dataset that has some with lesions."""
    has_any = plan.all_datasets[dataset].has_lesion_validation
    return validation_heatmaps(plan, row, dataset, fold) if has_any else []


def lesion_validation_cohort(plan: Plan, dataset: str, fold: Fold) -> FileOrNone:
    """List of the validation scans of a dataset that has some with lesions."""
    has_any = plan.all_datasets[dataset].has_lesion_validation
    return cohort(plan, dataset, fold, role="validation") if has_any else []


def patches(plan: Plan, row: str, dataset: str, fold: Fold) -> FileOrNone:
    """Patches of a dataset by a method that predicts locations; there are none of joint scans."""
    located = row in plan.methods and locates(row) and not is_joint(plan, dataset)
    return plan.results.patches(row, dataset, fold) if located else []


def models_behind(plan: Plan, row: str, dataset: str, fold: Fold) -> list[str]:
    """Models that made the heatmaps of a row: of each part of a combination, in each part of a joint dataset."""
    methods = [base_method(part) for part in plan.parts(base_method(row))]
    return [
        model(plan, method, part.name, scoring_fold(plan, method, part.name, fold))
        for part in plan.all_datasets[dataset].parts
        for method in methods
    ]


def subfolder(plan: Plan, row: str, dataset: str) -> str:
    """Folder of a row's heatmaps within `heatmaps`; "" for the folder itself."""
    return plan.all_datasets[dataset].stored(row).subfolder


def is_joint(plan: Plan, dataset: str) -> bool:
    """True for a joint dataset."""
    return plan.all_datasets[dataset].joined_by is not None
