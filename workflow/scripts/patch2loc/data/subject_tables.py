"""Tables of subjects as people write them: CSV or BIDS's TSV, read as text, with names that folders can have."""

import io
import re
from collections.abc import Collection, Iterable
from pathlib import Path

import pandas as pd

from patch2loc.errors import InputError, first_of

# Names of subjects become names of folders and files, words of command lines and keys of tables.
MOST_ROWS = 100_000  # of a table, and scans of a dataset: planning them takes Snakemake minutes
MOST_BYTES = 100_000_000  # of a table: a thousand a row
MOST_LETTERS = 4096  # of a cell, as of a path
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")
PARTICIPANT_ID = "participant_id"  # column of BIDS's participants.tsv, the subject
MISSING = "n/a"  # value of a TSV of BIDS


def read_table(path: str | Path, content: str) -> pd.DataFrame:
    """Read a table as text, with empty cells as empty strings.

    CSV, also with a byte-order mark or Excel's semicolons, or tab-separated as BIDS has it: there a cell "n/a" is
    empty, and `participant_id` is also the column `subject`. Blanks around cells and rows without any cell are dropped.

    Args:
        path: File to read.
        content: What the file should hold, such as "list of subjects", for messages.

    Raises:
        InputError: The file is missing, is no table of text, is larger than a table of subjects can be, separates its
            rows otherwise than its header, or has two columns of one name.
    """
    try:
        with open(path, "rb") as stream:
            stored = stream.read(MOST_BYTES + 1)
        if len(stored) > MOST_BYTES:
            raise InputError(
                f"{path}: more than {MOST_BYTES / 1e6:.0f} MB found, the {content} expected, of fewer; give the "
                "path of a table of names and paths"
            )
        text = stored.decode("utf-8-sig")
        header = text.partition("\n")[0]
        separator = "\t" if "\t" in header else ";" if ";" in header and "," not in header else ","
        # The header is read as data: otherwise pandas takes the first cells of longer rows for an index.
        cells = pd.read_csv(
            io.StringIO(text),
            header=None,
            dtype=str,
            keep_default_na=False,
            sep=separator,
            skipinitialspace=True,
        )
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; the {content} was expected there") from error
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: not a readable CSV ({reason}); write it as UTF-8, comma-separated"
        ) from error
    if "\0" in text:
        raise InputError(f"{path}: zero bytes found, text expected; write it as UTF-8, comma-separated")
    check_count(len(cells) - 1, path)
    letters = max(cells[column].str.len().max() for column in cells)
    if letters > MOST_LETTERS:
        raise InputError(
            f"{path}: a cell of {letters:,} letters found, at most {MOST_LETTERS:,} expected, as of a path; look for a "
            "quotation mark that does not end"
        )
    cells = cells.apply(lambda column: column.str.strip())
    cells = cells[(cells != "").any(axis=1)]
    names = list(cells.iloc[0])
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    if repeated:
        raise InputError(
            f"{path}: two columns {', '.join(repeated)} found, one of a name expected; remove one"
        )
    _refuse_other_separators(cells, separator, path)
    table: pd.DataFrame = cells.iloc[1:].reset_index(drop=True)
    table.columns = pd.Index(names)
    if separator == "\t":
        table = table.replace(MISSING, "")
    if PARTICIPANT_ID in names and "subject" not in names:
        table.insert(0, "subject", table[PARTICIPANT_ID])
    return table


def _refuse_other_separators(cells: pd.DataFrame, separator: str, path: str | Path) -> None:
    """Refuse rows that are a single cell for the header's separator, and several for another one."""
    alone = cells[(cells.iloc[:, 1:] == "").all(axis=1)][0]
    for other in {",", ";", "\t"} - {separator} if cells.shape[1] > 1 else ():
        if alone.str.contains(other, regex=False).any():
            raise InputError(
                f"{path}: {separator!r} between the cells of the header and {other!r} between those of rows found, one "
                "of the two expected; save the table again"
            )


def participant(scan_id: str) -> str:
    """Participant of a BIDS scan: "sub-01" of "sub-01_ses-2"."""
    return scan_id.split("_ses-")[0]


def participant_label(name: str) -> str:
    """Name of a participant as BIDS folders have it: "sub-01" of "01" and of "sub-01"."""
    return name if name.startswith("sub-") else f"sub-{name}"


def check_count(count: int, name: str | Path) -> None:
    """Raise InputError if a list has more subjects than can be planned. name: of the list, for messages."""
    if count > MOST_ROWS:
        raise InputError(
            f"{name}: {count:,} subjects found, at most {MOST_ROWS:,} expected, which take Snakemake minutes to "
            "plan; divide them among several runs"
        )


def check_names(subjects: Iterable[str], name: str) -> None:
    """Check that every subject of a list has a name, and one that a folder of its own can have.

    Args:
        subjects: Names of subjects.
        name: Of the list, for messages.

    Raises:
        InputError: A name is empty, is none for a folder, or differs from another one by upper and lower case alone.
    """
    subjects = list(subjects)
    refuse(
        [subject for subject in subjects if not subject],
        name,
        "rows without a name found",
        "name each row's subject",
    )
    refuse(
        [ascii(subject) for subject in subjects if not NAME.fullmatch(subject)],
        name,
        "subjects found whose names cannot be those of folders",
        "use letters a to z, digits and . _ + -, first a letter or digit",
    )
    spellings: dict[str, str] = {}
    refuse(
        [
            f"{first}, {subject}"
            for subject in subjects
            if (first := spellings.setdefault(subject.lower(), subject)) != subject
        ],
        name,
        "pairs of subjects found that differ only by upper and lower case",
        "give them other names: they are one folder on macOS and Windows",
    )


def refuse(subjects: Collection[str], name: str, problem: str, advice: str) -> None:
    """Raise InputError if there are any subjects, with the name of their list, the problem and the first of them."""
    if len(subjects):
        raise InputError(f"{name}: {len(subjects)} {problem} ({first_of(subjects, 5)}); {advice}")
