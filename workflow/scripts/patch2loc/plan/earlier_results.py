"""A note on results of other settings or subjects in the folder of a run, which are computed anew in their place."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from patch2loc.configuration.keys import GridSettings
from patch2loc.data.results import PROVENANCE
from patch2loc.data.splits import ROLES
from patch2loc.data.vocabulary import QUALITY
from patch2loc.errors import InputError
from patch2loc.files import read_json
from patch2loc.plan.datasets import ALL_SCANS, Datasets, PlannedDataset


def earlier_results_note(root: str, datasets: Datasets, folds: Sequence[int], grid: GridSettings) -> str:
    """A sentence on what was preprocessed otherwise, or is a list of other subjects; "" without any.

    Of each dataset one preprocessed scan is looked at, and all lists of its subjects.

    Args:
        root: Folder of the run's results; it need not exist.
        datasets: Of the run.
        folds: Of the run.
        grid: Common grid of the run.
    """
    changes = [
        f"\n  {name}: {change}"
        for name, dataset in datasets.items()
        for change in (*_other_preprocessing(dataset, grid), *_other_subjects(dataset, folds))
    ]
    if not changes:
        return ""
    return (
        f"{root}: results of other settings or other subjects found. They are computed again in their place, with all "
        "that rests on them. To keep both, give this run another folder: `--config results=...`, with the other keys."
        + "".join(changes)
    )


def _other_preprocessing(dataset: PlannedDataset, grid: GridSettings) -> Iterator[str]:
    folder = Path(dataset.results.preprocessed_dataset(dataset.name))
    recorded = _read(next(folder.glob(f"*/{QUALITY}{PROVENANCE}"), None)).get("configuration", {})
    if not recorded:
        return
    before = {"grid": recorded.get("grid"), **recorded.get("settings", {})}
    now = {"grid": grid, **dataset.preprocessing}
    for key in (name for name in now if name in before):  # a version before may have had other settings
        if before[key] != now[key]:
            yield f"preprocessed with {key} {before[key]} before, {now[key]} now"


def _other_subjects(dataset: PlannedDataset, folds: Sequence[int]) -> Iterator[str]:
    names = [f"{role}_fold{fold}" for fold in folds for role in ROLES] if dataset.has_roles else [ALL_SCANS]
    for cohort in names:
        listed = _read(Path(dataset.results.cohort(dataset.name, cohort)))
        if not listed:
            continue
        before = {*listed.get("scans", ()), *listed.get("left_out", ())}
        now = {*dataset.members(cohort), *dataset.unusable_members(cohort)}
        if before != now:
            yield f"{len(before)} scans in {cohort} before, {len(now)} now, {len(before & now)} of them the same"


def _read(path: Path | None) -> Mapping[str, Any]:
    """What a file of JSON holds; nothing if there is none that can be read."""
    try:
        content: Mapping[str, Any] = read_json(path, dict) if path else {}
    except (OSError, InputError):
        return {}
    return content
