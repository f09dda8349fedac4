"""Tables of subjects as people write them: CSV, read as text, with names that can be those of folders."""

import io
import re
from collections.abc import Collection, Iterable
from pathlib import Path

import pandas as pd

from patch2loc.errors import InputError

# Names of subjects become names of folders and files, words of command lines and keys of tables.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")


def read_table(path: str | Path, what: str) -> pd.DataFrame:
    """Read a CSV as text, empty cells as empty strings; Excel's mark at its start and its semicolons are understood.

    what: is expected there, for messages.
    Raises InputError when the file is missing, is no table of text, or has two columns of one name.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
        first = text.partition("\n")[0]
        separator = ";" if ";" in first and "," not in first else ","
        # The first row as data: else pandas takes the first cells of longer rows for an index.
        cells = pd.read_csv(io.StringIO(text), header=None, dtype=str, keep_default_na=False, sep=separator)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; the {what} was expected there") from error
    except (ValueError, OSError) as error:
        said = " ".join(str(error).split())
        raise InputError(
            f"{path}: not a readable CSV ({said}); write it as UTF-8, comma-separated"
        ) from error
    if "\0" in text:
        raise InputError(f"{path}: zero bytes found, text expected; write it as UTF-8, comma-separated")
    names = list(cells.iloc[0])
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    if repeated:
        raise InputError(
            f"{path}: two columns {', '.join(repeated)} found, one of a name expected; remove one"
        )
    table = cells.iloc[1:].reset_index(drop=True)
    table.columns = names
    return table


def participant(scan: str) -> str:
    """Participant of a scan: "sub-01" of "sub-01_ses-2"."""
    return scan.split("_ses-")[0]


def check_names(subjects: Iterable[str], name: str) -> None:
    """Raise InputError, naming the list, for subjects without a name and for names that no folder should have."""
    named = list(subjects)
    refuse(
        [subject for subject in named if not subject],
        name,
        "rows without a name found",
        "name each row's subject",
    )
    refuse(
        [ascii(subject) for subject in named if not NAME.fullmatch(subject)],
        name,
        "subjects found whose names cannot be those of folders",
        "use letters a to z, digits and . _ + -, first a letter or digit",
    )


def refuse(subjects: Collection[str], name: str, found: str, advice: str) -> None:
    """Raise InputError, naming the list and the first of the subjects, if there are any."""
    if len(subjects):
        some = ", ".join(list(subjects)[:5]) + (", ..." if len(subjects) > 5 else "")
        raise InputError(f"{name}: {len(subjects)} {found} ({some}); {advice}")
