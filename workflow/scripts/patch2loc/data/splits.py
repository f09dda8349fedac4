"""Subject lists: who is trained on, validated on and tested on, in each fold.

A split is a table with one row per subject and a column fold0, fold1, ... each, whose values are
train, validation, test or empty (unused in that fold). Lists of lesion datasets have no fold columns:
their scans are all tested, or those that a column `role` says, and its validation scans choose a
threshold. Lists may carry further columns: the site, and what a path needs (session).
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from patch2loc.data.published_splits import published_roles
from patch2loc.data.subject_tables import check_names, read_table, refuse
from patch2loc.errors import InputError

ROLES = ("train", "validation", "test")
LESION_ROLES = ("validation", "test")  # in the column `role`, the same in every fold
SIMULATED_FOLDS = 5  # as the paper's


def read(path: str | Path) -> pd.DataFrame:
    """Read a subject list as text, empty cells as empty strings, and check it (`check`).

    Raises InputError when the file is missing or unreadable, or fails the check.
    """
    table = read_table(path, "list of subjects")
    check(table, str(path))
    return table


def folds(table: pd.DataFrame) -> list[str]:
    """Names of the fold columns, in the table's order."""
    return [name for name in table.columns if re.fullmatch(r"fold\d+", name)]


def check(table: pd.DataFrame, name: str = "split") -> None:
    """Hold invariant 3: nothing of a test subject reaches training or model choice.

    Raises InputError, naming the subjects, when one is listed twice, has an unknown role, is a test
    subject in one fold and not in another, or when the validation lists of two folds overlap. Also when a column
    `role` has anything but LESION_ROLES, lacks one of them, or stands beside fold columns.
    """
    if "subject" not in table.columns:
        raise InputError(f"{name}: columns {list(table.columns)} found, a column `subject` expected; add it")
    if table.empty:
        raise InputError(f"{name}: no subject found, one at least expected; add a row for each")
    subject = table["subject"].astype(str)
    check_names(subject, name)
    refuse(subject[subject.duplicated()], name, "subjects listed more than once", "keep one row of each")
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
    tested = roles.eq("test")
    refuse(
        subject[tested.any(axis=1) & roles.isin(["train", "validation"]).any(axis=1)],
        name,
        "test subjects that are in training or validation",
        "make them test in every fold",
    )
    refuse(
        subject[roles.eq("validation").sum(axis=1) > 1],
        name,
        "subjects in the validation lists of several folds",
        "keep each in one fold's validation list",
    )
    for fold in roles:
        _refuse_empty(name, fold, _by_role(table, fold))


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


def _by_role(table: pd.DataFrame, column: str) -> dict[str, list[str]]:
    """Subjects of each role in a column of the table."""
    return {role: list(table.loc[table[column] == role, "subject"]) for role in ROLES}


def _refuse_empty(
    name: str, column: str, listed: Mapping[str, Sequence[str]], expected: Sequence[str] = ROLES
) -> None:
    empty = [role for role in expected if not listed[role]]
    if empty:
        raise InputError(
            f"{name}: no {' and no '.join(empty)} subject found in {column}, each of {', '.join(expected)} expected; "
            "give every role a subject in every such column"
        )


def is_published(table: pd.DataFrame) -> bool:
    """Whether a list counts listings, as the published ones do, and so may give a subject several roles."""
    return "train_fold0" in table.columns


def of_modality(table: pd.DataFrame, modality: str | None) -> pd.DataFrame:
    """The rows of the subjects that have a modality: all, but those whose `has_t2` is 0 for T2."""
    return table[table["has_t2"] == "1"] if modality == "T2" and "has_t2" in table.columns else table


def roles(path: str | Path, fold: int, modality: str = "T1", published: bool = False) -> dict[str, list[str]]:
    """Subjects of each role in one fold: {"train": [...], "validation": [...], "test": [...]}.

    Subjects whose `has_t2` is 0 are left out for modality T2. A list with a column `role` gives the same in
    every fold, and nobody trains. One with neither is of scans that are all tested (paper, section 4), whatever part
    the published code gave them.
    published: take the published lists as they are (columns test, train_fold0, val_fold0, ...). They may give
    a subject several roles: that is their defect, which `problems` and `overlaps` count.
    Raises InputError when the list fails `check`, does not have the fold, has nobody for a role in it, or is
    a published one and `published` is not set.
    """
    table = of_modality(read(path), modality)
    if is_published(table):
        if not published:
            raise InputError(
                f"{path}: the form of the published lists found, which put subjects in training and test; use "
                "the cleaned list, or set `split: published` in the configuration"
            )
        return published_roles(table, fold, path)
    if "role" in table.columns:
        found = _by_role(table, "role")
        _refuse_empty(f"{path}, {modality}", "role", found, LESION_ROLES)
        return found
    if not folds(table):
        return {"train": [], "validation": [], "test": list(table["subject"])}
    column = f"fold{fold}"
    if column not in table.columns:
        raise InputError(
            f"{path}: no column {column}, but {', '.join(folds(table))}; ask for one of these folds"
        )
    found = _by_role(table, column)
    _refuse_empty(f"{path}, {modality}", column, found)
    return found


def without(scans: Mapping[str, Any], subjects: Sequence[str], name: str) -> dict[str, Any]:
    """Scans by their subjects, without those of some subjects.

    Raises InputError, with the name of the list of these, when one of them has no scan.
    """
    unknown = [subject for subject in subjects if subject not in scans]
    called = ", ".join(list(scans)[:2])
    refuse(
        unknown,
        name,
        "names that are no scan of the dataset",
        f"they are called {called} ...: correct the names",
    )
    return {subject: scan for subject, scan in scans.items() if subject not in subjects}


OVERLAPS = {
    "test_in_training": ("test", "train"),
    "test_in_validation": ("test", "validation"),
    "training_in_validation": ("train", "validation"),
}
CALLED = {"train": "training subjects", "validation": "validation subjects", "test": "test subjects"}


def overlaps(lists: Mapping[int, Mapping[str, Sequence[str]]]) -> pd.DataFrame:
    """Count the subjects of each role and those of two roles: one row per fold.

    lists: {fold: {"train": [...], "validation": [...], "test": [...]}}, as `roles` gives them.
    Columns fold, train, validation, test, and the keys of OVERLAPS: all 0 in lists that pass `check`.
    """
    return pd.DataFrame(
        [
            {"fold": fold}
            | {role: len(set(listed[role])) for role in ROLES}
            | {name: len(set(listed[one]) & set(listed[other])) for name, (one, other) in OVERLAPS.items()}
            for fold, listed in lists.items()
        ]
    )


def overlap_note(name: str, counts: pd.DataFrame) -> str:
    """One sentence for tables about the overlaps of a dataset's lists (`overlaps`); empty when there are none."""
    said = [
        f"{', '.join(str(count) for count in counts[column])} {CALLED[one]} are {CALLED[other]}"
        for column, (one, other) in OVERLAPS.items()
        if counts[column].any()
    ]
    if not said:
        return ""
    of = f"fold{'s' if len(counts) > 1 else ''} {', '.join(map(str, counts['fold']))}"
    return f"{name}: published subject lists, which overlap ({of}): {'; '.join(said)}."


def divide(
    subjects: Sequence[str], validation: int, test: int, number_of_folds: int = SIMULATED_FOLDS
) -> pd.DataFrame:
    """Split a cohort by its order: the last `test` subjects are tested; fold k validates on the k-th block.

    Each fold validates on its own `validation` subjects and trains on the others; no chance is involved.
    Raises InputError when the cohort is too small for that.
    """
    if len(subjects) < max(number_of_folds * validation, validation + 1) + test:
        raise InputError(
            f"{len(subjects)} subjects found, too few for {number_of_folds} x {validation} for validation, "
            f"{test} for test and someone to train on; give the cohort more subjects or lower these numbers"
        )
    remaining = len(subjects) - test
    table = {"subject": list(subjects)}
    for fold in range(number_of_folds):
        validated = range(fold * validation, (fold + 1) * validation)
        table[f"fold{fold}"] = [
            "test" if index >= remaining else "validation" if index in validated else "train"
            for index in range(len(subjects))
        ]
    return pd.DataFrame(table)
