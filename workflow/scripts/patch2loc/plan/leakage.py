"""Scans with several roles: refused between training and test, reported for the published subject lists.

Planning knows a scan by its file: another spelling of a path and a link are the same file. A copy is known by its
content, once it is preprocessed (`data.content`). In a BIDS root a person is known by name, so that another session of
a training subject is not tested either.
"""

import os
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path

from patch2loc.data import splits
from patch2loc.data.subject_tables import participant
from patch2loc.errors import InputError
from patch2loc.plan.datasets import Datasets, PlannedDataset


def refuse_leakage(datasets: Datasets, folds: Iterable[int]) -> None:
    """Refuse scans that train or validate and are tested, and scans that one dataset has under two names.

    In training data, a scan of one name may do both: the published lists overlap, and `overlap_notes` reports it.
    Several lesions may be simulated in one scan, which may not do both either.

    Raises:
        InputError: There are such scans; the message names all.
    """
    files = {name: _files(dataset) for name, dataset in datasets.items()}
    problems = [
        f"{name}: {' and '.join(subjects)} are one scan, {dataset.acquired_scans[subjects[0]]}"
        for name, dataset in datasets.items()
        if not dataset.is_changed
        for subjects in _by_file(files[name], files[name]).values()
        if len(subjects) > 1
    ]
    leaks: dict[str, list[int]] = defaultdict(list)
    for fold in folds:
        for leak in _leaks(datasets, files, fold):
            leaks[leak].append(fold)
    problems += [f"{leak}, in fold {', '.join(map(str, among))}" for leak, among in leaks.items()]
    if problems:
        raise InputError(
            f"datasets: {len(problems)} scans with several names or roles found, one expected; put all but one under "
            "`leave_out` of their dataset, or take them off its list:"
            + "".join(f"\n  {line}" for line in problems)
        )


def overlap_notes(datasets: Datasets, folds: Iterable[int]) -> str:
    """Sentences for tables on the overlaps of published subject lists that are used as they are; "" without any."""
    notes = [
        splits.overlap_note(name, splits.overlaps({fold: dataset.listed_roles(fold) for fold in folds}))
        for name, dataset in datasets.items()
        if dataset.role == "healthy" and dataset.uses_published_lists and dataset.subject_list
    ]
    return " ".join(note for note in notes if note)


def _leaks(datasets: Datasets, files: Mapping[str, Mapping[str, Hashable]], fold: int) -> Iterator[str]:
    """Sentences on the scans that train or validate in a fold and are tested."""
    for source in datasets.values():
        if not (source.is_training_data or source.has_lesion_validation):
            continue
        roles = source.roles(fold)
        fitted = _by_file(files[source.name], dict.fromkeys(roles["train"] + roles["validation"]))
        people = {participant(name): name for name in roles["train"] + roles["validation"]}
        for tested in datasets.values():
            same_people = tested is not source and _same_people(source, tested)
            for subject in tested.subjects(fold):
                scan = f"{tested.name}: {subject} is tested, and"
                same_file = fitted.get(files[tested.name][subject], ())
                for other in same_file:
                    if (source, other) != (tested, subject):
                        yield (
                            f"{scan} a training or validation scan of {source.name} as {other}, "
                            f"{tested.acquired_scans[subject]}"
                        )
                if same_people and not same_file and participant(subject) in people:
                    other = people[participant(subject)]
                    yield f"{scan} of the person of {other}, who trains or validates in {source.name}"


def _same_people(one: PlannedDataset, other: PlannedDataset) -> bool:
    """True for datasets of one modality and BIDS root, in which a name is one person."""
    return (
        one.kind == other.kind == "bids"
        and one.modality == other.modality
        and os.path.realpath(one.source["root"]) == os.path.realpath(other.source["root"])
    )


def _files(dataset: PlannedDataset) -> dict[str, Hashable]:
    """What the file of each scan that is used is known by, {subject: ...}."""
    return {subject: _file(dataset.acquired_scans[subject]) for subject in dataset.scans}


def _file(path: Path) -> Hashable:
    """Device and number of a file or folder, by which links to it are known; of one that is not there yet, its path."""
    try:
        status = os.stat(path)
    except OSError:
        return os.path.realpath(path)
    # Some file systems number nothing.
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)


def _by_file(files: Mapping[str, Hashable], subjects: Iterable[str]) -> dict[Hashable, list[str]]:
    """The subjects of each file."""
    by_file: dict[Hashable, list[str]] = defaultdict(list)
    for subject in subjects:
        by_file[files[subject]].append(subject)
    return by_file
