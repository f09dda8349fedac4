"""The published subject lists, their defects, and the lists cleaned of them."""

import re
from pathlib import Path

import pandas as pd

from patch2loc.data.subject_tables import refuse
from patch2loc.data.vocabulary import SubjectRole
from patch2loc.errors import InputError


def published_roles(table: pd.DataFrame, fold: int, path: str | Path) -> dict[SubjectRole, list[str]]:
    """Subjects of the published lists by their role in a fold, as the lists have them: overlaps included.

    Args:
        table: Counts of listings as text, columns subject, has_t2, test, train_fold0, val_fold0, ...
        fold: One of the table's folds.
        path: Of the table, for messages.

    Raises:
        InputError: The table has no such fold, or a count is not a whole number.
    """
    count = _number_of_folds(table, str(path))
    if not 0 <= fold < count:
        raise InputError(f"{path}: no fold {fold}, but 0 to {count - 1}; ask for one of these folds")
    columns: dict[SubjectRole, str] = {
        "train": f"train_fold{fold}",
        "validation": f"val_fold{fold}",
        "test": "test",
    }
    for column in columns.values():
        no_count = ~table[column].str.fullmatch("[0-9]+")
        refuse(
            table.loc[no_count, "subject"],
            str(path),
            f"subjects without a count in {column}",
            "write 0, 1, ...",
        )
    return {
        role: list(table.loc[table[column].astype(int) > 0, "subject"]) for role, column in columns.items()
    }


def clean(published_lists: pd.DataFrame) -> pd.DataFrame:
    """Make the published IXI lists consistent.

    The rules:

    1. A subject occurs once.
    2. A subject of the test list is a test subject in every fold, wherever else it is listed.
    3. A subject of several validation lists validates in the first fold that lists it, and trains in
       the others: there it is as good as any training subject, and the lists become disjoint.
    4. A subject in training and validation of one fold validates, unless rule 3 moved it.
    5. Otherwise the published role stays.

    Args:
        published_lists: How often each subject is listed: columns subject, has_t2, test, train_fold0, val_fold0, ...

    Returns:
        Columns subject, has_t2, site, fold0, fold1, ... The site is a part of IXI's names: IXI002-Guys-0828.

    Raises:
        InputError: The columns are not those of the published lists.
    """
    count = _number_of_folds(published_lists)
    tested = published_lists["test"] > 0
    validation = pd.DataFrame({fold: published_lists[f"val_fold{fold}"] > 0 for fold in range(count)})
    first = validation.idxmax(axis=1).where(validation.any(axis=1), -1)
    cleaned = published_lists[["subject", "has_t2"]].copy()
    cleaned["site"] = published_lists["subject"].str.split("-").str[1]
    for fold in range(count):
        role = pd.Series("", index=published_lists.index, dtype=object)
        role[(published_lists[f"train_fold{fold}"] > 0) | validation[fold]] = "train"
        role[first == fold] = "validation"
        role[tested] = "test"
        cleaned[f"fold{fold}"] = role
    return cleaned


def problems(published_lists: pd.DataFrame) -> dict[str, int | list[int]]:
    """Count the defects of the published IXI lists.

    Args:
        published_lists: As for `clean`.

    Returns:
        Numbers of subjects, one for each fold where a list is given: test_listed_twice, test_in_training_any_fold,
        test_in_training, test_in_validation, training_in_validation, training_listed_twice and
        validated_in_several_folds.
    """
    folds = range(_number_of_folds(published_lists))
    train = [published_lists[f"train_fold{fold}"] for fold in folds]
    validation = [published_lists[f"val_fold{fold}"] for fold in folds]
    tested = published_lists["test"] > 0
    trained_somewhere = pd.concat(train, axis=1).gt(0).any(axis=1)
    return {
        "test_listed_twice": int((published_lists["test"] > 1).sum()),
        "test_in_training_any_fold": int((tested & trained_somewhere).sum()),
        "test_in_training": [int((tested & (counts > 0)).sum()) for counts in train],
        "test_in_validation": [int((tested & (counts > 0)).sum()) for counts in validation],
        "training_in_validation": [
            int(((training_counts > 0) & (validation_counts > 0)).sum())
            for training_counts, validation_counts in zip(train, validation, strict=True)
        ],
        "training_listed_twice": [int((counts > 1).sum()) for counts in train],
        "validated_in_several_folds": int((pd.concat(validation, axis=1).gt(0).sum(axis=1) > 1).sum()),
    }


def _number_of_folds(published_lists: pd.DataFrame, name: str = "published lists") -> int:
    count = sum(bool(re.fullmatch(r"train_fold\d+", column)) for column in published_lists.columns)
    expected = {"subject", "has_t2", "test"}
    expected |= {f"{part}_fold{fold}" for part in ("train", "val") for fold in range(count)}
    absent = sorted(expected - set(published_lists.columns))
    if absent or not count:
        raise InputError(
            f"{name}: columns {list(published_lists.columns)} found, without {absent or 'train_fold0'}; "
            "give the counts of listings in columns test, train_fold0, val_fold0, ..."
        )
    return count
