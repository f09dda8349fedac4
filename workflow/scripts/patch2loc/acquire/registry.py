"""The registry of public data: where they come from, whether they arrived whole, what to put where."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import yaml

from patch2loc.acquire import sources
from patch2loc.errors import InputError

PER_DATASET = 3  # rows of the registry shown for one missing dataset: T1, T2 and one more


def read(path: str | Path, schema: str | Path | None = None) -> pd.DataFrame:
    """Read the registry (columns as in registry.schema.yaml), all values as text, empty where unknown.

    With `schema`, each row is held against it. Raises InputError naming the row and the value.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: the registry cannot be read ({error}); restore it") from error
    if schema is not None:
        validator = jsonschema.Draft202012Validator(yaml.safe_load(Path(schema).read_text(encoding="utf-8")))
        for number, row in enumerate(table.to_dict("records"), start=2):
            for error in validator.iter_errors(row):
                column = ".".join(str(part) for part in error.absolute_path)
                raise InputError(f"{path}: line {number}, {column}: {error.message}; see {schema}")
    repeated = table.loc[table["file"].duplicated(), "file"]
    if len(repeated):
        raise InputError(f"{path}: {repeated.iloc[0]} is listed twice; keep one row")
    return table


def verify(path: str | Path, row: Mapping[str, str]) -> None:
    """Hold a downloaded file against its row of the registry: size and checksum, where they are known.

    Raises InputError with what was found and what was expected.
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
            found = hashlib.file_digest(stream, algorithm).hexdigest()
        if found != expected:
            raise InputError(
                f"{path}: {algorithm} {found} found, {expected} expected; download it again from {row['url']}"
            )


def missing_data_message(datasets: Mapping[str, Mapping[str, Any]], registry: pd.DataFrame) -> str:
    """One message for all datasets ({name: dataset}) that have missing files; empty if there are none.

    For each it says how many files are missing, the first of them, where to get the dataset and where to put
    it; then what can be run without. A dataset points to its rows of the registry by its key `registry`.
    """
    parts, present = [], []
    named = {name: {**dataset, "name": name} for name, dataset in datasets.items()}
    for name, dataset in named.items():
        absent = sources.missing(dataset)
        if absent:
            parts.append(_about(dataset, absent, registry))
        elif dataset["kind"] != "phantom":
            present.append(name)
    if not parts:
        return ""
    runnable = ["make demo (the whole workflow on a simulated cohort; needs no data)"]
    if present:
        runnable.append(
            f"datasets that are complete: {', '.join(present)}; keep these alone in the configuration"
        )
    return (
        f"Data are missing for {len(parts)} of {len(datasets)} datasets.\n\n"
        + "\n\n".join(parts)
        + "\n\nWithout them you can run:\n"
        + "\n".join(f"  {line}" for line in runnable)
        + "\n"
    )


def _about(dataset: Mapping[str, Any], absent: list[Path], registry: pd.DataFrame) -> str:
    lines = [f"{dataset['name']}: {len(absent)} files missing, the first is {absent[0]}"]
    rows = registry[registry["dataset"] == dataset.get("registry")]
    # The rows that name the modality (IXI-T1.tar) are the ones wanted, where a dataset has such rows.
    specific = rows[rows["file"].str.contains(str(dataset.get("modality")), regex=False)]
    rows = (specific if len(specific) else rows).head(PER_DATASET)
    folder = (
        dataset["data"]
        if dataset["kind"] == "painted"
        else dataset.get("root") or Path(dataset["table"]).parent
    )
    for row in rows.to_dict("records"):
        access = {"open": "open", "form": "after a form", "registration": "after registration"}[row["access"]]
        lines += [
            f"  what:  {row['title']} ({row['licence']})",
            f"  get:   {row['url']} ({access})",
            f"  put:   under {folder}/: {row['layout']}",
        ]
    if rows.empty:
        lines.append("  get:   your own data; put them where the configuration says, or change it")
    return "\n".join(lines)
