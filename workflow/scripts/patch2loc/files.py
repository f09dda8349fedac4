"""Results appear whole or not at all: every file is written beside its place and then renamed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # thousands of short jobs need the rest of this module, and not pandas
    import pandas as pd

TEXT = ("dataset", "subject", "method", "left_out", "flags", "outlier")  # columns that hold no numbers

PARTIAL = ".partial-"  # how temporary names begin
# Errors of the place that files go to, and what a person can do there.
REMEDIES = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there, or get a larger quota",
    errno.EROFS: "make the file system writable",
    errno.EACCES: "get the right to use it",
    errno.EPERM: "get the right to use it",
    errno.ENOTDIR: "move away the file that is in the place of a folder",
    errno.EEXIST: "move away the file that is in the place of a folder",
}


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, with the same suffixes, that replaces `path` on success.

    After an exception nothing is left behind and an older `path` is untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    try:
        yield partial
        with open(partial, "rb") as written:
            os.fsync(written.fileno())
        os.replace(partial, path)
    except OSError as error:
        _name(error, partial, path)
        raise
    finally:
        with suppress(OSError):
            partial.unlink()


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Give an empty temporary folder beside `path` that replaces `path`, and all in it, on success.

    After an exception nothing is left behind and an older `path` is untouched.
    """
    path = Path(path)
    partial = _partial(path)
    shutil.rmtree(partial, ignore_errors=True)  # of a killed process that had this number
    try:
        partial.mkdir(parents=True)
        yield partial
        shutil.rmtree(path, ignore_errors=True)
        os.replace(partial, path)
    except OSError as error:
        _name(error, partial, path)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _partial(path: Path) -> Path:
    return path.with_name(f"{PARTIAL}{os.getpid()}-{path.name}")


def _name(error: OSError, partial: Path, path: Path) -> None:
    """Let an error name the result instead of nothing, or of the temporary name."""
    if error.errno is not None:  # else it was not the system's, and has its own words
        error.filename = str(error.filename or partial).replace(str(partial), str(path))


def remove_partial(folder: str | Path) -> None:
    """Remove what processes that were killed had begun to write under `folder`. Nobody may be at work there."""
    for path in list(Path(folder).rglob(f"{PARTIAL}*")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def storage_message(error: OSError, path: str | Path) -> str | None:
    """What to tell a person of an error of the place that files go to, or None for any other error.

    path: named where the error names none.
    """
    remedy = REMEDIES.get(error.errno)
    return remedy and f"{error.filename or path}: {error.strerror}; {remedy}, and run the same command again"


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as indented JSON, keys in the given order, whole or not at all."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_csv(path: str | Path, table: pd.DataFrame) -> None:
    """Write `table` as CSV without its index, numbers in shortest exact form."""
    with replacing(path) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")


def read_csv(path: str | Path) -> pd.DataFrame:
    """Read a table of `write_csv`; columns of TEXT stay text: 001, 1e5 and NA may be names of subjects."""
    import pandas as pd

    table = pd.read_csv(path, dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values=[""])
    text = [name for name in TEXT if name in table]
    return table.fillna(dict.fromkeys(text, ""))


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
