"""Paths of a dataset's scans: every kind of dataset behind one interface.

A dataset is an entry of the configuration, one modality each. The keys that each kind reads:

    kind      keys
    table     table: CSV of subject, modality, scan, brain, lesion; root: folder that its paths start from
              (without it, the CSV's own); subjects: CSV, to take only these
    folder    root; scan, brain, lesion: patterns such as "{subject}/{subject}_t1.nii.gz", whose `*` stands
              for exactly one file; subjects: CSV whose columns fill the fields of the patterns; without it,
              all subjects whose scan matches the pattern
    bids      root; scan, brain, lesion: ends of BIDS names such as "acq-mprage_T1w", "label-lesion_mask";
              derivatives: folder of the masks; subjects: CSV, to take only these participants, or
              participants.tsv, to take those of them who have the scan.
              Every participant and session is a scan
    phantom   root, cohort, count: simulated scans, made by a rule in root/phantom_{cohort}/{subject}
    painted   root, table: CSV of subject, scan, brain, mask, mirrored, seed; data: the folder that its
              paths start from: strokes simulated in real scans, by a rule
    controlled  table: CSV of subject, scan, brain, seed, diameter_mm, amount; change; data: as for painted:
              one kind of change of the tissue of real scans, in places and of sizes that are set, by a rule
    recontrasted  table: CSV of subject, scan, brain, seed; data: as for painted: real T1 scans that a rule renders in
              the dataset's modality, T2

Of a table of subjects only the rows that meet the conditions under `where` are taken (`data.conditions`).
A brain mask may be the scan itself, if that is skull-stripped: a mask is where an image is above 0.
A scan of a table or folder may be a folder: a DICOM series, which a rule converts.
To add a kind, add a function to `KINDS`.
"""

import math
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypedDict, cast

import pandas as pd

from patch2loc.acquire import bids
from patch2loc.acquire.path_patterns import find_file, find_subjects
from patch2loc.data import splits
from patch2loc.data.image_files import image_files
from patch2loc.data.modalities import MODALITIES
from patch2loc.data.subject_tables import (
    PARTICIPANT_ID,
    check_count,
    check_names,
    participant,
    participant_label,
    read_table,
    refuse,
)
from patch2loc.errors import InputError

PARTS = ("scan", "brain", "lesion")
LONGEST_NAME, LONGEST_PATH = 255, 4095  # bytes; of a file on the file systems of Linux and macOS
MOST_MM = 100.0  # of a controlled lesion
URL = re.compile(r"(?:^|/)[A-Za-z][A-Za-z0-9+.-]+:/")  # a Path keeps one of the two slashes only
Dataset = Mapping[str, Any]


class ScanPaths(TypedDict):
    """Files of a subject; the masks are None if the dataset has none."""

    scan: Path
    brain: Path | None
    lesion: Path | None


class PaintedPair(TypedDict):
    """A stroke mask and the healthy scan that it is painted into."""

    scan: Path
    brain: Path
    mask: Path
    seed: int
    mirrored: bool


class ControlledLesion(TypedDict):
    """A healthy scan, and the place, size and amount of what is changed in it."""

    scan: Path
    brain: Path
    seed: int
    diameter_mm: float
    amount: float


class RecontrastedScan(TypedDict):
    """A healthy T1 scan, and the seed of the contrast that it is rendered in."""

    scan: Path
    brain: Path
    seed: int


Sources = dict[str, ScanPaths]


def sources(dataset: Dataset) -> Sources:
    """Paths of each subject's scan, brain mask and lesion mask, in the order of the dataset's list.

    The files need not exist: `missing` lists those that do not.

    Raises:
        InputError: The dataset's kind, keys or subject lists cannot be used, there are too many subjects, a subject's
            name cannot be that of a folder, a path is a URL or longer than any file's, or a lesion mask is the scan,
            the brain mask or that of another person.
    """
    kind = _key(dataset, "kind")
    if kind not in KINDS:
        raise InputError(f"{_name(dataset)}: kind {kind!r} found, one of {', '.join(KINDS)} expected")
    paths_by_subject = KINDS[kind](dataset)
    check_count(len(paths_by_subject), _name(dataset))
    check_names(paths_by_subject, _name(dataset))
    of_lesion: dict[Path, str] = {}
    for subject, paths in paths_by_subject.items():
        for part, path in paths.items():
            if path and URL.search(str(path)):
                raise InputError(
                    f"{_name(dataset)}: {part} of {subject}: a URL, {path}, found, a path expected; download the file "
                    "and give its path"
                )
            if isinstance(path, Path) and _is_too_long(path):
                raise InputError(
                    f"{_name(dataset)}: {part} of {subject}: a path of {len(str(path))} letters, {str(path)[:40]}..., "
                    f"found, at most {LONGEST_PATH}, and {LONGEST_NAME} from one / to the next, expected; correct it"
                )
        for part, path in (("scan", paths["scan"]), ("brain mask", paths["brain"])):
            if path and path == paths["lesion"]:
                raise InputError(
                    f"{_name(dataset)}: lesion of {subject}: {path} found, which is its {part}, a file of its "
                    "own expected; give the file of the lesions, or none"
                )
        other = of_lesion.setdefault(paths["lesion"], subject) if paths["lesion"] else subject
        # One scan under two names is refused with its roles (`plan.leakage`).
        if participant(other) != participant(subject) and paths["scan"] != paths_by_subject[other]["scan"]:
            raise InputError(
                f"{_name(dataset)}: lesion of {subject}: {paths['lesion']} found, which is that of {other}, a file of "
                "its own expected; give the file of the lesions, or none"
            )
    return paths_by_subject


def _is_too_long(path: Path) -> bool:
    """True for a path that no file can have: to look for one is an error of the system."""
    names = os.fsencode(path).split(b"/")
    return max(map(len, names)) > LONGEST_NAME or len(b"/".join(names)) > LONGEST_PATH


def files_of(paths: ScanPaths) -> list[Path]:
    """The files of a subject: its scan, and the masks that it has."""
    return [path for path in (paths["scan"], paths["brain"], paths["lesion"]) if path]


def scans_of(dataset: Dataset, scans: Iterable[str], subjects: Collection[str]) -> list[str]:
    """Names of the listed subjects' scans, in the list's order; a BIDS participant stands for all its sessions."""
    if dataset["kind"] != "bids":
        scan_ids = set(scans)
        return [subject for subject in subjects if subject in scan_ids]
    sessions: dict[str, list[str]] = {}
    for scan_id in scans:
        sessions.setdefault(participant(scan_id), []).append(scan_id)
    return [scan_id for subject in subjects for scan_id in sessions.get(participant_label(subject), [])]


def unread_modalities(dataset: Dataset) -> dict[str, int]:
    """Rows of a dataset's table that no dataset can read, by their modality, which is none of MODALITIES."""
    if dataset["kind"] != "table":
        return {}
    modalities = read_table(dataset["table"], f"table of {_name(dataset)}")["modality"]
    counts = modalities[~modalities.isin(list(MODALITIES))].value_counts()
    return {str(modality): int(count) for modality, count in counts.items()}


def is_series(path: Path) -> bool:
    """True if a scan is a folder with a DICOM series."""
    return path.is_dir()


def missing(dataset: Dataset) -> list[Path]:
    """Files that are needed and not there: of the subjects of a dataset (`missing_files`), or of an atlas."""
    if dataset["kind"] == "atlas":
        images = [Path(dataset["root"], row.sri24_file) for row in MODALITIES.values() if row.sri24_file]
        return [path for path in images if not (path.is_file() or Path(f"{path}.gz").is_file())]
    return list(dict.fromkeys(path for paths in missing_files(dataset).values() for path in paths))


def missing_files(dataset: Dataset) -> dict[str, list[Path]]:
    """Files that are needed and not there, by subject; for changed scans, those that they are made from.

    Nothing is needed of the subjects under the key `leave_out` of the dataset. Each file is looked for once.
    """
    if dataset["kind"] == "phantom":
        return {}
    needed: dict[str, list[Path]]
    possible_series: set[Path] = set()
    if dataset["kind"] in CHANGED:
        needed = {
            subject: [path for path in made_of.values() if isinstance(path, Path)]
            for subject, made_of in CHANGED[dataset["kind"]](dataset).items()
        }
    else:
        paths_by_subject = sources(dataset)
        if dataset["kind"] == "bids":
            return {}  # these files were listed just now, and looking for them again takes seconds
        possible_series = {paths["scan"] for paths in paths_by_subject.values()}
        needed = {
            subject: [file for path in files_of(paths) for file in image_files(path)]
            for subject, paths in paths_by_subject.items()
        }
    left_out = set(dataset.get("leave_out", ()))
    is_there = cache(lambda path: path.is_file() or (path in possible_series and is_series(path)))
    absent = {
        subject: [path for path in dict.fromkeys(paths) if not is_there(path)]
        for subject, paths in needed.items()
        if subject not in left_out
    }
    return {subject: paths for subject, paths in absent.items() if paths}


def pairs(dataset: Dataset) -> dict[str, PaintedPair]:
    """Stroke masks and the healthy scans that they are painted into, by the subject that this makes.

    Raises:
        InputError: The table lacks a column, or a row lacks a value.
    """
    path, data = Path(_key(dataset, "table")), Path(_key(dataset, "data"))
    result = {}
    for row in _full_rows(path, ("scan", "brain", "mask", "mirrored", "seed"), _name(dataset)):
        if not (row["seed"].isdecimal() and row["mirrored"] in ("0", "1")):
            raise InputError(
                f"{path}: subject {row['subject']}: seed {row['seed']!r} and mirrored {row['mirrored']!r} found, a "
                "whole number and 0 or 1 expected; correct the row"
            )
        result[row["subject"]] = PaintedPair(
            scan=data / row["scan"],
            brain=data / row["brain"],
            mask=data / row["mask"],
            seed=int(row["seed"]),
            mirrored=row["mirrored"] == "1",
        )
    return result


def controlled_lesions(dataset: Dataset) -> dict[str, ControlledLesion]:
    """Healthy scans and what is changed in them, by the subject that this makes.

    Raises:
        InputError: Gray matter is not between fluid and white matter in the modality, the table lacks a column, or a
            row lacks a value or has one that is none.
    """
    modality = _key(dataset, "modality")
    possible = [name for name, row in MODALITIES.items() if row.order[1] == "gray"]
    if modality not in possible:
        raise InputError(
            f"{_name(dataset)}: modality {modality} found, {' or '.join(possible)} expected of controlled lesions, "
            "which need gray matter between fluid and white matter; correct it"
        )
    path, data = Path(_key(dataset, "table")), Path(_key(dataset, "data"))
    result = {}
    for row in _full_rows(path, ("scan", "brain", "seed", "diameter_mm", "amount"), _name(dataset)):
        try:
            diameter_mm, amount = float(row["diameter_mm"]), float(row["amount"])
        except ValueError:
            diameter_mm = amount = math.nan
        if not (row["seed"].isdecimal() and 0 < diameter_mm <= MOST_MM and 0 <= amount <= 1):
            raise InputError(
                f"{path}: subject {row['subject']}: seed {row['seed']!r}, diameter_mm {row['diameter_mm']!r} and "
                f"amount {row['amount']!r} found, a whole number, more than 0 up to {MOST_MM:g} and 0 to 1 expected; "
                "correct the row"
            )
        result[row["subject"]] = ControlledLesion(
            scan=data / row["scan"],
            brain=data / row["brain"],
            seed=int(row["seed"]),
            diameter_mm=diameter_mm,
            amount=amount,
        )
    return result


def recontrasted_scans(dataset: Dataset) -> dict[str, RecontrastedScan]:
    """Healthy T1 scans and the seed of the contrast of each, by the subject that this makes.

    Raises:
        InputError: The modality is not T2, the table lacks a column, or a row lacks a value or has one that is none.
    """
    modality = _key(dataset, "modality")
    if modality != "T2":
        raise InputError(
            f"{_name(dataset)}: modality {modality} found, T2 expected of T1 scans that are rendered in another "
            "contrast; correct it, or take kind table for the T1 scans themselves"
        )
    path, data = Path(_key(dataset, "table")), Path(_key(dataset, "data"))
    result = {}
    for row in _full_rows(path, ("scan", "brain", "seed"), _name(dataset)):
        if not row["seed"].isdecimal():
            raise InputError(
                f"{path}: subject {row['subject']}: seed {row['seed']!r} found, a whole number expected; correct the "
                "row"
            )
        result[row["subject"]] = RecontrastedScan(
            scan=data / row["scan"], brain=data / row["brain"], seed=int(row["seed"])
        )
    return result


# Kinds whose scans are real ones in which lesions or contrasts are simulated, and what each is made of.
CHANGED: dict[str, Callable[[Dataset], Mapping[str, PaintedPair | ControlledLesion | RecontrastedScan]]] = {
    "painted": pairs,
    "controlled": controlled_lesions,
    "recontrasted": recontrasted_scans,
}
WITHOUT_LESION = ("recontrasted",)  # of these, those whose scans are healthy
SIMULATED = ("phantom", *CHANGED)  # kinds whose scans a rule makes


def _is_misspelled(modality: str) -> bool:
    """True if a modality of the table is meant, and written otherwise."""
    return modality not in MODALITIES and any(
        re.fullmatch(row.spellings, modality, re.IGNORECASE) for row in MODALITIES.values()
    )


def _from_table(dataset: Dataset) -> Sources:
    path = Path(_key(dataset, "table"))
    table = _read_table(path, ("subject", "modality", *PARTS), _name(dataset), unique=("subject", "modality"))
    refuse(
        [
            f"{row['subject']}: {row['modality']!r}"
            for row in table.to_dict("records")
            if not row["modality"] or _is_misspelled(row["modality"])
        ],
        str(path),
        "rows found whose modality is empty or misspelled",
        f"write one of {', '.join(MODALITIES)}",
    )
    table = table[table["modality"] == _key(dataset, "modality")]
    if table.empty:
        raise InputError(
            f"{path}: no scan of modality {dataset['modality']}; add its rows or change the modality"
        )
    root = Path(dataset.get("root") or path.parent)
    paths_by_subject = {}
    for row in table.to_dict("records"):
        if not row["scan"]:
            raise InputError(f"{path}: subject {row['subject']} has no scan; fill the cell or remove the row")
        paths_by_subject[row["subject"]] = ScanPaths(
            scan=root / row["scan"],
            brain=root / row["brain"] if row["brain"] else None,
            lesion=root / row["lesion"] if row["lesion"] else None,
        )
    if dataset.get("subjects"):
        listed = [row["subject"] for row in _listed_rows(dataset)]
        absent = [subject for subject in listed if subject not in paths_by_subject]
        if absent:
            raise InputError(
                f"{path}: {len(absent)} subjects of {dataset['subjects']} have no row "
                f"({', '.join(absent[:5])}); add their rows or take them off the list"
            )
        return {subject: paths_by_subject[subject] for subject in listed}
    return paths_by_subject


def _from_folder(dataset: Dataset) -> Sources:
    root = Path(_key(dataset, "root"))
    pattern = _key(dataset, "scan")
    name = _name(dataset)
    rows = _listed_rows(dataset) if dataset.get("subjects") else find_subjects(root, pattern, name)

    def mask(part: str, row: dict[str, str]) -> Path | None:
        return find_file(root, dataset[part], row, name) if dataset.get(part) else None

    return {
        row["subject"]: ScanPaths(
            scan=find_file(root, pattern, row, name), brain=mask("brain", row), lesion=mask("lesion", row)
        )
        for row in rows
    }


def _listed_rows(dataset: Dataset) -> list[dict[str, str]]:
    """Rows of the dataset's list of subjects that have its modality."""
    listed = splits.read(dataset["subjects"], dataset.get("where"))
    table = splits.of_modality(listed, dataset.get("modality"))
    return [{str(column): value for column, value in row.items()} for row in table.to_dict("records")]


def _from_bids(dataset: Dataset) -> Sources:
    rows = _listed_rows(dataset) if dataset.get("subjects") else None
    parts = bids.find_scans(
        _key(dataset, "root"),
        dataset.get("scan") or MODALITIES[_key(dataset, "modality")].bids_suffix,
        {part: dataset.get(part) for part in ("brain", "lesion")},
        dataset.get("derivatives"),
        participants=None if rows is None else [participant_label(row["subject"]) for row in rows],
        # participants.tsv has all people of a study, a list those that are meant.
        all_have_scans=not rows or PARTICIPANT_ID not in rows[0],
    )
    return {scan_id: cast(ScanPaths, dict(paths)) for scan_id, paths in parts.items()}


def _from_phantom(dataset: Dataset) -> Sources:
    cohort = _key(dataset, "cohort")
    subjects = [f"phantom_{cohort}_{index:03d}" for index in range(int(_key(dataset, "count")))]
    return _simulated(Path(_key(dataset, "root"), f"phantom_{cohort}"), subjects, _key(dataset, "modality"))


def _from_changed(dataset: Dataset) -> Sources:
    subjects = list(CHANGED[dataset["kind"]](dataset))
    made = _simulated(Path(_key(dataset, "root")), subjects, _key(dataset, "modality"))
    if dataset["kind"] in WITHOUT_LESION:
        return {subject: {**paths, "lesion": None} for subject, paths in made.items()}
    return made


def _simulated(folder: Path, subjects: list[str], modality: str) -> Sources:
    return {
        subject: {
            "scan": folder / subject / f"{modality}.nii.gz",
            "brain": folder / subject / f"{modality}_brain.nii.gz",
            "lesion": folder / subject / f"{modality}_lesion.nii.gz",
        }
        for subject in subjects
    }


KINDS: dict[str, Callable[[Dataset], Sources]] = {
    "table": _from_table,
    "folder": _from_folder,
    "bids": _from_bids,
    "phantom": _from_phantom,
    **dict.fromkeys(CHANGED, _from_changed),
}


def _name(dataset: Dataset) -> str:
    return f"dataset {dataset['name']}" if "name" in dataset else "dataset"


def _key(dataset: Dataset, key: str) -> Any:
    if dataset.get(key) in (None, ""):
        raise InputError(f"{_name(dataset)}: no `{key}` found, kind {dataset.get('kind')!r} needs it; set it")
    return dataset[key]


def _read_table(
    path: Path, columns: Collection[str], name: str, unique: Sequence[str] = ("subject",)
) -> pd.DataFrame:
    table = read_table(path, f"table of {name}")
    absent = [column for column in columns if column not in table.columns]
    if absent:
        raise InputError(
            f"{path}: columns {', '.join(table.columns)} found, {', '.join(columns)} expected; "
            f"add {', '.join(absent)}"
        )
    check_names(table["subject"], str(path))
    repeated = table[table.duplicated(list(unique))]
    if len(repeated):
        raise InputError(f"{path}: {repeated['subject'].iloc[0]} is listed more than once; keep one row")
    return table


def _full_rows(path: Path, columns: Collection[str], name: str) -> Iterator[dict[str, str]]:
    """Rows of a table of subjects, each with a value in all of some columns."""
    for row in _read_table(path, ("subject", *columns), name).to_dict("records"):
        empty = [column for column in columns if not row[column]]
        if empty:
            raise InputError(f"{path}: subject {row['subject']} has no {empty[0]}; fill the cell")
        yield {str(column): value for column, value in row.items()}
