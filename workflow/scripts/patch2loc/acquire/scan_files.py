"""The table of public scans that a run fetches one by one, config/scan_files.csv."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from patch2loc.acquire import registry

Row = Mapping[str, str]


class NeededScan(TypedDict):
    """A scan to fetch: its row of the table, and the datasets of the configuration that read it."""

    row: Row
    datasets: list[str]


def read(path: str | Path, schema: str | Path | None = None) -> dict[str, Row]:
    """Read the table of public scans, by their paths below `data`.

    Args:
        path: CSV: source, path, url, bytes, checksum, step (scan_files.schema.yaml).
        schema: JSON schema (YAML) that each row has to follow, if given.

    Raises:
        InputError: The table cannot be read, or a value is wrong; the message names its line.
    """
    rows = registry.read(path, schema, unique="path").to_dict("records")
    return {row["path"]: {str(column): value for column, value in row.items()} for row in rows}
