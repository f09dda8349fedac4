"""Age and sex of the participants of a BIDS dataset (participants.tsv, sessions.tsv)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from patch2loc.data.subject_tables import read_table
from patch2loc.errors import InputError
from patch2loc.files import read_json

AGE = re.compile(r"(\d+(?:\.\d+)?)\+?")  # BIDS: 89 or older may be written 89+
YEARS = ("", "year", "years", "yr", "yrs", "y", "a")  # units that ages may be in
SEX = re.compile(r"\w[\w /-]*")  # no formula of a spreadsheet
UNKNOWN = ("", "n/a", "na", "nan")


@dataclass(frozen=True)
class Person:
    """What a BIDS dataset tells of a participant at a session.

    Attributes:
        age: Years; None if unknown.
        sex: As the dataset has it; None if unknown.
        notes: What could not be used, sentences.
    """

    age: float | None = None
    sex: str | None = None
    notes: list[str] = field(default_factory=list)


def person(root: str | Path, participant: str, session: str | None = None) -> Person:
    """Look a participant up in participants.tsv, and a session's age in sub-*_sessions.tsv, where that has one.

    Tables that are missing, damaged or say nothing of the participant are no error: an age is welcome, not needed. Of
    all but a missing one there is a note.

    Args:
        root: Folder of the dataset.
        participant: "sub-01".
        session: "ses-2", if the scan has one.
    """
    root = Path(root)
    notes: list[str] = []
    row = _row(root / "participants.tsv", "participant_id", participant, notes)
    age = _age(root / "participants.tsv", row, notes)
    if session:
        sessions = root / participant / f"{participant}_sessions.tsv"
        at_session = _age(sessions, _row(sessions, "session_id", session, notes), notes)
        age = age if at_session is None else at_session
    sex = _cell(row, "sex") or _cell(row, "gender")
    if sex and not SEX.fullmatch(sex):
        notes.append(f"{root / 'participants.tsv'}: sex {sex!r} found, a word expected: it is not used")
        sex = None
    return Person(age, sex, notes)


def _row(path: Path, column: str, name: str, notes: list[str]) -> dict[str, str]:
    """The row of a table whose column has a name, with lower-case columns; empty if there is none."""
    if not path.is_file():
        return {}
    try:
        table = read_table(path, "table of participants")
    except InputError as error:
        notes.append(f"{error}: the age is not known")
        return {}
    columns = [label.strip().lower() for label in table.columns]
    repeated = [label for label in (column, "age", "sex") if columns.count(label) > 1]
    if repeated or column not in columns:
        found = f"several columns {repeated[0]}" if repeated else f"no column {column}"
        notes.append(f"{path}: {found} found, one expected: the age is not known")
        return {}
    rows = [dict(zip(columns, cells, strict=True)) for cells in table.itertuples(index=False, name=None)]
    prefix = name.split("-")[0] + "-"
    matching = [row for row in rows if prefix + _bare(row[column], prefix) == name]
    if len(matching) != 1:
        notes.append(f"{path}: {len(matching)} rows of {name} found, one expected: the age is not known")
        return {}
    return matching[0]


def _bare(name: str, prefix: str) -> str:
    return name.strip().removeprefix(prefix)


def _cell(row: dict[str, str], column: str) -> str | None:
    value = row.get(column, "").strip()
    return None if value.lower() in UNKNOWN else value


def _age(path: Path, row: dict[str, str], notes: list[str]) -> float | None:
    text = _cell(row, "age")
    if text is None:
        return None
    unit = _unit(path.with_suffix(".json"))
    if unit.lower() not in YEARS:
        notes.append(f"{path}: age in {unit} found, years expected: the age is not used")
        return None
    match = AGE.fullmatch(text)
    if match is None:
        notes.append(f"{path}: age {text!r} found, a number of years expected: the age is not used")
        return None
    return float(match[1])


def _unit(path: Path) -> str:
    """Unit of ages by the JSON beside a table, "" if that does not say."""
    try:
        return str(_without_case(_without_case(read_json(path, dict), "age"), "units")).strip()
    except (OSError, InputError, KeyError, AttributeError):
        return ""


def _without_case(content: Mapping[str, Any], name: str) -> Any:
    return {key.strip().lower(): value for key, value in content.items()}[name]
