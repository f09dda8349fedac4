"""Entities of a crate's graph: files, folders and scans, the workflow, people and licenses."""

import hashlib
import json
import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import quote

from patch2loc import __version__
from patch2loc.data.labels import Datasets, label_of
from patch2loc.data.results import PREPROCESSED, RAW
from patch2loc.data.vocabulary import QUALITY
from patch2loc.files import sha256
from patch2loc.provenance.record import SUFFIX, read_provenance, sidecar

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
Entity = dict[str, Any]  # of JSON-LD: "@id", "@type", and properties of its type


class Job(TypedDict):
    """A job of a run, or several of one rule.

    Attributes:
        rule: name.
        about: what its outputs are.
        code: hash of the code behind it.
        inputs: paths.
        outputs: paths.
    """

    rule: str
    about: str
    code: str
    inputs: list[str]
    outputs: list[str]


def links(identifiers: Iterable[str]) -> Links:
    """References to entities by their identifiers, each once."""
    return [{"@id": identifier} for identifier in dict.fromkeys(identifiers)]


def content_id(kind: str, content: Any) -> str:
    """Identifier within the crate that follows from the content."""
    return f"#{kind}-{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]}"


def without_absolute_paths(value: Any) -> Any:
    """Replace every absolute path in a value, of lists, mappings and scalars, by its last part."""
    if isinstance(value, Mapping):
        return {key: without_absolute_paths(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_absolute_paths(item) for item in value]
    return Path(value).name if isinstance(value, str) and value.startswith(("/", "~")) else value


class Entities:
    """Entities of a crate, in the order in which they were added.

    Methods that add an entity return its identifier; what is there already is not added again.

    Attributes:
        results: folder of the run.
        datasets: of the run.
        by_id: {identifier: entity}.
        maker: {path of an output: job}.
    """

    def __init__(self, results: Path, jobs: Sequence[Job], datasets: Datasets) -> None:
        self.results, self.datasets = results, datasets
        self.by_id: dict[str, Entity] = {}
        self.maker = {path: job for job in jobs for path in job["outputs"]}
        self._datasets_behind = cache(self._find_datasets_behind)

    def of_type(self, *kinds: str) -> list[Entity]:
        """Entities of any of the types."""
        return [entity for entity in self.by_id.values() if {*kinds} & {*_types(entity)}]

    def add(self, identifier: str, kind: str | list[str], /, **properties: Any) -> str:
        """Add an entity with those of the properties that are not empty."""
        filled = {key: value for key, value in properties.items() if value not in (None, "", [], {})}
        self.by_id.setdefault(identifier, {"@id": identifier, "@type": kind, **filled})
        return identifier

    def data(self, path: str | Path, digest: str | None = None) -> str:
        """Add an input or output; of a scan, its dataset; of a file outside of the results, a reference to it."""
        name = self.relative(path)
        if name is not None:
            parts = Path(name).parts
            if parts[0] in (PREPROCESSED, RAW):
                name = "/".join(parts[:2])
            result = self.results / name
            if result.is_dir():
                return self._folder(name)
            if result.is_file():
                return self.file(name)
        return self._reference(path, digest)

    def relative(self, path: str | Path) -> str | None:
        """Path of a result relative to the folder of the run; None for a path outside of it."""
        path = Path(path).expanduser()
        return path.relative_to(self.results).as_posix() if path.is_relative_to(self.results) else None

    def file(self, name: str) -> str:
        """Add a file of the results, and the file of its provenance. name: path relative to the results."""
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
                self.by_id[self.file(f"{name}{SUFFIX}")]["about"] = {"@id": identifier}
        return identifier

    def _folder(self, name: str) -> str:
        """Add a folder of the results. name: path relative to the results."""
        dataset = next((part for part in Path(name).parts[1:] if part in self.datasets), None)
        title = f"{name}: {self.label(dataset)}" if dataset else name
        return self.add(
            f"{quote(name)}/", "Dataset", name=title, description=self._description(self.results / name)
        )

    def _reference(self, path: str | Path, digest: str | None) -> str:
        """Add an input that is not part of the crate, by name and checksum."""
        name = str(without_absolute_paths(self.relative(path) or str(path)))
        identifier = f"#{quote(name)}" if digest is None else f"#{digest[:12]}-{quote(name)}"
        return self.add(identifier, "CreativeWork", name=name, sha256=digest)

    def scan(self, dataset: str, subject: str) -> str:
        """Add a preprocessed scan: a folder that says which files it was made from."""
        identifier = f"{quote(f'{PREPROCESSED}/{dataset}/{subject}')}/"
        if identifier not in self.by_id:
            record = sidecar(self.results / PREPROCESSED / dataset / subject / QUALITY)
            inputs = read_provenance(record)["inputs"] if record.is_file() else {}
            sources = links(self.data(path, digest) for path, digest in inputs.items())
            self.add(identifier, "Dataset", name=subject, isBasedOn=sources)
        return identifier

    def value(self, name: str, value: Any) -> str:
        """Add a value that a job was given, or the name of the machine or device that it ran on."""
        return self.add(content_id(name, value), "PropertyValue", name=name, value=value)

    def label(self, dataset: str) -> str:
        """Label of a dataset, by its name in paths."""
        return label_of(self.datasets[dataset])

    def simulated(self, datasets: Iterable[str]) -> str:
        """One sentence that says which of some datasets are simulated; empty when none is."""
        datasets = set(datasets)
        simulated = [name for name in self.datasets if name in datasets and self.datasets[name]["simulated"]]
        if not simulated:
            return ""
        if len(simulated) == len(datasets):
            return "Simulated data."
        return f"Simulated data: {', '.join(simulated)}."

    def _description(self, path: Path) -> str:
        """Description of a result by the rule that made it, and a note if it depends on simulated scans."""
        job = self.maker.get(str(path))
        about = job["about"] if job else ""
        return f"{about or ''} {self.simulated(self._datasets_behind(str(path)))}".strip()

    def _find_datasets_behind(self, path: str) -> frozenset[str]:
        """Datasets that a result depends on, by the names of folders on the way to it."""
        datasets = set(self.datasets) & set(Path(path).parts)
        job = self.maker.get(path)
        for input_path in job["inputs"] if job else []:
            datasets |= self._datasets_behind(input_path)
        return frozenset(datasets)


def add_scans(entities: Entities) -> None:
    """Add every scan, as a folder in that of its dataset."""
    for dataset in entities.datasets:
        parent = entities.results / PREPROCESSED / dataset
        if not parent.is_dir():
            continue
        subjects = sorted(
            folder.name for folder in parent.iterdir() if folder.is_dir() and folder.name[0] != "."
        )
        identifier = entities.data(parent)
        entities.by_id[identifier]["hasPart"] = links(entities.scan(dataset, subject) for subject in subjects)


def add_workflow(entities: Entities, citation: Mapping[str, Any]) -> None:
    """Add the workflow's files in the folder of the results, their authors and license.

    citation: content of CITATION.cff.
    """
    for identifier, (name, version) in PROFILES.items():
        entities.add(identifier, "CreativeWork", name=name, version=version)
    entities.add(MIT, "CreativeWork", name="MIT License", identifier=MIT)
    entities.add(SNAKEMAKE, "ComputerLanguage", name="Snakemake", url="https://snakemake.readthedocs.io")
    paper = citation.get("preferred-citation", {})
    cited = [entities.add(paper["url"], "ScholarlyArticle", name=paper["title"])] if "url" in paper else []
    rule_files = sorted(entities.results.glob("workflow/rules/*.smk"))
    rules = [entities.file(path.relative_to(entities.results).as_posix()) for path in rule_files]
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
    """Add the license of the results, MIT where all data are simulated."""
    if all(about["simulated"] for about in entities.datasets.values()):
        return MIT
    text = "MIT for what the workflow made. Scans, and what shows them, stay under the licenses of their datasets."
    return entities.add("#license", "CreativeWork", name="MIT; datasets: their own", description=text)


def _add_author(entities: Entities, author: Mapping[str, str]) -> str:
    """Add an author of CITATION.cff, a person or an organization."""
    if "name" in author:
        return entities.add(f"#{quote(author['name'])}", "Organization", name=author["name"])
    name = f"{author['given-names']} {author['family-names']}"
    return entities.add(author.get("orcid") or f"#{quote(name)}", "Person", name=name)


def _format(path: Path) -> str:
    """MIME type of a file."""
    return FORMATS.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def _types(entity: Entity) -> list[str]:
    """Types of an entity, which has one or several."""
    kind = entity["@type"]
    return kind if isinstance(kind, list) else [kind]
