"""What a crate tells of, as entities of its graph: files, folders and scans, the workflow, people and licenses."""

import hashlib
import json
import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from patch2loc import __version__
from patch2loc.data.labels import label_of
from patch2loc.data.results import PREPROCESSED, RAW
from patch2loc.files import read_json, sha256
from patch2loc.provenance.record import sidecar

WORKFLOW, CONFIGURATION = "workflow/Snakefile", "workflow/configuration.json"
SNAKEMAKE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
MIT = "https://spdx.org/licenses/MIT"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
FORMATS = {
    ".parquet": "application/vnd.apache.parquet",
    ".safetensors": "application/octet-stream",
    ".md": "text/markdown",
    ".smk": "text/x-python",
    "": "text/x-python",  # the Snakefile
}

Links = list[dict[str, str]]


def links(identifiers: Iterable[str]) -> Links:
    """References to entities, each once."""
    return [{"@id": identifier} for identifier in dict.fromkeys(identifiers)]


def named(kind: str, content: Any) -> str:
    """An identifier within the crate that follows from the content."""
    return f"#{kind}-{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]}"


def without_absolute_paths(value: Any) -> Any:
    """`value`, of lists, mappings and scalars, with the last part of every absolute path in place of it."""
    if isinstance(value, Mapping):
        return {key: without_absolute_paths(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_absolute_paths(each) for each in value]
    return Path(value).name if isinstance(value, str) and value.startswith(("/", "~")) else value


class Entities:
    """The entities of a crate, in the order in which they were added: `by_id`.

    results: folder of the run.  jobs, datasets: as of `crate.write_crate`.
    """

    def __init__(self, results: Path, jobs: Sequence[Mapping], datasets: Mapping[str, Mapping]) -> None:
        self.results, self.datasets = results, datasets
        self.by_id: dict[str, dict[str, Any]] = {}
        self.maker = {path: job for job in jobs for path in job["outputs"]}
        self._datasets_behind = cache(self._find_datasets_behind)

    def of_type(self, *kinds: str) -> list[dict[str, Any]]:
        """The entities of any of some types."""
        return [each for each in self.by_id.values() if {*kinds} & {*_types(each)}]

    def add(self, identifier: str, kind: str | list[str], /, **properties: Any) -> str:
        """Add an entity, unless it is there, with the properties that are not empty; its identifier."""
        kept = {key: value for key, value in properties.items() if value not in (None, "", [], {})}
        self.by_id.setdefault(identifier, {"@id": identifier, "@type": kind, **kept})
        return identifier

    def data(self, path: str | Path, digest: str | None = None) -> str:
        """The entity of an input or output; of a scan, that of its dataset; a reference where the file is elsewhere."""
        name = self.relative(path)
        if name is not None:
            parts = Path(name).parts
            if parts[0] in (PREPROCESSED, RAW):
                name = "/".join(parts[:2])
            here = self.results / name
            if here.is_dir():
                return self._folder(name)
            if here.is_file():
                return self.file(name)
        return self._reference(path, digest)

    def relative(self, path: str | Path) -> str | None:
        """A path in the results relative to them; None for another one."""
        path = Path(path)
        return path.relative_to(self.results).as_posix() if path.is_relative_to(self.results) else None

    def file(self, name: str) -> str:
        """A file of the results, and the file of its provenance."""
        path, identifier = self.results / name, quote(name)
        if identifier not in self.by_id:
            self.add(
                identifier,
                "File",
                name=name,
                description=self._description(path),
                encodingFormat=_format(path),
                contentSize=str(path.stat().st_size),
                sha256=sha256(path),
            )
            if sidecar(path).is_file():
                self.by_id[self.file(f"{name}.provenance.json")]["about"] = {"@id": identifier}
        return identifier

    def _folder(self, name: str) -> str:
        dataset = next((part for part in Path(name).parts[1:] if part in self.datasets), None)
        title = f"{name}: {self.label(dataset)}" if dataset else name
        return self.add(
            f"{quote(name)}/", "Dataset", name=title, description=self._description(self.results / name)
        )

    def _reference(self, path: str | Path, digest: str | None) -> str:
        """An input that is not part of the crate, by name and checksum."""
        name = str(without_absolute_paths(self.relative(path) or str(path)))
        identifier = f"#{quote(name)}" if digest is None else f"#{digest[:12]}-{quote(name)}"
        return self.add(identifier, "CreativeWork", name=name, sha256=digest)

    def scan(self, dataset: str, subject: str) -> str:
        """A preprocessed scan: a folder that says which files it was made from."""
        identifier = f"{quote(f'{PREPROCESSED}/{dataset}/{subject}')}/"
        if identifier not in self.by_id:
            record = sidecar(self.results / PREPROCESSED / dataset / subject / "qc.json")
            given = read_json(record)["inputs"] if record.is_file() else {}
            made_from = links(self.data(path, digest) for path, digest in given.items())
            self.add(identifier, "Dataset", name=subject, isBasedOn=made_from)
        return identifier

    def value(self, name: str, value: Any) -> str:
        """A value that a job was given, or that says where it ran."""
        return self.add(named(name, value), "PropertyValue", name=name, value=value)

    def label(self, dataset: str) -> str:
        """What a dataset is called, by its name in paths."""
        return label_of(self.datasets[dataset])

    def simulated(self, datasets: Iterable[str]) -> str:
        """One sentence saying which of some datasets are simulated; empty when none is."""
        datasets = set(datasets)
        made_up = [name for name in self.datasets if name in datasets and self.datasets[name]["simulated"]]
        if not made_up:
            return ""
        return (
            "Simulated data." if len(made_up) == len(datasets) else f"Simulated data: {', '.join(made_up)}."
        )

    def _description(self, path: Path) -> str:
        """What the rule that made a file says of itself, and whether simulated scans are behind it."""
        job = self.maker.get(str(path), {})
        return f"{job.get('about') or ''} {self.simulated(self._datasets_behind(str(path)))}".strip()

    def _find_datasets_behind(self, path: str) -> frozenset[str]:
        """The datasets that a result depends on, by the names of folders on the way to it."""
        found = set(self.datasets) & set(Path(path).parts)
        for each in self.maker.get(path, {}).get("inputs", []):
            found |= self._datasets_behind(each)
        return frozenset(found)


def add_scans(entities: Entities) -> None:
    """Every scan as a folder in that of its dataset."""
    for dataset in entities.datasets:
        parent = entities.results / PREPROCESSED / dataset
        if not parent.is_dir():
            continue
        subjects = sorted(each.name for each in parent.iterdir() if each.is_dir() and each.name[0] != ".")
        identifier = entities.data(parent)
        entities.by_id[identifier]["hasPart"] = links(entities.scan(dataset, subject) for subject in subjects)


def add_workflow(entities: Entities, citation: Mapping[str, Any]) -> None:
    """The workflow's files in the folder of the results, their authors and license; citation: of CITATION.cff."""
    for identifier, (name, version) in PROFILES.items():
        entities.add(identifier, "CreativeWork", name=name, version=version)
    entities.add(MIT, "CreativeWork", name="MIT License", identifier=MIT)
    entities.add(SNAKEMAKE, "ComputerLanguage", name="Snakemake", url="https://snakemake.readthedocs.io")
    paper = citation.get("preferred-citation", {})
    cited = [entities.add(paper["url"], "ScholarlyArticle", name=paper["title"])] if "url" in paper else []
    rules = [
        entities.file(entities.relative(path))
        for path in sorted(entities.results.glob("workflow/rules/*.smk"))
    ]
    for rule in rules:
        entities.by_id[rule].update({"@type": ["File", "SoftwareSourceCode"], "version": __version__})
    entities.file(CONFIGURATION)
    entities.by_id[entities.file(WORKFLOW)].update(
        {
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
            "name": citation["title"],
            "version": __version__,
            "programmingLanguage": {"@id": SNAKEMAKE},
            "license": {"@id": MIT},
            "author": links(_add_author(entities, author) for author in citation["authors"]),
            "citation": links(cited),
            "hasPart": links(rules),
        }
    )


def add_license(entities: Entities) -> str:
    """The license of the results: MIT where all data are simulated."""
    if all(about["simulated"] for about in entities.datasets.values()):
        return MIT
    text = "MIT for what the workflow made. Scans, and what shows them, stay under the licenses of their datasets."
    return entities.add("#license", "CreativeWork", name="MIT; datasets: their own", description=text)


def _add_author(entities: Entities, author: Mapping[str, str]) -> str:
    if "name" in author:
        return entities.add(f"#{quote(author['name'])}", "Organization", name=author["name"])
    name = f"{author['given-names']} {author['family-names']}"
    return entities.add(author.get("orcid") or f"#{quote(name)}", "Person", name=name)


def _format(path: Path) -> str:
    return FORMATS.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def _types(entity: Mapping[str, Any]) -> list[str]:
    kind = entity["@type"]
    return kind if isinstance(kind, list) else [kind]
