"""Chain of the files behind a result: from their provenance, the summary of one scan, and the crate of the run."""

import hashlib
import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from patch2loc.data.image_files import image_sha256
from patch2loc.data.results import CRATE
from patch2loc.data.vocabulary import QUALITY
from patch2loc.errors import InputError
from patch2loc.files import MAKE_AGAIN, misfit, read_json, sha256
from patch2loc.provenance.record import Provenance, read_provenance, sidecar

RUN = "#run"  # the action of a crate for the whole run
SUMMARY = "summary.json"  # of the result of one scan
LARGEST_HEADER = 100_000_000  # bytes, as safetensors allow
# What the summary of the result of one scan, and an action of a crate, have; as forms of `files.misfit`.
TRACED = {
    "scan": str,
    "model": str,
    "provenance": {"scan": str, "model": str, "code": str, "environment": dict, "settings": dict},
}
LINK = {"@id": str}
ACTION = {"name": str, "instrument": LINK, "object": [LINK], "result": [LINK]}
HASHES = "files"  # in a summary: SHA-256 of each file of the result, and for the summary of its other content


class TraceEntry(Provenance):
    """Provenance of a file in a trace.

    Attributes:
        changed: the file was edited, or is no longer there.
        missing: it is not there: it was moved or deleted, or is named relative to another folder.
    """

    changed: bool
    missing: bool


def trace(path: str | Path) -> list[TraceEntry]:
    """Provenance of a file and, in order, of every input that has one.

    A file without a sidecar is looked up in its folder's qc.json (preprocessed scans), in the summary.json of the
    result of one scan (`patch2loc.own_scan`), then in the crate of the run.  Such a summary names its inputs with their
    hashes: each of them is listed, and a model with what its file says of its training.

    Args:
        path: File of a result, or folder of the result of one scan.

    Raises:
        InputError: A provenance, a summary or the crate is damaged.
    """
    waiting, chain, visited = [str(path)], [], set()
    while waiting:
        current = os.path.expanduser(waiting.pop(0))
        entry = _sidecar_entry(current)
        entries = [entry] if entry else _result_of_scan(current) or _crate_entries(current)
        for entry in entries:
            if entry["file"] not in visited:
                visited.add(entry["file"])
                chain.append(entry)
                waiting.extend(entry["inputs"])
    return chain


def content_hash(summary: Mapping[str, Any]) -> str:
    """SHA-256 of a summary's content but for its hashes of files."""
    content = {name: value for name, value in summary.items() if name != HASHES}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _result_of_scan(path: str) -> list[TraceEntry]:
    """Entry of a file of the result of one scan, or of its folder, and those of what the result was made from."""
    folder = next(
        (each for each in (Path(path), *Path(path).parents[:2]) if (each / SUMMARY).is_file()), None
    )
    if folder is None:
        return []
    summary = read_json(folder / SUMMARY)
    name = SUMMARY if folder == Path(path) else Path(path).relative_to(folder).as_posix()
    if misfit(
        summary, TRACED | {HASHES: {name: str}}
    ):  # of another program, or the file is not of the result
        return []
    digest, provenance = summary[HASHES][name], summary["provenance"]
    changed = content_hash(summary) != digest if name == SUMMARY else _digest(folder / name) != digest
    inputs = {
        _found(str(summary[kind]), folder, provenance[kind]): provenance[kind] for kind in ("scan", "model")
    }
    others = {kind: provenance[kind] for kind in ("mask", "landmarks") if provenance.get(kind)}
    answer = {key: summary[key] for key in ("answer", "warnings") if key in summary}
    entry: TraceEntry = {
        "file": str(folder / name),
        "sha256": digest,
        "code": provenance["code"],
        "environment": provenance["environment"],
        "configuration": {**answer, **provenance["settings"], **others},
        "subjects": [str(summary["scan"])],
        "inputs": inputs,
        "changed": changed,
        "missing": not (folder / name).exists(),
    }
    return [entry, *(_input_of_scan(file, digest) for file, digest in inputs.items())]


def _found(path: str, folder: Path, digest: str) -> str:
    """Where a file is that a summary names from the folder that `detect` ran in, which it does not name.

    That is most often a folder above the result, or the current one. A file with the recorded content comes first, as
    another scan can have the same name.
    """
    places = dict.fromkeys([*(above / path for above in folder.absolute().parents), Path(path)])
    there = [place for place in places if place.exists()]
    return str(next((place for place in there if _digest(place) == digest), there[0] if there else path))


def _input_of_scan(path: str, digest: str) -> TraceEntry:
    """Entry of a file that the result of one scan was made from: the scan or the model."""
    recorded = _sidecar_entry(path)
    if recorded and recorded["sha256"] == digest:
        return recorded
    training = _training(path)
    return {
        "file": path,
        "sha256": digest,
        "code": training.get("code", ""),
        "environment": training.get("environment", {}),
        "configuration": training.get("configuration", {}),
        "subjects": training.get("subjects", []),
        "inputs": {},
        "changed": _digest(path) != digest,
        "missing": not Path(path).exists(),
    }


def _training(path: str) -> dict[str, Any]:
    """What the file of a model says of its training: its provenance, and its cohort in the configuration."""
    try:
        with open(path, "rb") as stream:
            # As safetensors begin, which the environment of the crate does not have.
            size = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(min(size, LARGEST_HEADER)))
        content = json.loads(next(iter(header["__metadata__"].values())))
        training: dict[str, Any] = content["provenance"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return {}
    cohort = content.get("reference", {}).get("cohort")
    about = {"cohort": cohort} if cohort else {}
    return {**training, "configuration": {**about, **training.get("configuration", {})}}


def _digest(path: str | Path) -> str | None:
    """SHA-256 as of the inputs of a result; None for what cannot be read any more."""
    try:
        return image_sha256(path)
    except InputError:
        return None


def _sidecar_entry(path: str) -> TraceEntry | None:
    """Provenance beside a file, or that of the scan whose folder it is or is in."""
    for file in (Path(path), Path(path, QUALITY), Path(path).with_name(QUALITY)):
        if sidecar(file).exists():
            provenance = read_provenance(sidecar(file))
            changed = not file.exists() or sha256(file) != provenance["sha256"]
            return {**provenance, "changed": changed, "missing": not file.exists()}
    return None


def _crate_entries(path: str) -> list[TraceEntry]:
    """Provenance of a file or folder by the crate of the run; none where there is no crate, or it does not say."""
    root = next((folder for folder in Path(path).parents if (folder / CRATE).is_file()), None)
    if root is None:
        return []
    makers, entities = _crate(root, (root / CRATE).stat().st_mtime_ns)
    name = quote(Path(path).relative_to(root).as_posix())
    identifier = next((identifier for identifier in (name, f"{name}/") if identifier in makers), None)
    if identifier is None:
        return []
    action = entities[makers[identifier]]
    digest = entities[identifier].get("sha256")
    objects = [entities[link["@id"]] for link in action["object"]]
    entry: TraceEntry = {
        "file": path,
        "sha256": digest or "",
        "code": entities[action["instrument"]["@id"]].get("softwareVersion", ""),
        "environment": {},
        "configuration": {"rule": action["name"]},
        "subjects": [],
        "inputs": {
            str(root / unquote(entity["@id"])).rstrip("/"): entity.get("sha256", "")
            for entity in objects
            if not entity["@id"].startswith("#")
        },
        "changed": digest is not None and (not Path(path).is_file() or sha256(path) != digest),
        "missing": not Path(path).exists(),
    }
    return [entry]


@cache
def _crate(root: Path, written: int) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """The action that made each result, {result: action}, and all entities, by their @id.

    written: time at which the crate was written, ns, so that a newer crate is read anew.
    """
    entities = {entity["@id"]: entity for entity in read_json(root / CRATE, {"@graph": [LINK]})["@graph"]}
    actions = [
        {"object": [], **entity}
        for entity in entities.values()
        if entity.get("@type") == "CreateAction" and entity["@id"] != RUN
    ]
    problem = misfit(actions, [ACTION], "the list of actions") or next(
        (
            f"{link['@id']!r} of an action is not described"
            for action in actions
            for link in (action["instrument"], *action["object"], *action["result"])
            if link["@id"] not in entities
        ),
        None,
    )
    if problem:
        raise InputError(f"{root / CRATE}: {problem}; {MAKE_AGAIN}")
    entities |= {action["@id"]: action for action in actions}
    return {link["@id"]: action["@id"] for action in actions for link in action["result"]}, entities
