"""The registry of public data: their sources and checksums, and advice on missing ones."""

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import yaml

from patch2loc.acquire import archives, sources, unpack
from patch2loc.acquire.decrypt import PASSPHRASE_VARIABLE
from patch2loc.errors import InputError

ACCESS = {"open": "open", "form": "after a form", "registration": "after registration"}
MIRROR_VARIABLE = "PATCH2LOC_MIRROR"  # of the environment: a folder to download from instead of the sources
PER_DATASET = 3  # rows of the registry shown for one missing dataset: T1, T2 and one more


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
        with open(path, "rb") as stream:
            digest = hashlib.file_digest(stream, algorithm).hexdigest()
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
    in `downloads`.

    Args:
        datasets: {name: dataset}.
        registry: From `read`.
        data: Folder of all data.
        passphrase: True if that of ATLAS is set.
        fetched: Missing files that a rule fetches.

    Returns:
        Names in the registry to obtain; and a message that says, for each other incomplete dataset, where to ask, what
        to put where, and how it is recognized; empty if there is none.
    """
    names: list[str] = []
    parts = []
    for dataset_name, dataset in datasets.items():
        name = dataset.get("registry")
        absent = _absent(dataset, fetched)
        if not absent or name in names:
            continue
        files = unpack.waiting(downloads(data, name)) if name else []
        locked = not passphrase and any(archives.kind(path) == "encrypted" for path in files)
        # Archives that were unpacked and then removed are not fetched again for a subject that they never had.
        spent = not files and name is not None and summary(data, name).exists()
        if (
            name in unpack.NAMES
            and not locked
            and not spent
            and (files or downloadable(datasets, registry, name))
        ):
            names.append(name)
            continue
        part = _advice({**dataset, "name": dataset_name}, absent, registry, data)
        if locked:
            part += f"\n  open:  it is encrypted: set {PASSPHRASE_VARIABLE} and run again"
        parts.append(part)
    if not parts:
        return names, ""
    return names, "Waiting for what cannot be downloaded without you:\n\n" + "\n\n".join(parts) + "\n"


def summary(data: str | Path, name: str) -> Path:
    """JSON file beside the data of a name in the registry: files unpacked, subjects missing, subjects unknown."""
    return Path(data, f"{name}.unpacked.json")


def missing_data_message(
    datasets: Mapping[str, Mapping[str, Any]],
    registry: pd.DataFrame,
    data: str | Path = "data",
    *,
    fetched: Collection[Path] = (),
) -> str:
    """One message for all datasets that have missing files.

    For each it says how many files are missing, the first of them, where to get the dataset and where to put it; then
    what can be run without.

    Args:
        datasets: {name: dataset}; the key `registry` of a dataset points to its rows of the registry.
        registry: From `read`.
        data: Folder that archives are put below (see `downloads`).
        fetched: Missing files that a rule fetches.

    Returns:
        The message, empty if no file is missing.
    """
    parts, present = [], []
    for name, dataset in datasets.items():
        absent = _absent({**dataset, "name": name}, fetched)
        if absent:
            parts.append(_advice({**dataset, "name": name}, absent, registry, data))
        elif dataset["kind"] != "phantom":
            present.append(name)
    if not parts:
        return ""
    runnable = [
        "snakemake data (downloads and unpacks what it can, and says what it cannot)",
        "make demo (the whole workflow on a simulated cohort; needs no data); in a deployment without Makefile: "
        "cp config/demo.yaml config/config.yaml, then snakemake",
    ]
    if present:
        runnable.append(
            f"datasets that are complete: {', '.join(present)}; name the others in `without` of the configuration"
        )
    return (
        f"Data are missing for {len(parts)} of {len(datasets)} datasets.\n\n"
        + "\n\n".join(parts)
        + "\n\nWithout them you can run:\n"
        + "\n".join(f"  {line}" for line in runnable)
        + "\n"
    )


def _absent(dataset: Mapping[str, Any], fetched: Collection[Path]) -> list[Path]:
    return [path for path in sources.missing(dataset) if path not in fetched]


def _advice(dataset: Mapping[str, Any], absent: list[Path], registry: pd.DataFrame, data: str | Path) -> str:
    """Advice on a dataset with missing files: where to get it, and where to put it."""
    lines = [f"{dataset['name']}: {len(absent)} files missing, the first is {absent[0]}"]
    if dataset["kind"] == "atlas":
        lines.append(
            "  atlas: a folder below `data` with spgr.nii and late.nii expected, or icbm152, which needs no files"
        )
    rows = rows_of(dataset, registry).head(PER_DATASET)
    folder = (
        dataset["data"]
        if dataset["kind"] == "painted"
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
    return "\n".join(lines)
