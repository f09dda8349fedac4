"""What a run reads from outside: scans, an atlas and weights; what of it is missing, and what can be obtained."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import pandas as pd

from patch2loc.acquire import registry, unpack
from patch2loc.acquire.decrypt import PASSPHRASE_VARIABLE
from patch2loc.configuration.method_constants import declared_names
from patch2loc.configuration.prerequisites import WEIGHTS, available_weights
from patch2loc.errors import InputError

DOWNLOADED = ("file", "url", "bytes", "checksum", "fetch")  # columns of the registry that a download takes


@dataclass(frozen=True, eq=False)
class NeededData:
    """The data of a run.

    Attributes:
        folder: of all data.
        registry_path: CSV of the public data.
        sources: of the datasets, and of the atlas, by name, as `acquire.sources` takes them.
        pretrained: files of weights by name, None without one; the configuration's `pretrained`.
    """

    folder: str
    registry_path: str
    sources: Mapping[str, Mapping[str, Any]]
    pretrained: Mapping[str, str | None]

    @cached_property
    def registry(self) -> pd.DataFrame:
        """The public data, a row for each file."""
        return registry.read(self.registry_path)

    def stop_for_missing(self) -> None:
        """Raise InputError, one for all, when files of any dataset are not there."""
        if self._missing:
            raise InputError(self._missing)

    @cached_property
    def _missing(self) -> str:
        return registry.missing_data_message(self.sources, self.registry, self.folder)

    def obtainable(self) -> tuple[list[str], str]:
        """Summaries of what can be unpacked now, and a message about what needs a person."""
        registered = {name: source for name, source in self.sources.items() if source.get("registry")}
        passphrase = bool(os.environ.get(PASSPHRASE_VARIABLE))
        names, message = registry.obtainable(registered, self.registry, self.folder, passphrase)
        return [str(registry.summary(self.folder, name)) for name in names], message

    def readers(self, registered: str) -> list[Mapping[str, Any]]:
        """Sources of the datasets that read the files of a name in the registry."""
        return [source for source in self.sources.values() if source.get("registry") == registered]

    def downloads(self, registered: str) -> list[dict[str, str]]:
        """Rows of a name in the registry that are downloaded, without the columns that are for readers."""
        # Weights are of no dataset.
        sources = self.sources if registered in unpack.NAMES else {registered: {"registry": registered}}
        rows = registry.downloadable(sources, self.registry, registered)
        return [{key: row[key] for key in DOWNLOADED} for row in rows]

    def archives(self, registered: str) -> list[str]:
        """What is unpacked of a name in the registry: the list of what is downloaded, or what was put into place."""
        folder = registry.downloads(self.folder, registered)
        if self.downloads(registered):
            return [str(folder / unpack.MANIFEST)]
        return [str(path) for path in unpack.waiting(folder)]

    def usable_weights(self, methods: Iterable[str]) -> list[str]:
        """Names of the weights from elsewhere that methods can use."""
        usable = {name for method in methods for name in declared_names(method, "PRETRAINED")}
        return [name for name in WEIGHTS if name in usable]

    @cached_property
    def published_weights(self) -> Callable[[str], dict[str, Mapping[str, str]]]:
        """The registry's rows of the weights that a method can use and the configuration has, by name."""
        return cache(self._read_published_weights)

    def weights(self, method: str) -> list[str]:
        """Files of the weights from elsewhere that a method can use and the configuration has."""
        return [self.pretrained[name] for name in self.published_weights(method)]

    def _read_published_weights(self, method: str) -> dict[str, Mapping[str, str]]:
        rows = self.registry.set_index("dataset", drop=False).loc[list(WEIGHTS), ["file", "url", "checksum"]]
        by_name = rows.to_dict("index")
        return {name: by_name[name] for name in available_weights(method, self.pretrained, by_name)}
