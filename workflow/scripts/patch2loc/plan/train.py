"""What a training takes: cohorts, models of other methods, settings, resources."""

from collections.abc import Mapping
from typing import Any, cast

from patch2loc.configuration.method_registry import locates, runs_network
from patch2loc.configuration.method_settings import training_settings
from patch2loc.configuration.prerequisites import methods_needed
from patch2loc.configuration.variants import configuration_of
from patch2loc.data.axes import Orientation
from patch2loc.data.modalities import Modality
from patch2loc.data.results import Fold
from patch2loc.data.vocabulary import SubjectRole
from patch2loc.method_interface import method_of
from patch2loc.plan.plan import Plan, atlas
from patch2loc.plan.preprocess import cohort
from patch2loc.preprocess.version import PREPROCESSING_VERSION

ONE_SCAN_MB = 3000  # of a training that reads one scan after another


def training_cohort(plan: Plan, modality: Modality, fold: Fold, *, role: SubjectRole) -> str:
    """List of the scans of a role in the training data of a modality."""
    return cohort(plan, plan.training_data[modality], fold, role=role)


def needed_methods(plan: Plan, method: str) -> tuple[str, ...]:
    """Methods whose models of the same modality and fold the training of a method takes."""
    return methods_needed(method, plan.methods)


def needed_models(plan: Plan, method: str, modality: Modality, fold: Fold) -> list[str]:
    """Models of other methods that the training of a method takes."""
    return [plan.results.model(name, modality, fold) for name in needed_methods(plan, method)]


def memory_mb(plan: Plan, method: str) -> int:
    """Memory that the training of a method asks for, MB: networks hold all scans, other methods one at a time."""
    return plan.config["training"]["memory_mb"] if runs_network(method) else ONE_SCAN_MB


def patch(plan: Plan, method: str) -> int:
    """Width, voxels, of the patches of a method or variant."""
    return cast(int, configuration_of(method, plan.config)["patch"])


def settings(plan: Plan, method: str) -> dict[str, Any]:
    """Settings that a method or variant is trained by."""
    return training_settings(method_of(method), configuration_of(method, plan.config))


def orientation(plan: Plan, method: str) -> Orientation:
    """Slices that a method or variant sees."""
    return cast(Orientation, _training(plan, method)["orientation"] if locates(method) else "axial")


def subset(plan: Plan, method: str) -> dict[str, int | None]:
    """Number of training scans of a method or variant, None for all, and the seed that draws them."""
    count = _training(plan, method)["subjects"] if locates(method) else None
    return {"count": count, "seed": plan.config["seed"]}


def sites(plan: Plan, modality: Modality) -> dict[str, str]:
    """Site of each scan of the training data of a modality, where the list names it."""
    return plan.datasets[plan.training_data[modality]].sites


def balanced_sites(plan: Plan, method: str, modality: Modality) -> dict[str, str] | None:
    """`sites` for a method or variant that learns as much from each of them; None for any other."""
    return sites(plan, modality) if _training(plan, method)["balance_sites"] else None


def preprocessing(plan: Plan, modality: Modality) -> dict[str, Any]:
    """How the scans that a model is trained on were preprocessed."""
    dataset = plan.datasets[plan.training_data[modality]]
    return {
        "atlas": atlas(plan.config),
        "preprocess": dataset.preprocessing,
        "preprocess_version": PREPROCESSING_VERSION,
        "simulated": bool(dataset.settings["simulated"]),
    }


def _training(plan: Plan, method: str) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], configuration_of(method, plan.config)["training"])
