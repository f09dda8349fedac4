"""Chain of the files behind a result, from their provenance and the crate of the run."""

from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from patch2loc.data.results import CRATE
from patch2loc.files import read_json, sha256
from patch2loc.provenance.record import Provenance, sidecar

RUN = "#run"  # the action of a crate for the whole run


class TraceEntry(Provenance):
    """Provenance of a file in a trace.

    Attributes:
        changed: the file is not the one that was made: it was edited, or is no longer there.
    """

    changed: bool


def trace(path: str | Path) -> list[TraceEntry]:
    """Provenance of a file and, in order, of every input that has one.

    A file without a sidecar is looked up in its folder's qc.json (preprocessed scans), then in the crate of the run.
    """
    waiting, chain, visited = [str(path)], [], set()
    while waiting:
        current = waiting.pop(0)
        entry = _sidecar_entry(current) or _crate_entry(current)
        if entry is None or entry["file"] in visited:
            continue
        visited.add(entry["file"])
        chain.append(entry)
        waiting.extend(entry["inputs"])
    return chain


def _sidecar_entry(path: str) -> TraceEntry | None:
    """Provenance beside a file, or that of the scan whose folder it is or is in."""
    for file in (Path(path), Path(path, "qc.json"), Path(path).with_name("qc.json")):
        if sidecar(file).exists():
            provenance: Provenance = read_json(sidecar(file))
            changed = not file.exists() or sha256(file) != provenance["sha256"]
            return {**provenance, "changed": changed}
    return None


def _crate_entry(path: str) -> TraceEntry | None:
    """Provenance of a file or folder by the crate of the run."""
    root = next((folder for folder in Path(path).parents if (folder / CRATE).is_file()), None)
    if root is None:
        return None
    makers, entities = _crate(root, (root / CRATE).stat().st_mtime_ns)
    name = quote(Path(path).relative_to(root).as_posix())
    identifier = next((identifier for identifier in (name, f"{name}/") if identifier in makers), None)
    if identifier is None:
        return None
    action = entities[makers[identifier]]
    digest = entities[identifier].get("sha256")
    objects = [entities[link["@id"]] for link in action.get("object", [])]
    return {
        "file": path,
        "sha256": digest or "",
        "code": entities[action["instrument"]["@id"]]["softwareVersion"],
        "environment": {},
        "configuration": {"rule": action["name"]},
        "subjects": [],
        "inputs": {
            str(root / unquote(entity["@id"])).rstrip("/"): entity.get("sha256", "")
            for entity in objects
            if not entity["@id"].startswith("#")
        },
        "changed": digest is not None and (not Path(path).is_file() or sha256(path) != digest),
    }


@cache
def _crate(root: Path, written: int) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """The action that made each result, {result: action}, and all entities, by their @id.

    written: time at which the crate was written, ns, so that a newer crate is read anew.
    """
    entities = {entity["@id"]: entity for entity in read_json(root / CRATE)["@graph"]}
    actions = [
        entity for entity in entities.values() if entity["@type"] == "CreateAction" and entity["@id"] != RUN
    ]
    return {link["@id"]: action["@id"] for action in actions for link in action["result"]}, entities
