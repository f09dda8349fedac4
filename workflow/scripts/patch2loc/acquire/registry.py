"""The registry of public data: their sources and checksums, and advice on missing ones."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import yaml

from patch2loc.acquire import archives, sources, unpack
from patch2loc.acquire.decrypt import PASSPHRASE_VARIABLE
from patch2loc.acquire.shortfall import SKIP, shortfall
from patch2loc.errors import InputError, first_of
from patch2loc.files import read_json

ACCESS = {"open": "open", "form": "after a form", "registration": "after registration"}
MIRROR_VARIABLE = "PATCH2LOC_MIRROR"  # of the environment: a folder to download from instead of the sources
PER_DATASET = 3  # rows of the registry, or archives, shown for one missing dataset: T1, T2 and one more


def read(path: str | Path, schema: str | Path | None = None, *, unique: str = "file") -> pd.DataFrame:
    """Read the registry (columns as in registry.schema.yaml), all values as text, empty where unknown.

    Args:
        path: The registry, a CSV.
        schema: JSON schema (YAML) that each row has to follow, if given.
        unique: Column whose values occur once.

    Raises:
        InputError: The registry cannot be read, or a value is wrong; the message names its line.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: the registry cannot be read ({error}); restore it") from error
    if schema is not None:
        validator = jsonschema.Draft202012Validator(yaml.safe_load(Path(schema).read_text(encoding="utf-8")))
        for number, row in enumerate(table.to_dict("records"), start=2):
            for problem in validator.iter_errors(row):
                column = ".".join(str(part) for part in problem.absolute_path)
                raise InputError(f"{path}: line {number}, {column}: {problem.message}; see {schema}")
    repeated = table.loc[table[unique].duplicated(), unique]
    if len(repeated):
        raise InputError(f"{path}: {repeated.iloc[0]} is listed twice; keep one row")
    return table


def with_checksums(registry: pd.DataFrame, checksums: Mapping[str, str]) -> pd.DataFrame:
    """The registry with other checksums, of files of any size.

    Args:
        registry: From `read`.
        checksums: The configuration's `checksums`, {file in the registry: algorithm:hexadecimal}.

    Raises:
        InputError: A file is not one that is downloaded by its name.
    """
    downloaded = list(registry.loc[registry["fetch"] == "file", "file"])
    stated = registry.copy()
    for file, checksum in checksums.items():
        if file not in downloaded:
            raise InputError(
                f"checksums: {file} found, a file of the registry that is downloaded expected: one of "
                f"{', '.join(downloaded)}; correct or remove it"
            )
        stated.loc[stated["file"] == file, ["checksum", "bytes"]] = [checksum, ""]
    return stated


def checksum_of(path: str | Path, algorithm: str) -> str:
    """Checksum of a file, as the registry has it: algorithm:hexadecimal."""
    with open(path, "rb") as stream:
        return f"{algorithm}:{hashlib.file_digest(stream, algorithm).hexdigest()}"


def verify(path: str | Path, row: Mapping[str, str]) -> None:
    """Check the size and checksum of a downloaded file against its row of the registry, where they are known.

    Raises:
        InputError: The file is not there, or differs.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; get {row['file']} from {row['url']}")
    if row["bytes"] and path.stat().st_size != int(row["bytes"]):
        raise InputError(
            f"{path}: {path.stat().st_size} bytes found, {row['bytes']} expected; "
            f"download it again from {row['url']}"
        )
    if row["checksum"]:
        algorithm, expected = row["checksum"].split(":")
        digest = checksum_of(path, algorithm).removeprefix(f"{algorithm}:")
        if digest != expected:
            raise InputError(
                f"{path}: {algorithm} {digest} found, {expected} expected; download it again from {row['url']}"
            )


def rows_of(dataset: Mapping[str, Any], registry: pd.DataFrame) -> pd.DataFrame:
    """Rows of the registry that a dataset (with its key `registry`) comes from.

    If some rows name its modality (IXI-T1.tar), only these.
    """
    rows = registry[registry["dataset"] == dataset.get("registry")]
    specific = rows[rows["file"].str.contains(str(dataset.get("modality")), regex=False)]
    return specific if len(specific) else rows


def log(data: str | Path, name: str) -> str:
    """Log of a job that brings data, by the name of its rule and its wildcards: beside the data, as runs share them."""
    return f"{data}/logs/{name}.log"


def downloads(data: str | Path, name: str) -> Path:
    """Folder that the archives of a name in the registry are downloaded to, or put into by hand."""
    return Path(data, "downloads", name)


def downloadable(
    datasets: Mapping[str, Mapping[str, Any]], registry: pd.DataFrame, name: str
) -> list[dict[str, str]]:
    """Rows of a name in the registry that datasets need and that can be downloaded without a person."""
    rows = [rows_of(dataset, registry) for dataset in datasets.values() if dataset.get("registry") == name]
    needed = pd.concat(rows).drop_duplicates("file")
    return _records(needed[needed["fetch"] != "hand"])


def _records(rows: pd.DataFrame) -> list[dict[str, str]]:
    return [{str(column): value for column, value in row.items()} for row in rows.to_dict("records")]


def obtainable(
    datasets: Mapping[str, Mapping[str, Any]],
    registry: pd.DataFrame,
    data: str | Path,
    passphrase: bool,
    *,
    fetched: Collection[Path] = (),
) -> tuple[list[str], str]:
    """Find out what `snakemake data` can do now.

    A name in the registry is obtained when a file of its datasets is missing and its archives can be downloaded or lie
    in `downloads`, and were not all unpacked before.

    Args:
        datasets: {name: dataset}.
        registry: From `read`.
        data: Folder of all data.
        passphrase: True if that of ATLAS is set.
        fetched: Missing files that a rule fetches.

    Returns:
        Names in the registry to obtain; and a message that says, for each other incomplete dataset, what its archives
        gave, where to ask, what to put where, and how it is recognized; empty if there is none.
    """
    names: list[str] = []
    waiting, given = [], []
    for dataset_name, dataset in datasets.items():
        described = {**dataset, "name": dataset_name}
        name = str(dataset.get("registry") or "")
        lines = shortfall(described, fetched)
        if not lines or name in names:
            continue
        advice = _advice(described, registry, data)
        files = unpack.waiting(downloads(data, name)) if name else []
        unpacked = _unpacked(data, name) if name else None
        if unpacked is not None and _has_nothing_new(files, downloads(data, name), unpacked):
            given.append([*lines, *_given(described, unpacked, summary(data, name)), *advice])
            continue
        locked = not passphrase and any(archives.kind(path) == "encrypted" for path in files)
        if name in unpack.NAMES and not locked and (files or downloadable(datasets, registry, name)):
            names.append(name)
            continue
        if locked:
            advice.append(f"  open:  it is encrypted: set {PASSPHRASE_VARIABLE} and run again")
        waiting.append([*lines, *advice])
    message = ""
    if given:
        message = "Not complete, though everything that came is unpacked:\n\n" + _paragraphs(given)
        message += f"\nTo run with what is there, add --config {SKIP} to the command.\n"
    if waiting:
        message += "\n" if message else ""
        message += "Waiting for what cannot be downloaded without you:\n\n" + _paragraphs(waiting)
    return names, message


def _paragraphs(parts: Iterable[Iterable[str]]) -> str:
    return "".join("\n".join(lines) + "\n\n" for lines in parts).removesuffix("\n")


def _unpacked(data: str | Path, name: str) -> dict[str, Any] | None:
    """The summary of what was unpacked of a name in the registry, with `time`; None before, and if it is damaged."""
    path = summary(data, name)
    try:
        return {"archives": {}, "missing": {}, **read_json(path, dict), "time": path.stat().st_mtime}
    except (OSError, InputError):
        return None


def _has_nothing_new(files: Iterable[Path], folder: Path, unpacked: Mapping[str, Any]) -> bool:
    """True if the files in a folder of downloads were there, as they are, when all of them were unpacked."""
    # A scan by itself that was not needed is not in the summary: it is known by its time alone.
    return all(
        path.stat().st_mtime <= unpacked["time"]
        and (path.relative_to(folder).as_posix() in unpacked["archives"] or unpack.is_scan(path))
        for path in files
    )


def _given(dataset: Mapping[str, Any], unpacked: Mapping[str, Any], path: Path) -> list[str]:
    """Lines on what the archives of a dataset gave, and who of it has gone since."""
    came = unpacked["archives"]
    first = first_of(came, PER_DATASET)
    lines = [f"  came:  {sum(came.values()):,} files of it from {first}, and nothing more is in there"]
    never_there = set(unpacked["missing"].get(dataset["name"], ()))
    gone = [subject for subject in sources.missing_files(dataset) if subject not in never_there]
    if dataset["name"] in unpacked["missing"] and gone:
        lines.append(
            f"  gone:  {len(gone):,} of the missing were there, {gone[0]} is the first; to unpack them again, remove "
            f"{path} and run `snakemake data`"
        )
    return lines


def summary(data: str | Path, name: str) -> Path:
    """JSON file beside the data of a name in the registry: files unpacked, subjects missing, subjects unknown."""
    return Path(data, f"{name}.unpacked.json")


def missing_data_message(
    datasets: Mapping[str, Mapping[str, Any]],
    registry: pd.DataFrame,
    data: str | Path = "data",
    *,
    fetched: Collection[Path] = (),
    obstacle: Callable[[], str] = str,
    skips: bool = False,
) -> str:
    """One message for all datasets that have missing files, and for an atlas.

    For each it says how many subjects are there and who is not, where to get the dataset and where to put it; then
    what can be run without.

    Args:
        datasets: {name: dataset}; the key `registry` of a dataset points to its rows of the registry.
        registry: From `read`.
        data: Folder that archives are put below (see `downloads`).
        fetched: Missing files that a rule fetches.
        obstacle: Says why no run can do with the scans that are there; "" if one can. Asked if files are missing.
        skips: The run was to do with them.

    Returns:
        The message, empty if no file is missing.
    """
    parts: dict[str, str] = {}
    for name, dataset in datasets.items():
        if lines := shortfall({**dataset, "name": name}, fetched):
            parts[name] = "\n".join([*lines, *_advice({**dataset, "name": name}, registry, data)])
    if not parts:
        return ""
    kinds = {name: dataset["kind"] for name, dataset in datasets.items()}
    scans = [name for name in parts if kinds[name] != "atlas"]
    complete = [name for name in datasets if name not in parts and kinds[name] not in ("atlas", "phantom")]
    missing = (
        [f"of {len(scans)} of {sum(kind != 'atlas' for kind in kinds.values())} datasets"] if scans else []
    )
    missing += ["the atlas"] if len(parts) > len(scans) else []
    runnable = [
        "snakemake data (downloads and unpacks what it can, and says what it cannot)",
        "make demo (the whole workflow on a simulated cohort; needs no data); in a deployment without Makefile: "
        "cp config/demo.yaml config/config.yaml, then snakemake",
    ]
    hindrance = obstacle() if scans else ""
    if scans and not skips and not hindrance:
        needs_atlas = ", once the atlas is there" if len(parts) > len(scans) else ""
        runnable.append(
            f"what is there{needs_atlas}: add --config {SKIP} to the command; tables will say how many of how many"
        )
    elif scans and not skips:
        runnable.append(f"what is there (--config {SKIP}) not yet: {hindrance}")
    return (
        (f"{SKIP.replace('=', ': ')} found, but {hindrance}.\n\n" if skips and hindrance else "")
        + f"Data are missing: {' and '.join(missing)}.\n\n"
        + "\n\n".join(parts.values())
        + (f"\n\nComplete: {', '.join(complete)}." if complete else "")
        + "\n\nWithout them you can run:\n"
        + "\n".join(f"  {line}" for line in runnable)
        + "\n"
    )


def _advice(dataset: Mapping[str, Any], registry: pd.DataFrame, data: str | Path) -> list[str]:
    """Lines on where to get a dataset with missing files, and where to put it."""
    lines = []
    if dataset["kind"] == "atlas":
        lines.append(
            "  atlas: a folder below `data` with spgr.nii and late.nii expected, or icbm152, which needs no files"
        )
    rows = rows_of(dataset, registry).head(PER_DATASET)
    folder = (
        dataset["data"]
        if dataset["kind"] in sources.CHANGED
        else dataset.get("root") or Path(dataset["table"]).parent
    )
    for row in _records(rows):
        by_hand = row["fetch"] == "hand" or row["access"] != "open"
        lines += [
            f"  what:  {row['title']} ({row['license']})",
            f"  get:   {row['url']} ({ACCESS[row['access']]}{'' if by_hand else '; `snakemake data` downloads it'})",
        ]
        if by_hand and row["dataset"] in unpack.NAMES:
            lines += [
                f"  put:   what you got, under any name, into {downloads(data, row['dataset'])}/, "
                "then `snakemake data`",
                f"  known: by what is in it: {unpack.unpacker(row['dataset']).EXPECTED}",
                f"  or:    unpack it yourself under {folder}/: {row['layout']}",
            ]
        else:
            lines.append(f"  put:   under {folder}/: {row['layout']}")
    if rows.empty:
        lines.append("  get:   your own data; put them where the configuration says, or change it")
    return lines
