"""Actions of a crate: every job with its code, its inputs and its outputs, and the run as a whole."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from patch2loc import __version__
from patch2loc.data.results import PREPROCESSED, RAW
from patch2loc.errors import InputError
from patch2loc.provenance.crate_entities import (
    CONFIGURATION,
    WORKFLOW,
    Entities,
    Entity,
    Job,
    content_id,
    links,
    without_absolute_paths,
)
from patch2loc.provenance.record import SUFFIX, read_provenance, sidecar
from patch2loc.provenance.trace import RUN


def add_action(entities: Entities, job: Job) -> None:
    """Add the action of a job, unless none of its outputs is there."""
    outputs = [path for path in job["outputs"] if Path(path).exists() and not path.endswith(SUFFIX)]
    if not outputs:
        return
    records = [read_provenance(sidecar(path)) for path in outputs if sidecar(path).is_file()]
    provenance: Mapping[str, Any] = records[0] if records else {}
    environment = provenance.get("environment", {})
    instrument = _add_instrument(entities, job, environment)
    objects = _add_inputs(entities, job["inputs"], provenance.get("inputs", {}))
    objects += _add_configuration(entities, provenance.get("configuration", {}))
    machine_and_device = {name: {**environment, **provenance}.get(name) for name in ("machine", "device")}
    entities.add(
        f"#{job['rule']}/{quote(entities.relative(outputs[0]) or Path(outputs[0]).name)}",
        "CreateAction",
        name=job["rule"],
        description=job["about"],
        instrument={"@id": instrument},
        object=links(objects),
        result=links(map(entities.data, outputs)),
        startTime=provenance.get("started"),
        endTime=provenance.get("finished"),
        environment=links(
            entities.value(name, value) for name, value in machine_and_device.items() if value is not None
        ),
    )


def add_run(entities: Entities) -> Entity:
    """Add the action of the run as a whole, from its inputs to all that it made, and return its entity.

    Raises:
        InputError: when no file has the time at which it was made.
    """
    times = _times(entities)
    if not times:
        raise InputError(
            f"{entities.results}: no *.provenance.json with times found, those of a finished run expected; run the "
            "workflow to its end first"
        )
    results = [link["@id"] for action in entities.of_type("CreateAction") for link in action["result"]]
    raw_data = [identifier for identifier in entities.by_id if identifier.startswith(f"{RAW}/")]
    entities.add(
        RUN,
        "CreateAction",
        name=f"Run of the Patch2Loc workflow {__version__}",
        instrument={"@id": WORKFLOW},
        object=links([CONFIGURATION, *raw_data]),
        result=links(results),
        startTime=times[0],
        endTime=times[-1],
    )
    return entities.by_id[RUN]


def _add_instrument(entities: Entities, job: Job, environment: Mapping[str, str]) -> str:
    """Add the rule of a job as a program, with its code and packages; returns its identifier."""
    packages = [
        entities.add(f"#{name}-{version}", "SoftwareApplication", name=name, softwareVersion=version)
        for name, version in environment.items()
        if name != "machine"
    ]
    return entities.add(
        content_id(job["rule"], [job["code"], environment]),
        "SoftwareApplication",
        name=f"rule {job['rule']} of the Patch2Loc workflow {__version__}",
        description="softwareVersion is the hash of the code behind the rule",
        softwareVersion=job["code"],
        softwareRequirements=links(packages),
        isPartOf={"@id": WORKFLOW},
    )


def _add_inputs(entities: Entities, inputs: Iterable[str], digests: Mapping[str, str]) -> list[str]:
    """Add the files that a job read; returns their identifiers.

    inputs: of the rule.  digests: {path: SHA-256} of the files that the job's provenance lists. Scans become one
    collection, which jobs that read the same scans share.
    """
    scans = {path: scan for path in digests if (scan := _dataset_and_subject(entities, path))}
    identifiers = [entities.data(path, digest) for path, digest in digests.items() if path not in scans]
    identifiers += map(entities.data, inputs)
    if scans:
        identifiers.append(_add_collection(entities, list(dict.fromkeys(scans.values()))))
    return identifiers


def _dataset_and_subject(entities: Entities, path: str) -> tuple[str, str] | None:
    """Dataset and subject of a file of a preprocessed scan; None for another file."""
    match Path(entities.relative(path) or "").parts:
        case (folder, dataset, subject, _) if folder == PREPROCESSED and dataset in entities.datasets:
            return dataset, subject
    return None


def _add_collection(entities: Entities, scans: list[tuple[str, str]]) -> str:
    """Add a collection of scans, each (dataset, subject); returns its identifier."""
    names = " and ".join(dict.fromkeys(entities.label(dataset) for dataset, _ in scans))
    return entities.add(
        content_id("scans", scans),
        "Collection",
        name=f"{len(scans)} scans of {names}",
        hasPart=links(entities.scan(*scan) for scan in scans),
    )


def _add_configuration(entities: Entities, configuration: Mapping[str, Any]) -> list[str]:
    """Add the configuration of a job, and its seed once more by itself; returns their identifiers."""
    identifiers = []
    if configuration:
        text = json.dumps(without_absolute_paths(configuration))
        identifiers.append(entities.value("configuration", text))
    if "seed" in configuration:
        identifiers.append(entities.value("seed", configuration["seed"]))
    return identifiers


def _times(entities: Entities) -> list[str]:
    """Times at which the processes that made the results started and finished, UTC, sorted."""
    records = [read_provenance(path) for path in sorted(map(sidecar, entities.maker)) if path.is_file()]
    return sorted(record[key] for record in records for key in ("started", "finished") if key in record)
