"""Files that appear whole or not at all: each is written under a temporary name beside its place, then renamed.

Folders are of two kinds. One that belongs to a run of the workflow is replaced with all that is in it
(`replacing_folder`). In one that a person named nothing is deleted but what the same command wrote (`output_folder`).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patch2loc.errors import InputError

if TYPE_CHECKING:  # imported late: thousands of short jobs use this module without reading a table
    import pandas as pd

TEXT_COLUMNS = ("dataset", "subject", "method", "left_out", "flags", "outlier")  # never read as numbers
# Temporary names, with the number of their process, which others in containers have, too, and a random part.
PARTIAL = re.compile(r"\.partial-(\d{1,10})-[0-9a-f]{8}-.", re.DOTALL)
LOCK = ".patch2loc.lock"  # in a folder that is claimed: locked as long as its process works, and names it
# In the results of a run by workflow/run.py: locked as long as it works; the process group of its jobs meanwhile.
RUN_LOCK, RUN_GROUP = ".run.lock", ".run.json"
MAKE_AGAIN = "make it again, by the command that made it"
NUMBER, NUMBER_OR_NULL = (int, float), (int, float, type(None))  # of JSON, as forms of `misfit`
KINDS = {  # of values of JSON, in words
    dict: "a dictionary",
    list: "a list",
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}
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
    partial = partial_path(path)
    try:
        yield partial
        with open(partial, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except OSError as error:
        name_result(error, partial, path)
        raise
    finally:
        with suppress(OSError):
            partial.unlink()


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; on success it replaces `path` and all that was in it.

    For folders that belong to a run of the workflow. One that a person named may hold anything: see `output_folder`.
    After an exception nothing is left behind, and an older `path` is untouched.
    """
    path = Path(path)
    partial = partial_path(path)
    try:
        partial.mkdir(parents=True)
        yield partial
        shutil.rmtree(path, ignore_errors=True)
        os.replace(partial, path)
    except OSError as error:
        name_result(error, partial, path)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def file_hashes(folder: str | Path) -> dict[str, str]:
    """SHA-256 of every file in a folder and those below it, by its path relative to the folder."""
    return {name: sha256(Path(folder, name)) for name in file_names(Path(folder))}


def file_names(folder: Path) -> list[str]:
    """Paths of the files in a folder and those below it, relative to the folder, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def partial_path(path: Path) -> Path:
    """A new temporary path of this process beside a path."""
    return path.with_name(f".partial-{os.getpid()}-{os.urandom(4).hex()}-{path.name}")


def name_result(error: OSError, partial: Path, path: Path) -> None:
    """Let an error name the result, not its temporary path or nothing."""
    if error.errno is not None:  # otherwise it is not an error of the system, and has a message of its own
        error.filename = str(error.filename or partial).replace(str(partial), str(path))


def remove_partial(folder: str | Path, is_at_work: Callable[[int, Path], bool]) -> None:
    """Remove temporary files of killed processes below the folder of a run.

    Only names that a process gives (PARTIAL) are removed, and none in a folder of another run or that is claimed.

    Args:
        folder: Results of a run.
        is_at_work: True for the number of a process that still writes to a path.
    """
    for parent, folders, names in os.walk(folder):
        if Path(parent) != Path(folder) and not {RUN_LOCK, LOCK}.isdisjoint(names):
            folders.clear()
            continue
        for name in [*folders, *names]:
            match = PARTIAL.match(name)
            if match and not is_at_work(int(match[1]), Path(parent, name)):
                remove(Path(parent, name))
        folders[:] = [name for name in folders if not PARTIAL.match(name)]


def remove(path: Path) -> None:
    """Remove a file, or a folder with what is in it, as far as possible."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


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


def read_json(path: str | Path, form: Any = object) -> Any:
    """Read a JSON file.

    Args:
        path: The JSON file.
        form: What the file has to hold, see `misfit`; anything by default.

    Raises:
        InputError: The file is damaged, or holds something else.
        OSError: It cannot be read.
    """
    return json_content(Path(path).read_bytes(), path, form)


def json_content(text: str | bytes, path: str | Path, form: Any = object) -> Any:
    """Content of a text of JSON; path: of its file, for messages. Arguments and errors as `read_json`."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: damaged JSON found ({error}), a whole file expected; {MAKE_AGAIN}"
        ) from None
    problem = misfit(content, form)
    if problem:
        raise InputError(f"{path}: {problem}; {MAKE_AGAIN}")
    return content


def misfit(content: Any, form: Any, name: str = "the content") -> str | None:
    """Describe how a value of JSON differs from a form; None if it fits.

    Args:
        content: The value.
        form: A type, or several of which it has to be one; a list of one form, which each item has to fit; or
            {key: form} of the keys that have to be there.
        name: What the message calls the value.
    """
    expected = dict if isinstance(form, Mapping) else list if isinstance(form, list) else form
    if not isinstance(content, expected):
        kinds = expected if isinstance(expected, tuple) else (expected,)
        words = " or ".join(dict.fromkeys(KINDS[kind] for kind in kinds))
        return f"{name} is {KINDS[type(content)]}, {words} expected"
    if isinstance(form, Mapping):
        absent = [key for key in form if key not in content]
        if absent:
            return f"{name} has no key {absent[0]!r}, one expected"
        parts = [(content[key], form[key], f"the value of {key!r}") for key in form]
    elif isinstance(form, list):
        parts = [(item, form[0], f"an item of {name}") for item in content]
    else:
        return None
    return next((problem for part in parts if (problem := misfit(*part))), None)


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
    """Hexadecimal SHA-256 of a file's bytes.

    Raises:
        OSError: It cannot be read; the error names it.
    """
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        error.filename = error.filename or str(path)  # a read, other than an open, names none
        raise


def without_home(text: str) -> str:
    """A text with the home folder of whoever runs this as ~, which tells nobody's name and still leads there."""
    home = os.path.expanduser("~")
    return re.sub(rf"(?<![\w.-]){re.escape(home)}(?![\w.-])", "~", text) if len(home) > 1 else text


def readable(path: str | Path) -> str:
    """A path for people and for files of text: bytes of its name that are not UTF-8 are written as \\xe9."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
