"""What was done in a run, as actions of a crate: what each job did, with which code, and from what; the whole run."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from patch2loc import __version__
from patch2loc.data.results import PREPROCESSED
from patch2loc.errors import InputError
from patch2loc.files import read_json
from patch2loc.provenance.crate_entities import (
    CONFIGURATION,
    WORKFLOW,
    Entities,
    links,
    named,
    without_absolute_paths,
)
from patch2loc.provenance.record import sidecar
from patch2loc.provenance.trace import RUN


def add_action(entities: Entities, job: Mapping[str, Any]) -> None:
    """What a job did, as `crate.write_crate` has it; nothing where none of its outputs is there."""
    made = [path for path in job["outputs"] if Path(path).exists() and not path.endswith(".provenance.json")]
    if not made:
        return
    records = [read_json(sidecar(path)) for path in made if sidecar(path).is_file()]
    told = records[0] if records else {}
    instrument = _add_instrument(entities, job, told.get("environment", {}))
    given = _add_inputs(entities, job["inputs"], told.get("inputs", {}))
    given += _add_configuration(entities, told.get("configuration", {}))
    where = told.get("environment", {}) | told
    entities.add(
        f"#{job['rule']}/{quote(entities.relative(made[0]) or Path(made[0]).name)}",
        "CreateAction",
        name=job["rule"],
        description=job["about"],
        instrument={"@id": instrument},
        object=links(given),
        result=links(map(entities.data, made)),
        startTime=told.get("started"),
        endTime=told.get("finished"),
        environment=links(
            entities.value(name, where[name]) for name in ("machine", "device") if name in where
        ),
    )


def add_run(entities: Entities) -> dict[str, Any]:
    """The run as a whole, from what was given to all that was made; its entity.

    Raises InputError when no file tells when it was made.
    """
    times = _times(entities)
    if not times:
        raise InputError(
            f"{entities.results}: no *.provenance.json with times found, those of a finished run expected; run the "
            "workflow to its end first"
        )
    made = [each["@id"] for action in entities.of_type("CreateAction") for each in action["result"]]
    given = [identifier for identifier in entities.by_id if identifier.startswith("raw/")]
    entities.add(
        RUN,
        "CreateAction",
        name=f"Run of the Patch2Loc workflow {__version__}",
        instrument={"@id": WORKFLOW},
        object=links([CONFIGURATION, *given]),
        result=links(made),
        startTime=times[0],
        endTime=times[-1],
    )
    return entities.by_id[RUN]


def _add_instrument(entities: Entities, job: Mapping[str, Any], environment: Mapping[str, str]) -> str:
    """The rule as a program: its code, and the packages that it ran with."""
    packages = [
        entities.add(f"#{name}-{version}", "SoftwareApplication", name=name, softwareVersion=version)
        for name, version in environment.items()
        if name != "machine"
    ]
    return entities.add(
        named(job["rule"], [job["code"], environment]),
        "SoftwareApplication",
        name=f"rule {job['rule']} of the Patch2Loc workflow {__version__}",
        description="softwareVersion is the hash of the code behind the rule",
        softwareVersion=job["code"],
        softwareRequirements=links(packages),
        isPartOf={"@id": WORKFLOW},
    )


def _add_inputs(entities: Entities, inputs: Iterable[str], digests: Mapping[str, str]) -> list[str]:
    """What a job read.

    inputs: of the rule.  digests: what the job says that it read, and the checksums; scans are one collection, which
    jobs that read the same ones share.
    """
    scans = {path: scan for path in digests if (scan := _scan_of(entities, path))}
    given = [entities.data(path, digest) for path, digest in digests.items() if path not in scans]
    given += map(entities.data, inputs)
    if scans:
        given.append(_add_collection(entities, list(dict.fromkeys(scans.values()))))
    return given


def _scan_of(entities: Entities, path: str) -> tuple[str, str] | None:
    """Dataset and subject of a file of a preprocessed scan; None for another file."""
    parts = Path(entities.relative(path) or "").parts
    found = len(parts) == 4 and parts[0] == PREPROCESSED and parts[1] in entities.datasets
    return parts[1:3] if found else None


def _add_collection(entities: Entities, scans: list[tuple[str, str]]) -> str:
    names = " and ".join(dict.fromkeys(entities.label(dataset) for dataset, _ in scans))
    return entities.add(
        named("scans", scans),
        "Collection",
        name=f"{len(scans)} scans of {names}",
        hasPart=links(entities.scan(*scan) for scan in scans),
    )


def _add_configuration(entities: Entities, configuration: Mapping[str, Any]) -> list[str]:
    """What a job was told by the configuration, and the seed once more by itself."""
    given = []
    if configuration:
        text = json.dumps(without_absolute_paths(configuration))
        given.append(entities.value("configuration", text))
    if "seed" in configuration:
        given.append(entities.value("seed", configuration["seed"]))
    return given


def _times(entities: Entities) -> list[str]:
    """When the processes began and ended that the results' files tell of, in UTC, sorted."""
    records = [read_json(path) for path in sorted(map(sidecar, entities.maker)) if path.is_file()]
    return sorted(record[key] for record in records for key in ("started", "finished") if key in record)
