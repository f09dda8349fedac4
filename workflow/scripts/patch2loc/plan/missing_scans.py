"""A part of the data: what a run with `missing_scans: skip` uses of its datasets, and how it says so."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from patch2loc.data.modalities import Modality
from patch2loc.data.vocabulary import SubjectRole
from patch2loc.errors import first_of
from patch2loc.plan.datasets import Datasets, PlannedDataset

MOST_NAMED = 5  # subjects in a message
LIST = "tables/missing_scans.csv"


def usable(datasets: Datasets, training_data: Mapping[Modality, str]) -> dict[str, PlannedDataset]:
    """The datasets of which something is there, in the modalities whose training data have something there."""
    with_scans = {name: dataset for name, dataset in datasets.items() if dataset.scans}
    modalities = {modality for modality, name in training_data.items() if name in with_scans}
    return {name: dataset for name, dataset in with_scans.items() if dataset.modality in modalities}


def complete(datasets: Datasets) -> dict[str, PlannedDataset]:
    """The datasets with all scans that they list, there or not."""
    return {name: replace(dataset, skips_missing=False) for name, dataset in datasets.items()}


def obstacle(datasets: Datasets, training_data: Mapping[Modality, str], folds: Sequence[int]) -> str:
    """Why a run cannot go on with the scans that are there; "" if it can.

    Args:
        datasets: Of the configuration, whether they skip missing scans or not.
        training_data: For each modality, the dataset that its models are trained on.
        folds: Of the run.
    """
    skipping = {
        name: dataset if dataset.skips_missing else replace(dataset, skips_missing=True)
        for name, dataset in datasets.items()
    }
    used = usable(skipping, training_data)
    if not used:
        trained = ", ".join(f"{name} for {modality}" for modality, name in training_data.items())
        return f"no scan of the training data is there ({trained}), so that nothing can be trained"
    for dataset in used.values():
        if empty := _empty_folds(dataset, folds):
            return _nobody_left(dataset, empty, [fold for fold in folds if fold not in empty])
    return ""


def _empty_folds(dataset: PlannedDataset, folds: Sequence[int]) -> dict[int, list[SubjectRole]]:
    """For the folds in which a role that a dataset needs has no scan, these roles."""
    if not dataset.has_roles:
        return {}
    needed: list[SubjectRole] = ["test"]
    if dataset.is_training_data:
        needed = ["train", "validation", "test"]
    elif dataset.has_lesion_validation:
        needed = ["validation", "test"]
    roles = {fold: dataset.used_roles(fold) for fold in folds}
    empty = {fold: [role for role in needed if not roles[fold][role]] for fold in folds}
    return {fold: names for fold, names in empty.items() if names}


def _nobody_left(dataset: PlannedDataset, empty: Mapping[int, Sequence[str]], others: Sequence[int]) -> str:
    wanting = "; ".join(f"{' and '.join(roles)} in fold {fold}" for fold, roles in empty.items())
    other_folds = f", or take other folds: --config 'folds={list(others)}'" if others else ""
    return (
        f"of {dataset.name} {present_count(dataset)} subjects are there, and nobody for {wanting}; get more of it"
        f"{other_folds}, or do without it: --config 'without=[{dataset.name}]'"
    )


def present_count(dataset: PlannedDataset) -> str:
    """How many of a dataset's scans are there: "20 of 30"."""
    expected = len(dataset.source_scans) - len(dataset.settings["leave_out"])
    return f"{expected - len(dataset.missing_files):,} of {expected:,}"


def passed_over(datasets: Datasets) -> list[PlannedDataset]:
    """The datasets of which scans are missing."""
    return [dataset for dataset in datasets.values() if dataset.missing_files]


def sentence(listed: Datasets, used: Datasets) -> str:
    """How many of the scans of each dataset are there; "" if all are.

    Args:
        listed: Datasets of the configuration.
        used: Those of them that the run uses.
    """
    counts = ", ".join(f"{present_count(dataset)} of {dataset.name}" for dataset in passed_over(listed))
    if not counts:
        return ""
    unused = _without_model(listed, used)
    without_model = f"; without training data, so not used: {', '.join(unused)}" if unused else ""
    return f"Not all scans are there (missing_scans: skip): {counts}{without_model}. {LIST} names them."


def planning_note(listed: Datasets, used: Datasets) -> str:
    """`sentence`, and below it the first subjects of each dataset who are passed over; "" if everybody is there."""
    lines = [
        f"  {dataset.name}: without {named(list(dataset.missing_files))}" for dataset in passed_over(listed)
    ]
    return "\n".join([sentence(listed, used), *lines]) if lines else ""


def caption(listed: Datasets, used: Datasets) -> str:
    """Sentences for tables on whose scans were not there; "" if everybody's were."""
    parts = [f"{present_count(dataset)} of {_title(dataset)}" for dataset in passed_over(listed)]
    unused = [_title(listed[name]) for name in _without_model(listed, used)]
    sentences = (
        f"Only scans that were there (missing_scans: skip): {', '.join(parts)}." if parts else "",
        f"Not used, for want of training data: {', '.join(unused)}." if unused else "",
    )
    return " ".join(filter(None, sentences))


def rows(listed: Datasets) -> list[dict[str, str]]:
    """Rows of tables/missing_scans.csv: dataset, subject, and the files that are not there."""
    return [
        {"dataset": dataset.name, "subject": subject, "files": "; ".join(map(str, files))}
        for dataset in passed_over(listed)
        for subject, files in dataset.missing_files.items()
    ]


def named(names: Sequence[str]) -> str:
    """The first of some names, and how many there are if these are more: "a, b, c, d, e, ... (12)"."""
    first = first_of(names, MOST_NAMED)
    return f"{first} ({len(names):,})" if len(names) > MOST_NAMED else first


def _without_model(listed: Datasets, used: Datasets) -> list[str]:
    """Datasets of which scans are there, and none of the training data of their modality."""
    return [name for name, dataset in listed.items() if name not in used and dataset.scans]


def _title(dataset: PlannedDataset) -> str:
    return f"{dataset.settings['title']}, {dataset.modality}"
