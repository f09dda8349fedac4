"""What scoring takes: models, heatmaps that others are made from, calibrations, settings."""

from collections.abc import Iterable, Mapping

from patch2loc.configuration.keys import Rule
from patch2loc.configuration.method_names import base_method, is_calibrated
from patch2loc.configuration.method_registry import locates
from patch2loc.data.modalities import Modality
from patch2loc.data.results import Fold
from patch2loc.data.vocabulary import Tiles
from patch2loc.method_interface import declaration
from patch2loc.plan.plan import Plan
from patch2loc.plan.preprocess import cohort


def locating_methods(plan: Plan) -> list[str]:
    """Methods that predict locations."""
    return [name for name in plan.methods if locates(name)]


def calibrated_methods(plan: Plan) -> list[str]:
    """Methods whose score is also evaluated calibrated."""
    return [name for name in plan.methods if declaration(name).calibrated]


def model(plan: Plan, method: str, dataset: str, fold: Fold) -> str:
    """Model of a method that scores a dataset."""
    return plan.results.model(method, plan.datasets[dataset].modality, fold)


def median_filter(plan: Plan, dataset: str) -> int:
    """Width, voxels, of the median filter of a dataset's test scans."""
    settings = plan.config["score"]
    of_healthy = settings["median_filter_healthy"]
    healthy = plan.datasets[dataset].role == "healthy"
    return of_healthy if healthy and of_healthy is not None else settings["median_filter"]


def epsilon(plan: Plan, method: str) -> float | None:
    """What is added to the squared errors of a method that predicts locations; None for another one."""
    return plan.config["score"]["epsilon"] if locates(method) else None


def tiles(plan: Plan, method: str) -> Tiles:
    """Patches of the patch analysis of a method that predicts locations."""
    return plan.config["score"]["tiles"] if locates(method) else "whole"


def as_published(plan: Plan, method: str) -> Mapping[str, int] | None:
    """Post-processing of a method's authors, for a second heatmap; None without one."""
    return declaration(method).as_published


def heatmaps(plan: Plan, row: str, dataset: str, fold: Fold) -> str:
    """Heatmaps of a dataset's test scans, by a row of tables."""
    method = plan.all_datasets[dataset].stored(row).method
    return plan.results.heatmaps(method, dataset, scoring_fold(plan, method, dataset, fold))


def validation_heatmaps(plan: Plan, row: str, dataset: str, fold: Fold) -> str:
    """Heatmaps of a dataset's validation scans, by a row of tables."""
    return plan.results.validation_heatmaps(plan.all_datasets[dataset].stored(row).method, dataset, fold)


def every_heatmaps(plan: Plan, datasets: Iterable[str]) -> list[str]:
    """Heatmaps of the test scans of datasets by every scored method in every fold, each folder once."""
    folders = (
        heatmaps(plan, method, dataset, fold)
        for method in plan.scored_methods
        for dataset in datasets
        for fold in plan.folds
    )
    return list(dict.fromkeys(folders))


def scoring_fold(plan: Plan, method: str, dataset: str, fold: Fold) -> Fold:
    """The fold with whose model a scored method scores a dataset for the evaluation of a fold.

    It is the fold itself, but for a method that is scored_once: the first fold with the same test scans, whose
    models were trained and validated on the same scans, so that none of them is refused in one fold alone.
    Intensities that are clipped, or have landmarks of the background, depend on the landmarks even in their ranks.
    """
    scored, intensities = plan.all_datasets[dataset], plan.config["intensities"]
    ranks_stay = (intensities["landmarks"], intensities["scale"]) == ("brain", "percentile")
    scored_once = method in plan.methods and declaration(method).scored_once
    if scored.joined_by or not (scored_once and ranks_stay):
        return fold

    def scans(of_fold: Fold) -> tuple[list[str], set[str]]:
        training = plan.datasets[scored.healthy]
        fitted = (training.subjects(of_fold, role) for role in ("train", "validation"))
        return scored.subjects(of_fold), set().union(*fitted)

    wanted = scans(fold)
    return next((each for each in plan.folds if scans(each) == wanted), fold)


def combined(plan: Plan, row: str, dataset: str) -> list[tuple[str, str]]:
    """Rows and datasets whose heatmaps are combined: parts of a combination, or a row in parts of a joint dataset."""
    made = plan.all_datasets[dataset]
    if made.joined_by:
        return [(row, part.name) for part in made.parts]
    return [(part, dataset) for part in plan.parts(row)]


def combined_rows(plan: Plan, row: str, dataset: str) -> list[str]:
    """Rows whose heatmaps are combined."""
    return [part for part, _ in combined(plan, row, dataset)]


def combining_rule(plan: Plan, row: str, dataset: str) -> Rule:
    """Rule by which heatmaps are combined."""
    return plan.all_datasets[dataset].joined_by or plan.combinations[row]["by"]


def combined_heatmaps(plan: Plan, row: str, dataset: str, fold: Fold) -> list[str]:
    """Heatmaps of test scans that are combined."""
    return [heatmaps(plan, *part, fold) for part in combined(plan, row, dataset)]


def combined_validation_heatmaps(plan: Plan, row: str, dataset: str, fold: Fold) -> list[str]:
    """Heatmaps of validation scans that are combined."""
    return [validation_heatmaps(plan, *part, fold) for part in combined(plan, row, dataset)]


def combined_calibrations(plan: Plan, row: str, dataset: str, fold: Fold) -> list[str]:
    """Calibrations of the rows that are combined, of those that are calibrated."""
    parts = combined(plan, row, dataset)
    return [calibration(plan, part, scanned, fold) for part, scanned in parts if is_calibrated(part)]


def combined_validation_calibrations(plan: Plan, row: str, dataset: str, fold: Fold) -> list[str]:
    """`combined_calibrations` for validation scans.

    None for those that calibrations are made from, which are therefore held out in turn.
    """
    is_training_data = all(part.is_training_data for part in plan.all_datasets[dataset].parts)
    return [] if is_training_data else combined_calibrations(plan, row, dataset, fold)


def cohorts_to_join(plan: Plan, dataset: str, fold: Fold) -> list[str]:
    """Lists of the test scans of the parts of a joint dataset."""
    return [cohort(plan, part.name, fold, role="test") for part in plan.joint[dataset].parts]


def calibrating_heatmaps(plan: Plan, method: str, modality: Modality, fold: Fold) -> str:
    """Heatmaps of the healthy validation scans, which a calibration is made from."""
    return validation_heatmaps(plan, method, plan.training_data[modality], fold)


def calibration(plan: Plan, row: str, dataset: str, fold: Fold) -> str:
    """Calibration of a row's scores in a dataset."""
    return plan.results.calibration(base_method(row), plan.datasets[dataset].modality, fold)


def test_scan_files(plan: Plan, dataset: str, fold: Fold) -> list[str]:
    """Files of the test scans of a dataset, before preprocessing."""
    scanned = plan.datasets[dataset]
    return [str(scanned.scans[subject]["scan"]) for subject in scanned.subjects(fold)]


def test_scans(plan: Plan, dataset: str, fold: Fold) -> list[str]:
    """Test scans of a dataset."""
    return plan.all_datasets[dataset].subjects(fold)
