"""From archives to the folders that config/config.yaml reads: one module for each dataset.

A module has the name of its dataset in config/registry.csv, and:

    EXPECTED           what its archives hold, one line for messages
    place(path)        where a member goes, below the dataset's folder; None where it is not needed
    subject(path)      subject of a file so placed; None for files of no subject

Members are known by their names, wherever in the archive they lie: releases and mirrors differ in what is around.
Voxels are not touched.
"""

import filecmp
import importlib
import os
import pkgutil
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from patch2loc.acquire import archives, sources
from patch2loc.errors import InputError

NAMES = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))
MANIFEST = "downloaded.json"  # written beside what is downloaded
ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip")


def unpacker(name: str) -> ModuleType:
    """The module of a dataset. Raises InputError when there is none."""
    if name not in NAMES:
        raise InputError(f"{name}: no unpacker; one of {', '.join(NAMES)} expected")
    return importlib.import_module(f"{__name__}.{name}")


def wanted(name: str, path: PurePosixPath) -> bool:
    """Whether a file of a dataset has to be downloaded: one that is placed, or an archive."""
    return unpacker(name).place(path) is not None or path.name.endswith(ARCHIVE_SUFFIXES)


def waiting(folder: str | Path) -> list[Path]:
    """Files that were put or downloaded into a folder, without unfinished, hidden and own ones, sorted."""
    folder = Path(folder)
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not path.name.endswith((".part", ".part.validator"))
        and path.name != MANIFEST
    )


def is_scan(path: Path) -> bool:
    """Whether a file is a scan by itself, not an archive."""
    return path.name.endswith((".nii", ".nii.gz"))


def unpack(
    name: str, downloads: str | Path, target: str | Path, passphrase: str | None = None
) -> dict[str, Any]:
    """Unpack what lies in `downloads`, archives and single scans, to `target`.

    All goes to a folder beside `target` first: after an error nothing of it is left, and `target` is as it was.
    Files that are in `target` with the same content stay as they are. Returns {"archives": {name: files},
    "subjects": [...]}, an archive with 0 files being one that was not needed.
    Raises InputError as archives.extract does, and when nothing of the dataset is found.
    """
    module, downloads, target = unpacker(name), Path(downloads), Path(target)
    given = waiting(downloads)
    if not given:
        raise InputError(f"{downloads}: no file found; put the archive there: {module.EXPECTED}")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".partial-{target.name}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        counts, placed = {}, []
        for path in given:
            relative = PurePosixPath(path.relative_to(downloads).as_posix())
            found = _take(path, relative, partial, module, passphrase)
            placed += [PurePosixPath(file.relative_to(partial).as_posix()) for file in found]
            if found or not is_scan(path):
                counts[str(relative)] = len(found)
        if not placed:
            raise InputError(
                f"{downloads}: {len(given)} files, the first {given[0].name}, but nothing of {name} in them; "
                f"expected: {module.EXPECTED}"
            )
        _move(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return {"archives": counts, "subjects": sorted({module.subject(path) for path in placed} - {None})}


def _take(path: Path, relative: PurePosixPath, partial: Path, module: ModuleType, passphrase) -> list[Path]:
    if not is_scan(path):
        if archives.kind(path) == "other" and not path.name.endswith(ARCHIVE_SUFFIXES):
            return []  # a read-me, a list of checksums
        return archives.extract(path, partial, module.place, passphrase)
    place = module.place(relative)
    if place is None:
        return []
    target = partial / place
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, target)  # the same file under a second name: no space, no time
    except FileExistsError as error:
        raise InputError(f"{path}: a second file for {place}, one expected; keep one of them") from error
    except OSError:  # another file system, or one without links
        shutil.copyfile(path, target)
    return [target]


def _move(partial: Path, target: Path) -> None:
    """Rename a folder; file by file where an older one is there."""
    if not target.exists():
        os.replace(partial, target)
        return
    for path in sorted(path for path in partial.rglob("*") if path.is_file()):
        final = target / path.relative_to(partial)
        # An unchanged scan keeps its time: what was computed from it stays valid.
        if not (final.is_file() and filecmp.cmp(path, final, shallow=False)):
            final.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, final)


def compare(subjects: Sequence[str], datasets: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Hold unpacked subjects against the lists of the datasets (as in acquire.sources) that read them.

    Returns {"missing": {dataset: subjects, or files of an atlas, that are not complete}, "unknown": subjects on no
    list}. A dataset without subject list makes nobody unknown.
    """
    missing, listed = {}, set()
    for dataset in datasets:
        if dataset["kind"] == "atlas":
            missing[dataset["name"]] = [path.name for path in sources.missing(dataset)]
            continue
        found = sources.sources(dataset)
        listed |= set(found)
        missing[dataset["name"]] = [
            subject
            for subject, paths in found.items()
            if not all(path.is_file() for path in paths.values() if path)
        ]
    return {"missing": missing, "unknown": sorted(set(subjects) - listed) if listed else []}
