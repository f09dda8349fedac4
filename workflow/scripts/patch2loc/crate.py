"""The results of a run as an RO-Crate: ro-crate-metadata.json says what each of them is and what made it.

RO-Crate 1.1 with the profile Workflow Run Crate 0.5 (https://w3id.org/ro/wfrun/workflow/0.5).  The metadata is one
JSON-LD file about files that are in place already, so it is written with the json module.
"""

import hashlib
import json
import mimetypes
import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from patch2loc import __version__
from patch2loc.errors import InputError
from patch2loc.files import read_json, replacing_folder, sha256, write_json
from patch2loc.provenance import CRATE, RUN, sidecar
from patch2loc.tables import label_of

ROOT, WORKFLOW, CONFIGURATION = "./", "workflow/Snakefile", "workflow/configuration.json"
SNAKEMAKE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
MIT = "https://spdx.org/licenses/MIT"
CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
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
SCANS = "preprocessed"  # folder with one folder for each dataset, and in it one for each scan


def write_crate(
    results: Path,
    jobs: Sequence[Mapping[str, Any]],
    datasets: Mapping[str, Mapping[str, Any]],
    configuration: Mapping[str, Any],
    sources: Sequence[Path],
    citation: Mapping[str, Any],
) -> None:
    """Make the folder `results` of a finished run an RO-Crate: write its ro-crate-metadata.json, and workflow/.

    jobs: what rules did, each {rule, about, code, inputs, outputs}; outputs that are not there are left out.
    datasets: title, modality, role and simulated of each.  configuration: of the run, as JSON.
    sources: the Snakefile, then its rules.  citation: the content of CITATION.cff.
    workflow/ receives the sources and the configuration.  Absolute paths are cut down to their last part.
    InputError when `results` holds no provenance, that is, when nothing was made there yet.
    """
    with replacing_folder(results / "workflow") as folder:
        (folder / "rules").mkdir()
        shutil.copyfile(sources[0], folder / "Snakefile")
        for source in sources[1:]:
            shutil.copyfile(source, folder / "rules" / source.name)
        write_json(folder / "configuration.json", without_absolute_paths(configuration))
    graph = _Graph(results, jobs, datasets, citation).build()
    write_json(results / CRATE, {"@context": CONTEXT, "@graph": graph})


def without_absolute_paths(value: Any) -> Any:
    """`value`, of lists, mappings and scalars, with the last part of every absolute path in place of it."""
    if isinstance(value, Mapping):
        return {key: without_absolute_paths(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_absolute_paths(each) for each in value]
    return Path(value).name if isinstance(value, str) and value.startswith(("/", "~")) else value


def _named(kind: str, content: Any) -> str:
    """An identifier within the crate that follows from the content."""
    return f"#{kind}-{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]}"


def _links(identifiers: Iterable[str]) -> list[dict[str, str]]:
    return [{"@id": identifier} for identifier in dict.fromkeys(identifiers)]


class _Graph:
    """The entities of a crate while they are put together, by their @id."""

    def __init__(self, results: Path, jobs: Sequence, datasets: Mapping, citation: Mapping) -> None:
        self.results, self.jobs, self.datasets, self.citation = results, jobs, datasets, citation
        self.entities: dict[str, dict[str, Any]] = {}
        self.maker = {path: job for job in jobs for path in job["outputs"]}
        self.behind = cache(self._behind)

    def build(self) -> list[dict[str, Any]]:
        """All entities, the descriptor and the root first."""
        self._add_workflow()
        for job in self.jobs:
            self._add_action(job)
        self._add_scans()
        for folder in ("benchmarks", "logs"):
            if (self.results / folder).is_dir():
                self._data(self.results / folder)
        run = self._add_run()
        data = [each for each in self.entities.values() if {"File", "Dataset"} & set(_types(each))]
        folders = [each for each in data if "Dataset" in _types(each)]
        nested = {part["@id"] for each in folders for part in each.get("hasPart", [])}
        top = [each["@id"] for each in data if each["@id"] not in nested]
        simulated = self._simulated(frozenset(self.datasets))
        descriptor = {
            "@id": CRATE,
            "@type": "CreativeWork",
            "about": {"@id": ROOT},
            "conformsTo": _links(["https://w3id.org/ro/crate/1.1", list(PROFILES)[2]]),
        }
        root = {
            "@id": ROOT,
            "@type": "Dataset",
            "name": f"Results of the Patch2Loc workflow: {self.results.name}",
            "description": "Unsupervised brain lesion detection by patch localisation: models, metrics, tables and "
            f"figures of one run on {', '.join(map(self._label, self.datasets))}. {simulated}".strip(),
            "keywords": ", ".join(
                ["brain", "lesion detection", "MRI", *(["simulated data"] if simulated else [])]
            ),
            "datePublished": run["endTime"],
            "license": {"@id": self._licence()},
            "author": self.entities[WORKFLOW]["author"],
            "conformsTo": _links(PROFILES),
            "mainEntity": {"@id": WORKFLOW},
            "hasPart": _links(top),
            "mentions": _links(
                each["@id"] for each in self.entities.values() if each["@type"] == "CreateAction"
            ),
        }
        return [descriptor, root, *self.entities.values()]

    def _add(self, identifier: str, kind: str | list[str], /, **properties: Any) -> str:
        """Add an entity, unless it is there; its identifier."""
        kept = {key: value for key, value in properties.items() if value not in (None, "", [], {})}
        self.entities.setdefault(identifier, {"@id": identifier, "@type": kind, **kept})
        return identifier

    # What there is: files, folders, scans

    def _relative(self, path: str | Path) -> str | None:
        """A path in the results relative to them; None for another one."""
        path = Path(path)
        return path.relative_to(self.results).as_posix() if path.is_relative_to(self.results) else None

    def _data(self, path: str | Path, digest: str | None = None) -> str:
        """The entity of an input or output; of a scan, that of its dataset; a reference where the file is elsewhere."""
        name = self._relative(path)
        if name is not None:
            parts = Path(name).parts
            if parts[0] in (SCANS, "raw"):
                name = "/".join(parts[:2])
            here = self.results / name
            if here.is_dir():
                text = self._text(here)
                return self._add(f"{quote(name)}/", "Dataset", name=self._folder_name(name), description=text)
            if here.is_file():
                return self._file(name)
        return self._reference(path, digest)

    def _file(self, name: str) -> str:
        path, identifier = self.results / name, quote(name)
        if identifier not in self.entities:
            kind = (
                FORMATS.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            )
            self._add(
                identifier,
                "File",
                name=name,
                description=self._text(path),
                encodingFormat=kind,
                contentSize=str(path.stat().st_size),
                sha256=sha256(path),
            )
            if sidecar(path).is_file():
                self._file(f"{name}.provenance.json")
                self.entities[quote(f"{name}.provenance.json")]["about"] = {"@id": identifier}
        return identifier

    def _reference(self, path: str | Path, digest: str | None) -> str:
        """An input that is not part of the crate, by name and checksum."""
        name = str(without_absolute_paths(self._relative(path) or str(path)))
        identifier = f"#{quote(name)}" if digest is None else f"#{digest[:12]}-{quote(name)}"
        return self._add(identifier, "CreativeWork", name=name, sha256=digest)

    def _folder_name(self, name: str) -> str:
        dataset = next((part for part in Path(name).parts[1:] if part in self.datasets), None)
        return f"{name}: {self._label(dataset)}" if dataset else name

    def _label(self, dataset: str) -> str:
        return label_of(self.datasets[dataset])

    def _text(self, path: Path) -> str:
        """What the rule that made a file says of itself, and whether simulated scans are behind it."""
        job = self.maker.get(str(path), {})
        return f"{job.get('about') or ''} {self._simulated(self.behind(str(path)))}".strip()

    def _behind(self, path: str) -> frozenset[str]:
        """The datasets that a result depends on, by the names of folders on the way to it."""
        found = set(self.datasets) & set(Path(path).parts)
        for each in self.maker.get(path, {}).get("inputs", []):
            found |= self.behind(each)
        return frozenset(found)

    def _simulated(self, datasets: frozenset[str]) -> str:
        made_up = [name for name in self.datasets if name in datasets and self.datasets[name]["simulated"]]
        if not made_up:
            return ""
        return (
            "Simulated data." if len(made_up) == len(datasets) else f"Simulated data: {', '.join(made_up)}."
        )

    def _add_scans(self) -> None:
        """Every scan is a folder in that of its dataset, and says which files it was made from."""
        for dataset in self.datasets:
            parent = self.results / SCANS / dataset
            if not parent.is_dir():
                continue
            folders = sorted(
                folder for folder in parent.iterdir() if folder.is_dir() and folder.name[0] != "."
            )
            identifier = self._data(parent)
            self.entities[identifier]["hasPart"] = _links(self._scan(dataset, each.name) for each in folders)

    def _scan(self, dataset: str, subject: str) -> str:
        identifier = f"{quote(f'{SCANS}/{dataset}/{subject}')}/"
        if identifier not in self.entities:
            record = sidecar(self.results / SCANS / dataset / subject / "qc.json")
            given = read_json(record)["inputs"] if record.is_file() else {}
            made_from = _links(self._data(path, digest) for path, digest in given.items())
            self._add(identifier, "Dataset", name=subject, isBasedOn=made_from)
        return identifier

    # What was done

    @cached_property
    def times(self) -> list[str]:
        """When the processes began and ended that their files tell of, in UTC."""
        records = [read_json(path) for path in sorted(map(sidecar, self.maker)) if path.is_file()]
        return sorted(record[key] for record in records for key in ("started", "finished") if key in record)

    def _add_action(self, job: Mapping[str, Any]) -> None:
        outputs = [path for path in job["outputs"] if Path(path).exists()]
        made = [path for path in outputs if not _is_sidecar(path)]
        if not made:
            return
        records = [read_json(sidecar(path)) for path in made if sidecar(path).is_file()]
        told = records[0] if records else {}
        digests = told.get("inputs", {})
        environment, configuration = told.get("environment", {}), told.get("configuration", {})
        packages = [
            self._add(f"#{name}-{version}", "SoftwareApplication", name=name, softwareVersion=version)
            for name, version in environment.items()
            if name != "machine"
        ]
        instrument = self._add(
            _named(job["rule"], [job["code"], environment]),
            "SoftwareApplication",
            name=f"rule {job['rule']} of the Patch2Loc workflow {__version__}",
            description="softwareVersion is the hash of the code behind the rule",
            softwareVersion=job["code"],
            softwareRequirements=_links(packages),
            isPartOf={"@id": WORKFLOW},
        )
        where = environment | told
        scans, others = self._split(digests)
        given = [*(self._data(path, digests[path]) for path in others), *map(self._data, job["inputs"])]
        if scans:
            given.append(self._add_subjects(scans))
        if configuration:
            given.append(self._value("configuration", json.dumps(without_absolute_paths(configuration))))
        if "seed" in configuration:
            given.append(self._value("seed", configuration["seed"]))
        self._add(
            f"#{job['rule']}/{quote(self._relative(made[0]) or Path(made[0]).name)}",
            "CreateAction",
            name=job["rule"],
            description=job["about"],
            instrument={"@id": instrument},
            object=_links(given),
            result=_links(map(self._data, made)),
            startTime=told.get("started"),
            endTime=told.get("finished"),
            environment=_links(
                self._value(name, where[name]) for name in ("machine", "device") if name in where
            ),
        )

    def _split(self, inputs: Iterable[str]) -> tuple[list[tuple[str, str]], list[str]]:
        """Inputs that are preprocessed scans, as (dataset, subject), and the others."""
        scans, others = {}, []
        for path in inputs:
            parts = Path(self._relative(path) or "").parts
            if len(parts) == 4 and parts[0] == SCANS and parts[1] in self.datasets:
                scans[parts[1], parts[2]] = None
            else:
                others.append(path)
        return list(scans), others

    def _add_subjects(self, scans: list[tuple[str, str]]) -> str:
        """The scans that a job read, as one collection; jobs that read the same ones share it."""
        names = " and ".join(dict.fromkeys(self._label(dataset) for dataset, _ in scans))
        return self._add(
            _named("scans", scans),
            "Collection",
            name=f"{len(scans)} scans of {names}",
            hasPart=_links(self._scan(*scan) for scan in scans),
        )

    def _value(self, name: str, value: Any) -> str:
        return self._add(_named(name, value), "PropertyValue", name=name, value=value)

    # The workflow, its authors, and the run as a whole

    def _add_workflow(self) -> None:
        for identifier, (name, version) in PROFILES.items():
            self._add(identifier, "CreativeWork", name=name, version=version)
        self._add(MIT, "CreativeWork", name="MIT License", identifier=MIT)
        self._add(SNAKEMAKE, "ComputerLanguage", name="Snakemake", url="https://snakemake.readthedocs.io")
        paper = self.citation.get("preferred-citation", {})
        cited = [self._add(paper["url"], "ScholarlyArticle", name=paper["title"])] if "url" in paper else []
        rules = [
            self._file(self._relative(path)) for path in sorted(self.results.glob("workflow/rules/*.smk"))
        ]
        for rule in rules:
            self.entities[rule].update({"@type": ["File", "SoftwareSourceCode"], "version": __version__})
        self._file(CONFIGURATION)
        self.entities[self._file(WORKFLOW)].update(
            {
                "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
                "name": self.citation["title"],
                "version": __version__,
                "programmingLanguage": {"@id": SNAKEMAKE},
                "license": {"@id": MIT},
                "author": _links(map(self._author, self.citation["authors"])),
                "citation": _links(cited),
                "hasPart": _links(rules),
            }
        )

    def _author(self, author: Mapping[str, str]) -> str:
        if "name" in author:
            return self._add(f"#{quote(author['name'])}", "Organization", name=author["name"])
        name = f"{author['given-names']} {author['family-names']}"
        return self._add(author.get("orcid") or f"#{quote(name)}", "Person", name=name)

    def _licence(self) -> str:
        if all(about["simulated"] for about in self.datasets.values()):
            return MIT
        text = "MIT for what the workflow made. Scans, and what shows them, stay under the licences of their datasets."
        return self._add("#licence", "CreativeWork", name="MIT; datasets: their own", description=text)

    def _add_run(self) -> dict[str, Any]:
        if not self.times:
            raise InputError(
                f"{self.results}: no *.provenance.json with times found, those of a finished run expected; run the "
                "workflow to its end first"
            )
        actions = [each for each in self.entities.values() if each["@type"] == "CreateAction"]
        made = [each["@id"] for action in actions for each in action["result"]]
        given = [each["@id"] for each in self.entities.values() if each["@id"].startswith("raw/")]
        self._add(
            RUN,
            "CreateAction",
            name=f"Run of the Patch2Loc workflow {__version__}",
            instrument={"@id": WORKFLOW},
            object=_links([CONFIGURATION, *given]),
            result=_links(made),
            startTime=self.times[0],
            endTime=self.times[-1],
        )
        return self.entities[RUN]


def _types(entity: Mapping[str, Any]) -> list[str]:
    kind = entity["@type"]
    return kind if isinstance(kind, list) else [kind]


def _is_sidecar(path: str) -> bool:
    return path.endswith(".provenance.json")
