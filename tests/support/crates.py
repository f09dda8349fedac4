"""What the crate of a run must hold."""

import re
from urllib.parse import unquote

from patch2loc.data.results import CRATE
from patch2loc.files import read_json, sha256


def entities_of(results):
    return {entity["@id"]: entity for entity in read_json(results / CRATE)["@graph"]}


def linked(entities, *references):
    return [entities[each["@id"]] for each in references]


def check_files(results):
    """Every file and folder of a crate is there, and the files are the ones that it describes; how many files."""
    files = 0
    for identifier, entity in entities_of(results).items():
        path = results / unquote(identifier)
        if "Dataset" in entity["@type"]:
            assert path.is_dir(), identifier
        elif "File" in entity["@type"]:
            files += 1
            assert sha256(path) == entity["sha256"], identifier
            assert path.stat().st_size == int(entity["contentSize"])
            assert re.fullmatch(r"[a-z]+/[\w.+-]+", entity["encodingFormat"])
    return files


def training_scans(results, table):
    """Scans that the models behind a table were trained on, found by links from what was made to what was given."""
    entities = entities_of(results)
    makers = {
        made["@id"]: entity
        for entity in entities.values()
        if entity["@type"] == "CreateAction" and entity["@id"] != "#run"
        for made in entity["result"]
    }
    waiting, seen, found = [table], set(), set()
    while waiting:
        current = waiting.pop()
        if current in seen or current not in makers:
            continue
        seen.add(current)
        given = linked(entities, *makers[current].get("object", []))
        if current.endswith("model.safetensors"):
            found |= {
                scan["@id"]
                for each in given
                if each["@type"] == "Collection"
                for scan in linked(entities, *each["hasPart"])
            }
        waiting += [each["@id"] for each in given]
    return found
