"""Scans with several roles: refused between training and test, reported for the published subject lists."""

from collections.abc import Iterable

from patch2loc.configuration.datasets import Datasets
from patch2loc.data import splits
from patch2loc.errors import InputError

MOST_EXAMPLES = 5  # leaked scans that a message names


def refuse_leakage(datasets: Datasets, folds: Iterable[int]) -> None:
    """Refuse scans that train or validate in one dataset and are tested in another.

    In a lesion dataset, a validation scan that is tested under another name is refused too. In training data it is not:
    the published lists overlap, and `overlap_notes` reports it.

    Raises:
        InputError: There are such scans; the message names some.
    """
    for source in datasets.values():
        if not (source.is_training_data or source.has_lesion_validation):
            continue
        for fold in folds:
            roles = source.roles(fold)
            fitted_scans = {
                source.source_scans[subject]["scan"] for subject in roles["train"] + roles["validation"]
            }
            for tested in datasets.values():
                if tested is source and not source.has_lesion_validation:
                    continue
                subjects = tested.subjects(fold)
                leaked = [subject for subject in subjects if tested.acquired_scans[subject] in fitted_scans]
                if leaked:
                    raise InputError(
                        f"datasets.{tested.name}: {len(leaked)} test scans are training or validation scans of "
                        f"{source.name} in fold {fold} ({', '.join(leaked[:MOST_EXAMPLES])}), none expected; take "
                        "them off one of the lists"
                    )


def overlap_notes(datasets: Datasets, folds: Iterable[int]) -> str:
    """Sentences for tables on the overlaps of published subject lists that are used as they are; "" without any."""
    notes = [
        splits.overlap_note(name, splits.overlaps({fold: dataset.listed_roles(fold) for fold in folds}))
        for name, dataset in datasets.items()
        if dataset.role == "healthy" and dataset.uses_published_lists and dataset.subject_list
    ]
    return " ".join(note for note in notes if note)
