"""The folder of a result about one scan: what it depends on, what is kept, and what is made again."""

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from patch2loc.acquire.scan_inputs import CONVERTED
from patch2loc.data.image_files import check_file, image_sha256
from patch2loc.errors import InputError
from patch2loc.files import LOCK, MAKE_AGAIN, PARTIAL, file_hashes, read_json, sha256, write_json
from patch2loc.output_folder import FolderInUseError, claimed, filling
from patch2loc.process import for_terminal
from patch2loc.provenance.code import code_hash
from patch2loc.provenance.record import environment
from patch2loc.provenance.trace import HASHES, SUMMARY, content_hash

STAGES = ("preprocess", "score", "carry back", "write")  # of making a result


class _Existing(NamedTuple):
    """A result in a folder.

    Attributes:
        summary: Content of summary.json.
        damaged: Names of its files that are missing or not as they were written.
    """

    summary: dict[str, Any]
    damaged: list[str]


def to_stderr(notice: str) -> None:
    """Tell a person of something, beside the output."""
    print(for_terminal(notice), file=sys.stderr)


def provenance_of(
    files: Mapping[str, Path | None], settings: Mapping[str, Any], modules: tuple[str, ...]
) -> dict[str, Any]:
    """All that a result depends on: hashes of files, settings, code and versions.

    Args:
        files: By what they are: scan, mask, model; None for those that are not given.
        settings: What was asked for.
        modules: Names of the modules that make the result.

    Raises:
        InputError: A file is missing or cannot be read.
    """
    for name, path in files.items():
        if path:
            check_file(path, f"the {name}")
    return {
        **{name: image_sha256(path) if path else None for name, path in files.items()},
        "settings": dict(settings),
        "code": code_hash(*modules),
        "environment": environment(),
    }


def kept_or_made(
    folder: Path,
    provenance: dict[str, Any],
    make: Callable[[Path], dict[str, Any]],
    *,
    files: Mapping[str, Path | None] | None = None,
    notify: Callable[[str], object] = to_stderr,
) -> dict[str, Any]:
    """Return the summary of a folder's result, which is made unless the same one is there.

    After an exception nothing is left behind, and what was in the folder is as it was.

    Args:
        folder: Of the result; no other process may use it meanwhile.
        provenance: What the result depends on, from `provenance_of`.
        make: Writes all files but the summary to an empty folder, and returns the summary.
        files: Files that `make` reads, by what they are ("scan", "mask", "model").
        notify: Called with a sentence on a damaged result that is made again.

    Returns:
        The content of summary.json: what `make` returned, the provenance, and the hashes of all files.

    Raises:
        InputError: The folder holds anything else or is in use, or a file was changed meanwhile; or from `make`.
        OSError: The folder cannot be written.
    """
    existing = _existing_result(folder, provenance)
    if existing and not existing.damaged:
        return existing.summary  # also where nothing may be written
    try:
        with claimed(folder):
            existing = _existing_result(folder, provenance)  # another process may have made it until now
            if existing and not existing.damaged:
                return existing.summary
            if existing:
                notify(
                    f"{folder}: {', '.join(existing.damaged)} damaged or missing; the result is made again"
                )
            replaced = [SUMMARY, *existing.summary[HASHES]] if existing else []
            with filling(folder, first=SUMMARY, replaced=replaced) as partial:
                summary = make(partial) | {"provenance": provenance}
                _check_unchanged(files or {}, provenance)
                summary[HASHES] = file_hashes(partial) | {SUMMARY: content_hash(summary)}
                write_json(partial / SUMMARY, summary)
                return summary
    except FolderInUseError as error:
        raise InputError(str(error)) from None


def _check_unchanged(files: Mapping[str, Path | None], provenance: Mapping[str, Any]) -> None:
    """Check that files are those that the provenance names: they are read more than once."""
    for name, path in files.items():
        if path and image_sha256(path) != provenance[name]:
            raise InputError(
                f"{path}: the {name} was replaced or written to while it was read, one content until the end expected; "
                "start the command again when it is complete"
            )


def _existing_result(folder: Path, provenance: dict[str, Any]) -> _Existing | None:
    """The same result, if a folder holds it already; None if there is no folder or nothing in it.

    Raises:
        InputError: The folder holds anything else, or a damaged result and anything else.
    """
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    if all(_is_beside(name) for name in names):
        return None
    try:
        summary: dict[str, Any] = read_json(
            folder / SUMMARY, {"provenance": dict.fromkeys(provenance, object), HASHES: dict}
        )
    except (OSError, InputError):
        found = f"{SUMMARY} is damaged" if SUMMARY in names else "it is not empty"
        raise InputError(f"{folder}: {found} and no result of this command; give another --output") from None
    differing = [name for name, value in provenance.items() if summary["provenance"][name] != value]
    hashes: dict[str, str] = summary[HASHES]
    if differing:
        raise InputError(
            f"{folder}: a result that differs in {', '.join(differing)} is there; give another --output, or remove it"
        )
    damaged = _damaged(folder, hashes, [name for name in hashes if name != SUMMARY])
    if hashes.get(SUMMARY) != content_hash(summary):
        damaged.append(SUMMARY)
    expected = {SUMMARY, *hashes, *(str(Path(name).parent) for name in hashes)}
    others = _names_below(folder) - expected if damaged else set()
    if others:
        raise InputError(
            f"{folder}: a result whose {', '.join(damaged)} is damaged or missing found, and beside it {min(others)}, "
            "which is not of this command; move that away, or give another --output"
        )
    return _Existing(summary, damaged)


def check_files(folder: Path, hashes: Mapping[str, str], names: Iterable[str]) -> None:
    """Check that files of a result are as they were written.

    Args:
        folder: Folder of the result.
        hashes: SHA-256 of each file, by its name, from the summary.
        names: Names of the files to check.

    Raises:
        InputError: One is not.
    """
    damaged = _damaged(folder, hashes, names)
    if damaged:
        raise InputError(f"{folder}: {', '.join(damaged)} damaged or missing; {MAKE_AGAIN}")


def _damaged(folder: Path, hashes: Mapping[str, str], names: Iterable[str]) -> list[str]:
    """Names of the files that are missing or not as they were written."""
    return [name for name in names if _hash(folder / name) != hashes.get(name, "")]


def _is_beside(name: str) -> bool:
    """True for what may lie beside a result: what a process at work makes, and the scan that a DICOM series became."""
    return name in (LOCK, CONVERTED) or PARTIAL.match(name) is not None


def _names_below(folder: Path) -> set[str]:
    """Relative paths of what is in a folder and those below it, but for what may lie beside a result."""
    paths = [path.relative_to(folder) for path in folder.rglob("*")]
    return {path.as_posix() for path in paths if not _is_beside(path.parts[0])}


def _hash(path: Path) -> str | None:
    """SHA-256 of a file; None if there is none, or it cannot be read."""
    try:
        return sha256(path)
    except OSError:
        return None
