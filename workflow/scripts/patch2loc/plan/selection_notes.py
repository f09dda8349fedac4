"""Notes on whom a dataset takes from its table, for a person to read before a run."""

from collections.abc import Sequence
from pathlib import Path

from patch2loc.acquire.sources import unread_modalities
from patch2loc.data.splits import ROLE_NAMES, ROLES
from patch2loc.data.subject_tables import PARTICIPANT_ID, participant, participant_label, read_table
from patch2loc.errors import first_of
from patch2loc.plan.datasets import PlannedDataset

MOST_NAMED = 5


def selection_notes(dataset: PlannedDataset) -> list[str]:
    """Sentences on people and rows that are passed over, and on how many a drawn split gives each role."""
    notes = (*_passed_over(dataset), *_drawn(dataset), *_unread(dataset))
    return [f"{dataset.name}: {note}" for note in notes if note]


def _passed_over(dataset: PlannedDataset) -> list[str]:
    table = dataset.subject_table
    if dataset.kind != "bids" or table is None or PARTICIPANT_ID not in table.columns:
        return []
    assert dataset.subject_list is not None
    with_scan = {participant(scan) for scan in dataset.source_scans}
    without = [name for name in map(participant_label, table["subject"]) if name not in with_scan]
    described = set(map(participant_label, read_table(dataset.subject_list, "list of subjects")["subject"]))
    folders = sorted(path.name for path in Path(dataset.source["root"]).glob("sub-*") if path.is_dir())
    unknown = [name for name in folders if name not in described] if dataset.source["subjects"] else []
    return [
        _counted(
            without,
            f"of {len(table)} chosen participants have no {dataset.modality} image, and are passed over",
        ),
        _counted(
            unknown,
            f"of {len(folders)} folders sub-* have no row in {dataset.subject_list}, and are not used",
        ),
    ]


def _drawn(dataset: PlannedDataset) -> list[str]:
    if not dataset.drawn_split:
        return []
    people = {
        role: len({participant(scan) for scan in dataset.roles(dataset.folds[0])[role]}) for role in ROLES
    }
    counts = ", ".join(f"{people[role]} {ROLE_NAMES[role]}" for role in ROLES)
    return [
        f"split drawn by seed {dataset.drawn_split['seed']}, in fold {dataset.folds[0]} {counts}; "
        "tables/subject_roles.csv will say who"
    ]


def _unread(dataset: PlannedDataset) -> list[str]:
    return [
        f"{count} row{'s' * (count > 1)} of {dataset.source['table']} not read, whose modality is {modality}."
        for modality, count in unread_modalities(dataset.source).items()
    ]


def _counted(names: Sequence[str], problem: str) -> str:
    return f"{len(names)} {problem} ({first_of(names, MOST_NAMED)})." if names else ""
