"""Groups of the datasets of a plan, and their descriptions in tables, figures and the report."""

from collections.abc import Iterable, Mapping

from patch2loc.data.modalities import MODALITIES, SIMULATED_TOGETHER, Modality
from patch2loc.data.vocabulary import DatasetInfo, DatasetRole
from patch2loc.plan.joint import AnyDataset
from patch2loc.plan.plan import Plan


def lesion(plan: Plan) -> list[str]:
    """Datasets with lesions."""
    return _with_role(plan.datasets, "lesion")


def healthy(plan: Plan) -> list[str]:
    """Datasets without lesions."""
    return _with_role(plan.datasets, "healthy")


def unlabeled(plan: Plan) -> list[str]:
    """Datasets without truth."""
    return _with_role(plan.datasets, "unlabeled")


def labeled(plan: Plan) -> list[str]:
    """Datasets that are evaluated: those with lesion masks, and those without lesions."""
    return lesion(plan) + healthy(plan)


def lesion_or_joint(plan: Plan) -> list[str]:
    """Datasets with lesions, joint ones too."""
    return _with_role(plan.all_datasets, "lesion")


def of_kind(plan: Plan, *kinds: str) -> list[str]:
    """Datasets whose source is of one of the kinds."""
    return [name for name, dataset in plan.datasets.items() if dataset.kind in kinds]


def simulated_modalities(plan: Plan) -> list[Modality]:
    """Modalities in which phantoms are simulated: those of their datasets, and SIMULATED_TOGETHER."""
    used = {plan.datasets[name].modality for name in of_kind(plan, "phantom")}
    return [modality for modality in MODALITIES if modality in used or modality in SIMULATED_TOGETHER]


def with_sites(plan: Plan) -> list[str]:
    """Labeled datasets whose lists name the site of a scan."""
    return [name for name in labeled(plan) if plan.datasets[name].sites]


def labels(plan: Plan, datasets: Iterable[str]) -> dict[str, DatasetInfo]:
    """Descriptions of datasets, joint ones too, by name."""
    return {name: plan.all_datasets[name].labels for name in datasets}


def labels_and_sites(plan: Plan, datasets: Iterable[str]) -> dict[str, DatasetInfo]:
    """`labels` with the site of each scan, where a dataset's list names it."""
    return {
        name: {**info, "sites": plan.datasets[name].sites} for name, info in labels(plan, datasets).items()
    }


def labels_and_lesions(plan: Plan, datasets: Iterable[str]) -> dict[str, DatasetInfo]:
    """`labels` with what is changed in datasets of controlled lesions, where, and how much."""
    return {
        name: {
            **info,
            "change": plan.datasets[name].source["change"],
            "lesions": {
                subject: (str(made["scan"]), made["diameter_mm"], made["amount"])
                for subject, made in plan.datasets[name].made_of.items()
            },
        }
        for name, info in labels(plan, datasets).items()
    }


def labels_and_counts(plan: Plan, datasets: Iterable[str]) -> dict[str, DatasetInfo]:
    """`labels` with the number of scans that the list of a dataset has to be tested."""
    return {
        name: {**info, "n_listed": plan.all_datasets[name].n_listed(plan.folds[0])}
        for name, info in labels(plan, datasets).items()
    }


def _with_role(datasets: Mapping[str, AnyDataset], role: DatasetRole) -> list[str]:
    return [name for name, dataset in datasets.items() if dataset.role == role]
