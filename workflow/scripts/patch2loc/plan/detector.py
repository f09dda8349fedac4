"""What a detector is made of, and what it says of its healthy people."""

from collections.abc import Iterable
from typing import Any

from patch2loc.configuration.method_registry import locates
from patch2loc.data.modalities import Modality
from patch2loc.data.results import Fold
from patch2loc.errors import InputError
from patch2loc.plan.plan import Plan
from patch2loc.plan.train import training_cohort

ZSCORE = "zscore"  # the method that a detector joins with one that localizes


def has_detector(plan: Plan) -> bool:
    """True if the methods that a detector takes are among those of the run."""
    name = plan.config["detector"]["method"]
    return locates(name) and {name, ZSCORE} <= set(plan.methods)


def detector(plan: Plan, dataset: str) -> str:
    """Detector that answers about a dataset's scans: that of the first fold."""
    return plan.results.detector(plan.datasets[dataset].modality, plan.folds[0])


def parts_of_detector(plan: Plan, modality: Modality, fold: Fold) -> dict[str, str | list[str]]:
    """Models and lists of scans that a detector is made of.

    Raises:
        InputError: A method that it takes is not among those of the run.
    """
    name = plan.config["detector"]["method"]
    if not has_detector(plan):
        raise InputError(
            f"detector.method: {name}, and methods: {', '.join(plan.methods)} found; a method that localizes, and "
            f"both it and {ZSCORE} among `methods`, expected; correct the configuration"
        )
    return {
        "model": plan.results.model(name, modality, fold),
        "zscore": plan.results.model(ZSCORE, modality, fold),
        "training": training_cohort(plan, modality, fold, role="train"),
        "healthy": [
            training_cohort(plan, modality, fold, role=role) for role in plan.config["detector"]["healthy"]
        ],
    }


def about_detector(plan: Plan, modality: Modality) -> dict[str, Any]:
    """What a detector says of the people that it was trained on: title, simulated, ages."""
    dataset = plan.datasets[plan.training_data[modality]]
    known = dataset.ages.values()
    ages = plan.config["detector"]["ages"] or ([min(known), max(known)] if known else None)
    return {
        "title": dataset.settings["title"],
        "simulated": bool(dataset.settings["simulated"]),
        "ages": ages,
    }


def controls_of_detectors(plan: Plan, datasets: Iterable[str]) -> dict[Modality, str]:
    """For the modalities of datasets, whom the healthy scans of a detector are: a phrase."""
    roles = " and ".join(plan.config["detector"]["healthy"])
    return {
        modality: f"{roles} scans of {plan.datasets[plan.training_data[modality]].settings['title']} in fold "
        f"{plan.folds[0]}, which nothing was trained on"
        for modality in dict.fromkeys(plan.datasets[name].modality for name in datasets)
    }
