"""Data that a run reads from outside: scans, an atlas and weights; which of them are missing or can be obtained."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd

from patch2loc.acquire import registry, scan_files, sources, unpack
from patch2loc.acquire.decrypt import PASSPHRASE_VARIABLE
from patch2loc.configuration.prerequisites import WEIGHTS, available_weights, fallback_warning
from patch2loc.errors import InputError
from patch2loc.method_interface import declaration

# Columns of the registry that a download takes, and those that are recorded of weights.
DOWNLOAD_COLUMNS = ("file", "url", "bytes", "checksum", "fetch")
WEIGHTS_COLUMNS = ("file", "url", "checksum")
SOURCE_COLUMNS = ("title", "license", "url", "access")  # what a message about scans says of their source


@dataclass(frozen=True, eq=False)
class NeededData:
    """The data of a run.

    Attributes:
        folder: Folder of all data.
        registry_path: CSV of the public data.
        scan_files_path: CSV of the public scans that are fetched one by one; None: no scan is.
        sources: Sources of the datasets, and of the atlas, by name, as `acquire.sources` takes them; `leave_out`: the
            subjects of which nothing is needed.
        pretrained: The configuration's `pretrained`, {weights: file or None}.
        checksums: The configuration's `checksums`, which replace those of the registry.
        skips_missing: The run is to use the scans that are there; an atlas is needed all the same.
        obstacle: Function that says why no run can do with the scans that are there; "" if one can.
    """

    folder: str
    registry_path: str
    scan_files_path: str | None
    sources: Mapping[str, Mapping[str, Any]]
    pretrained: Mapping[str, str | None]
    checksums: Mapping[str, str]
    skips_missing: bool
    obstacle: Callable[[], str]

    @cached_property
    def registry(self) -> pd.DataFrame:
        """The registry of public data, one row per file."""
        return registry.with_checksums(registry.read(self.registry_path), self.checksums)

    @cached_property
    def passes_over(self) -> bool:
        """True if scans that are not there are passed over, and a run can do with the others."""
        return self.skips_missing and not self.obstacle()

    def stop_for_missing(self) -> None:
        """Raise one InputError for all datasets of which files are missing."""
        if self._missing_message:
            raise InputError(self._missing_message)

    @cached_property
    def _missing_message(self) -> str:
        fetched: Mapping[Path, scan_files.NeededScan] = {}
        needed = self.sources
        if not self.skips_missing:
            fetched = self.scans_to_fetch
        elif not self.obstacle():
            needed = {name: source for name, source in needed.items() if source["kind"] == "atlas"}
        return registry.missing_data_message(
            needed,
            self.registry,
            self.folder,
            fetched=fetched,
            obstacle=self.obstacle,
            skips=self.skips_missing,
        )

    @cached_property
    def scans_to_fetch(self) -> dict[Path, scan_files.NeededScan]:
        """Public scans of the datasets that are not there, by their places; {} if none of them has an address.

        With some that have one, a run begins: it fetches these, and asks for the others together.
        """
        one_by_one = set(self.registry.loc[self.registry["fetch"] == "scans", "dataset"])
        readers = {
            name: source for name, source in self.sources.items() if source.get("registry") in one_by_one
        }
        if not (readers and self.scan_files_path):
            return {}
        rows = {Path(self.folder, path): row for path, row in scan_files.read(self.scan_files_path).items()}
        scans: dict[Path, scan_files.NeededScan] = {}
        for name, source in readers.items():
            for path in sources.missing(source):
                if path in rows:
                    scans.setdefault(path, {"row": rows[path], "datasets": []})["datasets"].append(name)
        has_mirror = bool(os.environ.get(registry.MIRROR_VARIABLE))
        return scans if has_mirror or any(scan["row"]["url"] for scan in scans.values()) else {}

    @property
    def places_to_fetch(self) -> list[str]:
        """Places of the scans to fetch."""
        return [str(path) for path in self.scans_to_fetch]

    @property
    def sources_of_scans(self) -> dict[str, dict[str, str]]:
        """Rows of the registry that the scans to fetch come from, by file, with SOURCE_COLUMNS only."""
        names = {scan["row"]["source"] for scan in self.scans_to_fetch.values()}
        rows = self.registry[self.registry["file"].isin(names)].to_dict("records")
        return {row["file"]: {column: row[column] for column in SOURCE_COLUMNS} for row in rows}

    @property
    def fetch_note(self) -> str:
        """How many scans are fetched before anything else; "" for none."""
        if not self.scans_to_fetch:
            return ""
        rows = [scan["row"] for scan in self.scans_to_fetch.values()]
        size_mb = sum(int(row["bytes"] or 0) for row in rows) / 1e6
        datasets = {name: None for scan in self.scans_to_fetch.values() for name in scan["datasets"]}
        return (
            f"{len(rows)} scans of {', '.join(datasets)} are not below {self.folder} and are fetched first, "
            f"{size_mb:.0f} MB and more."
        )

    def obtainable(self) -> tuple[list[str], str]:
        """Summary files of the data that can be unpacked now, and a message about those that need a person."""
        public_sources = {name: source for name, source in self.sources.items() if source.get("registry")}
        has_passphrase = bool(os.environ.get(PASSPHRASE_VARIABLE))
        names, message = registry.obtainable(
            public_sources, self.registry, self.folder, has_passphrase, fetched=self.scans_to_fetch
        )
        return [str(registry.summary(self.folder, name)) for name in names], message

    def readers(self, registry_name: str) -> list[Mapping[str, Any]]:
        """Sources of the datasets that read the files of a name in the registry, whoever is left out of them."""
        return [
            {key: value for key, value in source.items() if key != "leave_out"}
            for source in self.sources.values()
            if source.get("registry") == registry_name
        ]

    def downloads(self, registry_name: str) -> list[dict[str, str]]:
        """Rows of a name in the registry that can be downloaded, with DOWNLOAD_COLUMNS only."""
        # Weights belong to no dataset.
        sources = (
            self.sources if registry_name in unpack.NAMES else {registry_name: {"registry": registry_name}}
        )
        rows = registry.downloadable(sources, self.registry, registry_name)
        return [{column: row[column] for column in DOWNLOAD_COLUMNS} for row in rows]

    def archives(self, registry_name: str) -> list[str]:
        """Files to unpack of a name in the registry: the manifest of the downloads, or archives put there by hand."""
        folder = registry.downloads(self.folder, registry_name)
        if self.downloads(registry_name):
            return [str(folder / unpack.MANIFEST)]
        return [str(path) for path in unpack.waiting(folder)]

    def archives_put_by_hand(self, registry_name: str) -> list[str]:
        """Archives of a name in the registry that can be downloaded, which lie there under other names."""
        folder = registry.downloads(self.folder, registry_name)
        downloaded = {row["file"] for row in self.downloads(registry_name)}
        return [str(path) for path in unpack.put_by_hand(folder, downloaded)]

    def usable_weights(self, methods: Iterable[str]) -> list[str]:
        """Names of the weights from elsewhere that methods can use, in the order of WEIGHTS."""
        usable = {name for method in methods for name in declaration(method).pretrained}
        return [name for name in WEIGHTS if name in usable]

    def weights(self, method: str) -> list[str]:
        """Files of the weights from elsewhere that a method can use and the configuration has."""
        return list(self._available_weights(method).values())

    def published_weights(self, method: str) -> dict[str, Mapping[str, str]]:
        """Rows of the registry for the `weights` of a method, by the name of the weights."""
        return {name: self._weights_rows[name] for name in self._available_weights(method)}

    def fallback_warning(self, methods: Sequence[str]) -> str:
        """`prerequisites.fallback_warning` of the methods of a run."""
        return fallback_warning(methods, self.pretrained, self._weights_rows, self._weights_path)

    def _weights_path(self, name: str) -> str:
        """Path that weights from elsewhere are downloaded to."""
        return str(registry.downloads(self.folder, name) / self._weights_rows[name]["file"])

    @cached_property
    def _available_weights(self) -> Callable[[str], dict[str, str]]:
        """`available_weights` of a method, which looks for files, once for each method."""
        return cache(partial(available_weights, configured=self.pretrained, registry_rows=self._weights_rows))

    @cached_property
    def _weights_rows(self) -> dict[str, Mapping[str, str]]:
        rows = self.registry[self.registry["dataset"].isin(WEIGHTS)].to_dict("records")
        return {row["dataset"]: {column: row[column] for column in WEIGHTS_COLUMNS} for row in rows}
