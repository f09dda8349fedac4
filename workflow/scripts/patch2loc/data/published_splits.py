"""The published subject lists: their defects, and the lists cleaned of them."""

import re
from pathlib import Path

import pandas as pd

from patch2loc.data.subject_tables import refuse
from patch2loc.errors import InputError


def published_roles(table: pd.DataFrame, fold: int, path: str | Path) -> dict[str, list[str]]:
    """Subjects of a published list by their role in a fold, as the list has them: overlaps included."""
    count = _number_of_folds(table, str(path))
    if not 0 <= fold < count:
        raise InputError(f"{path}: no fold {fold}, but 0 to {count - 1}; ask for one of these folds")
    columns = {"train": f"train_fold{fold}", "validation": f"val_fold{fold}", "test": "test"}
    for column in columns.values():
        wrong = ~table[column].str.fullmatch("[0-9]+")
        refuse(
            table.loc[wrong, "subject"], str(path), f"subjects without a count in {column}", "write 0, 1, ..."
        )
    return {
        role: list(table.loc[table[column].astype(int) > 0, "subject"]) for role, column in columns.items()
    }


def clean(published: pd.DataFrame) -> pd.DataFrame:
    """Make the published IXI lists consistent (columns subject, has_t2, site, fold0, fold1, ...).

    `published` counts how often each subject is listed: test, train_fold0, val_fold0, ... The rules:

    1. A subject occurs once.
    2. A subject of the test list is a test subject in every fold, wherever else it is listed.
    3. A subject of several validation lists validates in the first fold that lists it, and trains in
       the others: there it is as good as any training subject, and the lists become disjoint.
    4. A subject in training and validation of one fold validates, unless rule 3 moved it.
    5. Otherwise the published role stays.

    The site is a part of IXI's names: IXI002-Guys-0828.
    Raises InputError when the columns are not those of the published lists.
    """
    count = _number_of_folds(published)
    tested = published["test"] > 0
    validation = pd.DataFrame({fold: published[f"val_fold{fold}"] > 0 for fold in range(count)})
    first = validation.idxmax(axis=1).where(validation.any(axis=1), -1)
    cleaned = published[["subject", "has_t2"]].copy()
    cleaned["site"] = published["subject"].str.split("-").str[1]
    for fold in range(count):
        role = pd.Series("", index=published.index, dtype=object)
        role[(published[f"train_fold{fold}"] > 0) | validation[fold]] = "train"
        role[first == fold] = "validation"
        role[tested] = "test"
        cleaned[f"fold{fold}"] = role
    return cleaned


def problems(published: pd.DataFrame) -> dict[str, int | list[int]]:
    """Count what is wrong in the published IXI lists (one number per fold where a list is given).

    test_listed_twice, test_in_training_any_fold, test_in_training, test_in_validation,
    training_in_validation, training_listed_twice, validated_in_several_folds: subjects.
    """
    every = range(_number_of_folds(published))
    train = [published[f"train_fold{fold}"] for fold in every]
    validation = [published[f"val_fold{fold}"] for fold in every]
    tested = published["test"] > 0
    trained_somewhere = pd.concat(train, axis=1).gt(0).any(axis=1)
    return {
        "test_listed_twice": int((published["test"] > 1).sum()),
        "test_in_training_any_fold": int((tested & trained_somewhere).sum()),
        "test_in_training": [int((tested & (listed > 0)).sum()) for listed in train],
        "test_in_validation": [int((tested & (listed > 0)).sum()) for listed in validation],
        "training_in_validation": [
            int(((trained > 0) & (validated > 0)).sum())
            for trained, validated in zip(train, validation, strict=True)
        ],
        "training_listed_twice": [int((listed > 1).sum()) for listed in train],
        "validated_in_several_folds": int((pd.concat(validation, axis=1).gt(0).sum(axis=1) > 1).sum()),
    }


def _number_of_folds(published: pd.DataFrame, name: str = "published lists") -> int:
    count = sum(bool(re.fullmatch(r"train_fold\d+", name)) for name in published.columns)
    expected = {"subject", "has_t2", "test"}
    expected |= {f"{part}_fold{fold}" for part in ("train", "val") for fold in range(count)}
    absent = sorted(expected - set(published.columns))
    if absent or not count:
        raise InputError(
            f"{name}: columns {list(published.columns)} found, without {absent or 'train_fold0'}; "
            "give the counts of listings in columns test, train_fold0, val_fold0, ..."
        )
    return count
