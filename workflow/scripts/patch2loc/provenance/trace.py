"""The chain of files behind a result, from its provenance and the crate of its run."""

from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from patch2loc.files import read_json, sha256
from patch2loc.provenance.record import sidecar

CRATE = "ro-crate-metadata.json"  # in the folder of a run, see patch2loc.provenance.crate
RUN = "#run"  # its action for the whole run


def trace(path: str | Path) -> list[dict[str, Any]]:
    """The provenance of a file and, in order, of every input that has one.  `changed` tells of edited files.

    A file without a sidecar is looked up in its folder's qc.json (preprocessed scans), then in the crate of the run.
    """
    waiting, chain, seen = [str(path)], [], set()
    while waiting:
        current = waiting.pop(0)
        entry = _sidecar_entry(current) or _crate_entry(current)
        if entry is None or entry["file"] in seen:
            continue
        seen.add(entry["file"])
        chain.append(entry)
        waiting.extend(entry["inputs"])
    return chain


def _sidecar_entry(path: str) -> dict[str, Any] | None:
    for described in (Path(path), Path(path, "qc.json"), Path(path).with_name("qc.json")):
        if sidecar(described).exists():
            entry = read_json(sidecar(described))
            changed = not described.exists() or sha256(described) != entry["sha256"]
            return {**entry, "changed": changed}
    return None


def _crate_entry(path: str) -> dict[str, Any] | None:
    """What the crate of the run tells of a file or folder that has no provenance of its own."""
    root = next((folder for folder in Path(path).parents if (folder / CRATE).is_file()), None)
    if root is None:
        return None
    makers, entities = _crate(root, (root / CRATE).stat().st_mtime_ns)
    name = quote(Path(path).relative_to(root).as_posix())
    made = next((made for made in (name, f"{name}/") if made in makers), None)
    if made is None:
        return None
    action = entities[makers[made]]
    digest = entities[made].get("sha256")
    objects = [entities[each["@id"]] for each in action.get("object", [])]
    return {
        "file": path,
        "sha256": digest or "",
        "code": entities[action["instrument"]["@id"]]["softwareVersion"],
        "environment": {},
        "configuration": {"rule": action["name"]},
        "subjects": [],
        "inputs": {
            str(root / unquote(each["@id"])).rstrip("/"): each.get("sha256", "")
            for each in objects
            if not each["@id"].startswith("#")
        },
        "changed": digest is not None and (not Path(path).is_file() or sha256(path) != digest),
    }


@cache
def _crate(root: Path, written: int) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """Who made what, {data: action}, and all entities by their @id, of a crate that was written at a time in ns."""
    entities = {entity["@id"]: entity for entity in read_json(root / CRATE)["@graph"]}
    actions = [
        entity for entity in entities.values() if entity["@type"] == "CreateAction" and entity["@id"] != RUN
    ]
    return {made["@id"]: action["@id"] for action in actions for made in action["result"]}, entities
