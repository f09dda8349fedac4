"""Files that appear whole or not at all: each is written under a temporary name beside its place, then renamed."""

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

if TYPE_CHECKING:  # imported late: thousands of short jobs use this module without reading a table
    import pandas as pd

TEXT_COLUMNS = ("dataset", "subject", "method", "left_out", "flags", "outlier")  # never read as numbers
PARTIAL_PREFIX = ".partial-"  # of temporary names
# Errors of the place that files go to, and the remedy for each.
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
    """Yield a temporary path beside `path`, with the same suffixes; on success it replaces `path`.

    After an exception nothing is left behind, and an older `path` is untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    try:
        yield partial
        with open(partial, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except OSError as error:
        _name_result(error, partial, path)
        raise
    finally:
        with suppress(OSError):
            partial.unlink()


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; on success it replaces `path` and all that was in it.

    After an exception nothing is left behind, and an older `path` is untouched.
    """
    path = Path(path)
    partial = _partial(path)
    shutil.rmtree(partial, ignore_errors=True)  # left by a killed process of the same id
    try:
        partial.mkdir(parents=True)
        yield partial
        shutil.rmtree(path, ignore_errors=True)
        os.replace(partial, path)
    except OSError as error:
        _name_result(error, partial, path)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _partial(path: Path) -> Path:
    return path.with_name(f"{PARTIAL_PREFIX}{os.getpid()}-{path.name}")


def _name_result(error: OSError, partial: Path, path: Path) -> None:
    """Let an error name the result, not its temporary path or nothing."""
    if error.errno is not None:  # otherwise it is not an error of the system, and has a message of its own
        error.filename = str(error.filename or partial).replace(str(partial), str(path))


def remove_partial(folder: str | Path) -> None:
    """Remove temporary files of killed processes. No process may be writing to `folder`."""
    for path in list(Path(folder).rglob(f"{PARTIAL_PREFIX}*")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def storage_message(error: OSError, path: str | Path) -> str | None:
    """Describe an error of storage, such as a full disk, and its remedy.

    Args:
        error: Any error of the system.
        path: Named in the message if the error names no file.

    Returns:
        The message, or None if the error is not one of storage.
    """
    remedy = REMEDIES.get(error.errno) if error.errno is not None else None
    return remedy and f"{error.filename or path}: {error.strerror}; {remedy}, and run the same command again"


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as indented JSON, keys in their order, whole or not at all."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_csv(path: str | Path, table: pd.DataFrame) -> None:
    """Write `table` as CSV, without its index and with numbers in their shortest exact form, whole or not at all."""
    with replacing(path) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")


def read_csv(path: str | Path) -> pd.DataFrame:
    """Read a table of `write_csv`. TEXT_COLUMNS stay text, since 001, 1e5 and NA may be names of subjects."""
    import pandas as pd

    table = pd.read_csv(path, dtype=dict.fromkeys(TEXT_COLUMNS, str), keep_default_na=False, na_values=[""])
    return table.fillna({name: "" for name in TEXT_COLUMNS if name in table})


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
