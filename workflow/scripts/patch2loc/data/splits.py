"""Subject lists: the subjects to train, validate and test on, in each fold.

A list is a table with one row per subject and columns fold0, fold1, ..., whose values are train,
validation, test or empty (unused in that fold). Lists of lesion datasets have no such columns: all
their scans are tested, unless a column `role` makes some of them validation scans, which choose a
threshold. Further columns may hold the site, or parts of paths such as the session.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from patch2loc.data.conditions import Conditions, matching_rows
from patch2loc.data.modalities import MODALITIES, Modality
from patch2loc.data.published_splits import published_roles
from patch2loc.data.subject_tables import PARTICIPANT_ID, check_names, participant_label, read_table, refuse
from patch2loc.data.vocabulary import SubjectRole
from patch2loc.errors import InputError

ROLES: tuple[SubjectRole, ...] = get_args(SubjectRole)
LESION_ROLES: tuple[SubjectRole, ...] = ("validation", "test")  # in the column `role`, the same in every fold
FOLD = re.compile(r"fold\d+")
# Column of a modality, 1 or 0: who has a scan of it.
MODALITY_COLUMNS = {modality: f"has_{modality.lower()}" for modality in MODALITIES}
# Columns besides folds, by their letters and digits.
KNOWN_COLUMNS = {column.replace("_", ""): column for column in ("role", "site", *MODALITY_COLUMNS.values())}
SIMULATED_FOLDS = 5  # as the paper's


def read(path: str | Path, where: Conditions | None = None) -> pd.DataFrame:
    """Read a subject list as text, with empty cells as empty strings, and check it.

    Args:
        path: A CSV, or a participants.tsv of BIDS.
        where: Keep only the rows that meet these conditions (`conditions.matching_rows`).

    Raises:
        InputError: The file is missing, unreadable, or fails `check`, or no row meets the conditions.
    """
    table = read_table(path, "list of subjects")
    check(table, str(path))
    return matching_rows(table, where, str(path)) if where else table


def folds(table: pd.DataFrame) -> list[str]:
    """Names of the fold columns, in the table's order."""
    return [column for column in table.columns if FOLD.fullmatch(column)]


def check(table: pd.DataFrame, name: str = "split") -> None:
    """Check a subject list, so that nothing of a test subject reaches training or the choice of a model.

    A fold may lack a role: `roles` refuses that in the folds that are asked for.

    Args:
        table: The list, as text.
        name: Of the list, for messages.

    Raises:
        InputError: A subject is listed twice, has an unknown role, or is a test subject in one fold and not in
            another; the validation lists of two folds overlap; a column's name is that of a known one in another
            spelling; one of MODALITY_COLUMNS has anything but 0 and 1; or a column `role` has anything but
            LESION_ROLES, lacks one of them, or stands beside fold columns.
    """
    if "subject" not in table.columns:
        raise InputError(f"{name}: columns {list(table.columns)} found, a column `subject` expected; add it")
    if table.empty:
        raise InputError(f"{name}: no subject found, at least one expected; add a row for each")
    subject = table["subject"].astype(str)
    check_names(subject, name)
    repeated = subject.map(participant_label).duplicated()  # in a BIDS dataset 01 is sub-01
    refuse(subject[repeated], name, "subjects listed more than once", "keep one row of each")
    _check_columns(table, name)
    roles = table[folds(table)]
    if "role" in table.columns:
        _check_lesion_roles(table, name)
    if roles.columns.empty:
        return
    unknown = ~roles.isin([*ROLES, ""])
    refuse(
        subject[unknown.any(axis=1)],
        name,
        "subjects with an unknown role",
        f"use {', '.join(ROLES)} or empty",
    )
    tested = roles == "test"
    refuse(
        subject[tested.any(axis=1) & roles.isin(["train", "validation"]).any(axis=1)],
        name,
        "test subjects that are in training or validation",
        "make them test in every fold",
    )
    refuse(
        subject[(roles == "validation").sum(axis=1) > 1],
        name,
        "subjects in the validation lists of several folds",
        "keep each in one fold's validation list",
    )


def _check_columns(table: pd.DataFrame, name: str) -> None:
    for column in table.columns:
        plain = re.sub("[^a-z0-9]", "", column.lower())
        known = plain if FOLD.fullmatch(plain) else KNOWN_COLUMNS.get(plain, column)
        # A participants.tsv is read as it is, and sites are what many have under names of their own.
        if column != known and not (known == "site" and PARTICIPANT_ID in table.columns):
            raise InputError(f"{name}: a column {column!r} found, {known!r} expected; rename it")
    for modality, column in MODALITY_COLUMNS.items():
        if column in table.columns:
            refuse(
                table.loc[~table[column].astype(str).isin(["0", "1"]), "subject"].astype(str),
                name,
                f"subjects with a {column} that is neither 0 nor 1",
                f"write 1 for those who have a {modality} scan, else 0",
            )


def _check_lesion_roles(table: pd.DataFrame, name: str) -> None:
    if folds(table) or is_published(table):
        raise InputError(
            f"{name}: a column role and columns of folds found, one of the two expected; keep role for a lesion "
            "dataset, folds for training data"
        )
    unknown = ~table["role"].isin(LESION_ROLES)
    refuse(
        table.loc[unknown, "subject"].astype(str),
        name,
        "subjects with an unknown role",
        f"use {' or '.join(LESION_ROLES)}",
    )
    _refuse_empty(name, "role", _by_role(table, "role"), LESION_ROLES)


def _by_role(table: pd.DataFrame, column: str) -> dict[SubjectRole, list[str]]:
    """Subjects of each role in a column of the table."""
    return {role: list(table.loc[table[column] == role, "subject"]) for role in ROLES}


def _refuse_empty(
    name: str,
    column: str,
    lists: Mapping[SubjectRole, Sequence[str]],
    expected: Sequence[SubjectRole] = ROLES,
) -> None:
    empty = [role for role in expected if not lists[role]]
    if empty:
        raise InputError(
            f"{name}: no {' and no '.join(empty)} subject found in {column}, each of {', '.join(expected)} expected; "
            "give each of them a subject there"
        )


def is_published(table: pd.DataFrame) -> bool:
    """True for a list that counts listings, as the published ones do, and so may give a subject several roles."""
    return "train_fold0" in table.columns


def of_modality(table: pd.DataFrame, modality: Modality | None) -> pd.DataFrame:
    """Rows of the subjects who have a scan of the modality: all, or those with a 1 in its column (MODALITY_COLUMNS)."""
    if modality is None or (column := MODALITY_COLUMNS[modality]) not in table.columns:
        return table
    return table[table[column] == "1"]


def roles(
    path: str | Path,
    fold: int,
    modality: Modality = "T1",
    published_lists: bool = False,
    *,
    where: Conditions | None = None,
) -> dict[SubjectRole, list[str]]:
    """Subjects of each role in one fold.

    Subjects without a scan of the modality (`of_modality`) are left out. A list with a column `role` gives the same in
    every fold, and nobody trains. All scans of a list with neither `role` nor folds are tested (paper, section 4),
    whatever role the published code gave them.

    Args:
        path: A subject list.
        fold: One of its folds.
        modality: Modality of the scans that are asked for.
        published_lists: Take the published lists as they are (columns test, train_fold0, val_fold0, ...). They may
            give a subject several roles: that is their defect, which `problems` and `overlaps` count.
        where: Of these subjects only, see `read`.

    Returns:
        {"train": [...], "validation": [...], "test": [...]}, in the order of the list.

    Raises:
        InputError: The list fails `check`, does not have the fold, has nobody for a role in it, or is a published
            one and `published_lists` is not set.
    """
    table = of_modality(read(path, where), modality)
    if is_published(table):
        if not published_lists:
            raise InputError(
                f"{path}: the form of the published lists found, which put subjects in training and test; use "
                "the cleaned list, or set `split: published` in the configuration"
            )
        return published_roles(table, fold, path)
    if "role" in table.columns:
        by_role = _by_role(table, "role")
        _refuse_empty(f"{path}, {modality}", "role", by_role, LESION_ROLES)
        return by_role
    if not folds(table):
        return {"train": [], "validation": [], "test": list(table["subject"])}
    column = f"fold{fold}"
    if column not in table.columns:
        raise InputError(
            f"{path}: no column {column}, but {', '.join(folds(table))}; ask for one of these folds"
        )
    by_role = _by_role(table, column)
    _refuse_empty(f"{path}, {modality}", column, by_role)
    return by_role


def without(scans: Mapping[str, Any], subjects: Sequence[str], name: str) -> dict[str, Any]:
    """Leave subjects out of the scans of a dataset.

    Args:
        scans: Scans by subject.
        subjects: Subjects to leave out.
        name: Of the list of these, for messages.

    Raises:
        InputError: A subject to be left out has no scan.
    """
    unknown = [subject for subject in subjects if subject not in scans]
    examples = ", ".join(list(scans)[:2])
    refuse(
        unknown,
        name,
        "names that are no scan of the dataset",
        f"they are called {examples} ...: correct the names",
    )
    return {subject: scan for subject, scan in scans.items() if subject not in subjects}


OVERLAPS: dict[str, tuple[SubjectRole, SubjectRole]] = {
    "test_in_training": ("test", "train"),
    "test_in_validation": ("test", "validation"),
    "training_in_validation": ("train", "validation"),
}
ROLE_NAMES: dict[SubjectRole, str] = {
    "train": "training subjects",
    "validation": "validation subjects",
    "test": "test subjects",
}


def overlaps(lists: Mapping[int, Mapping[SubjectRole, Sequence[str]]]) -> pd.DataFrame:
    """Count the subjects of each role, and those of two roles.

    Args:
        lists: {fold: {"train": [...], "validation": [...], "test": [...]}}, as `roles` gives them.

    Returns:
        A row per fold: fold, train, validation, test, and the keys of OVERLAPS, all 0 in lists that pass `check`.
    """
    return pd.DataFrame(
        [
            {"fold": fold}
            | {role: len(set(subjects[role])) for role in ROLES}
            | {
                name: len(set(subjects[one]) & set(subjects[other]))
                for name, (one, other) in OVERLAPS.items()
            }
            for fold, subjects in lists.items()
        ]
    )


def overlap_note(name: str, counts: pd.DataFrame) -> str:
    """One sentence for tables on the overlaps of a dataset's lists (`overlaps`); empty if there are none."""
    overlapping = [
        f"{', '.join(str(count) for count in counts[column])} {ROLE_NAMES[one]} are {ROLE_NAMES[other]}"
        for column, (one, other) in OVERLAPS.items()
        if counts[column].any()
    ]
    if not overlapping:
        return ""
    folds = f"fold{'s' if len(counts) > 1 else ''} {', '.join(map(str, counts['fold']))}"
    return f"{name}: published subject lists, which overlap ({folds}): {'; '.join(overlapping)}."


def divide(
    subjects: Sequence[str], validation: int, test: int, number_of_folds: int = SIMULATED_FOLDS
) -> pd.DataFrame:
    """Split a cohort by its order: the last `test` subjects are tested; fold k validates on the k-th block.

    Each fold validates on its own `validation` subjects and trains on the others. Nothing is drawn at random.

    Returns:
        Columns subject, fold0, fold1, ...

    Raises:
        InputError: The cohort is too small for that.
    """
    if len(subjects) < max(number_of_folds * validation, validation + 1) + test:
        raise InputError(
            f"{len(subjects)} subjects found, too few for {number_of_folds} x {validation} for validation, "
            f"{test} for test and someone to train on; give the cohort more subjects or lower these numbers"
        )
    remaining = len(subjects) - test
    columns = {"subject": list(subjects)}
    for fold in range(number_of_folds):
        validation_block = range(fold * validation, (fold + 1) * validation)
        columns[f"fold{fold}"] = [
            "test" if index >= remaining else "validation" if index in validation_block else "train"
            for index in range(len(subjects))
        ]
    return pd.DataFrame(columns)
