"""From archives to the folders that config/config.yaml reads: one module for each dataset.

A module has the name of its dataset in config/registry.csv, and (see `Unpacker`):

    EXPECTED           content of its archives, one line for messages
    place(path)        path of a member below the dataset's folder; None for a member that is not needed
    subject(path)      subject of a file so placed; None for a file of no subject

Members are recognized by their names, wherever in the archive they lie: releases and mirrors differ in the folders
around them. An archive is such a folder, too, named as it is without its suffix. Voxels are not touched.
"""

import filecmp
import importlib
import os
import pkgutil
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, cast

from patch2loc.acquire import archives, sources
from patch2loc.errors import InputError

NAMES = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))
MANIFEST = "downloaded.json"  # written beside the downloads
OTHER_RELEASE = ".other-release"  # suffix of a download that is kept aside
NAMED = 3  # files that a message describes


class Unpacker(Protocol):
    """A module that knows the archives of a dataset."""

    EXPECTED: str

    def place(self, path: PurePosixPath) -> PurePosixPath | None:
        """Path of a member below the dataset's folder; None for a member that is not needed."""

    def subject(self, path: PurePosixPath) -> str | None:
        """Subject of a file so placed; None for a file of no subject."""


def unpacker(name: str) -> Unpacker:
    """The module of a dataset.

    Raises:
        InputError: There is none.
    """
    if name not in NAMES:
        raise InputError(f"{name}: no unpacker; one of {', '.join(NAMES)} expected")
    return cast(Unpacker, importlib.import_module(f"{__name__}.{name}"))


def is_needed(name: str, path: PurePosixPath) -> bool:
    """True if a file of a dataset has to be downloaded: one that is placed, or an archive."""
    return unpacker(name).place(path) is not None or path.name.endswith(archives.SUFFIXES)


def waiting(folder: str | Path) -> list[Path]:
    """Files that were put or downloaded into a folder, sorted.

    Not those that are hidden, unfinished or kept aside, nor the manifest.
    """
    folder = Path(folder)
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not path.name.endswith((".part", ".part.validator", OTHER_RELEASE))
        and path.name != MANIFEST
    )


def is_scan(path: Path) -> bool:
    """True if a file is a scan by itself, not an archive."""
    return path.name.endswith((".nii", ".nii.gz"))


def is_archive(path: Path) -> bool:
    """True if a file is an archive, or should be one by its name; not a scan, a read-me or a list of checksums."""
    return not is_scan(path) and (archives.kind(path) != "other" or path.name.endswith(archives.SUFFIXES))


def put_by_hand(folder: str | Path, downloaded: Collection[str]) -> list[Path]:
    """Archives in a folder but those with the names that downloads have."""
    return [
        path
        for path in waiting(folder)
        if path.relative_to(folder).as_posix() not in downloaded and is_archive(path)
    ]


def unpack(
    name: str, downloads: str | Path, target: str | Path, passphrase: str | None = None
) -> dict[str, Any]:
    """Unpack archives and single scans.

    Everything goes to a folder beside `target` first: after an error nothing of it is left, and `target` is as it was.
    Files that are in `target` with the same content stay as they are.

    Args:
        name: Of the dataset in the registry.
        downloads: Folder with the archives and scans.
        target: Folder of the dataset.
        passphrase: Of an encrypted archive.

    Returns:
        {"archives": {name: number of files}, "files": paths below `target`, "subjects": [...]}; an archive with 0 files
        was not needed: it has none of the dataset, or the same as the others.

    Raises:
        InputError: As for `archives.extract`, and if nothing of the dataset is found.
    """
    module, downloads, target = unpacker(name), Path(downloads), Path(target)
    files = waiting(downloads)
    if not files:
        raise InputError(f"{downloads}: no file found; put the archive there: {module.EXPECTED}")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".partial-{target.name}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        counts, placed, findings = {}, [], []
        for path in files:
            relative = PurePosixPath(path.relative_to(downloads).as_posix())
            contents = _unpack_file(path, relative, partial, module=module, passphrase=passphrase)
            outputs = contents.outputs
            placed += [PurePosixPath(output.relative_to(partial).as_posix()) for output in outputs]
            if outputs or not is_scan(path):
                counts[str(relative)] = len(outputs)
            findings.append(f"{relative}{_finding(contents)}")
        if not placed:
            raise InputError(
                f"{downloads}: nothing of {name} found in {len(files)} files ({'; '.join(findings[:NAMED])}); "
                f"expected: {module.EXPECTED}"
            )
        _move(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    subjects = {module.subject(path) for path in placed}
    return {
        "archives": counts,
        "files": [str(path) for path in placed],
        "subjects": sorted(subject for subject in subjects if subject is not None),
    }


def _unpack_file(
    path: Path, relative: PurePosixPath, partial: Path, *, module: Unpacker, passphrase: str | None
) -> archives.Contents:
    """Unpack an archive, or link a single scan, to below `partial`."""
    if is_archive(path):
        return archives.extract(path, partial, module.place, passphrase)
    place = module.place(relative) if is_scan(path) else None
    if place is None:
        return archives.Contents()
    target = partial / place
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, target)  # the same file under a second name takes no space and no time
    except FileExistsError as error:
        if filecmp.cmp(path, target, shallow=False):
            return archives.Contents()
        raise InputError(
            f"{path}: a second file for {place}, which differs, one expected; keep one of them"
        ) from error
    except OSError:  # another file system, or one without links
        shutil.copyfile(path, target)
    return archives.Contents([target])


def _finding(contents: archives.Contents) -> str:
    """What an archive holds of which nothing was needed."""
    if not contents.files:
        return ""
    parts = [f"{contents.files} files, the first {', '.join(map(str, contents.named))}"]
    if contents.opened:
        parts.append(f"looked into {', '.join(map(str, contents.opened[:NAMED]))}")
    if contents.unopened:
        names = ", ".join(map(str, contents.unopened[:NAMED]))
        parts.append(
            f"not into {names}: encrypted or two archives deep, take it out and put it into the folder"
        )
    return f": {'; '.join(parts)}"


def _move(partial: Path, target: Path) -> None:
    """Rename a folder, or its files one by one if an older folder is there."""
    if not target.exists():
        os.replace(partial, target)
        return
    for path in sorted(path for path in partial.rglob("*") if path.is_file()):
        final = target / path.relative_to(partial)
        # An unchanged scan keeps its time: what was computed from it stays valid.
        if not (final.is_file() and filecmp.cmp(path, final, shallow=False)):
            final.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, final)


def compare(
    name: str, files: Sequence[str], target: str | Path, datasets: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, list[str]]]:
    """Compare unpacked files with the lists of the datasets (as in acquire.sources) that read them.

    Args:
        name: Of the dataset in the registry.
        files: Paths below `target`, from `unpack`.
        target: Folder that they were unpacked to.
        datasets: Sources of the datasets.

    Returns:
        {"missing": {dataset: subjects, or files of an atlas, that are not complete}, "unknown": {dataset: subjects with
        files in its folder that are not on its list}}.
    """
    subject = unpacker(name).subject
    missing: dict[str, list[str]] = {}
    unknown: dict[str, list[str]] = {}
    for dataset in datasets:
        if dataset["kind"] == "atlas":
            missing[dataset["name"]] = [path.name for path in sources.missing(dataset)]
            unknown[dataset["name"]] = []
            continue
        paths_by_subject = sources.sources(dataset)
        missing[dataset["name"]] = [
            listed
            for listed, paths in paths_by_subject.items()
            if not all(path.is_file() for path in sources.files_of(paths))
        ]
        subjects = {
            subject(PurePosixPath(file))
            for file in files
            if Path(target, file).is_relative_to(dataset.get("root") or target)
        }
        unknown[dataset["name"]] = sorted(filter(None, subjects - set(paths_by_subject)))
    return {"missing": missing, "unknown": unknown}
