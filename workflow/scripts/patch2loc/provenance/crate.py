"""RO-Crate of the results of a run: ro-crate-metadata.json says what each of them is and what made it.

RO-Crate 1.1 with the profile Workflow Run Crate 0.5 (https://w3id.org/ro/wfrun/workflow/0.5).  The metadata is one
JSON-LD file about files that are in place already, so it is written with the json module.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from patch2loc.data.labels import Datasets
from patch2loc.data.results import CRATE
from patch2loc.files import replacing_folder, write_json
from patch2loc.provenance.crate_actions import add_action, add_run
from patch2loc.provenance.crate_entities import (
    PROFILES,
    WORKFLOW,
    Entities,
    Entity,
    Job,
    add_license,
    add_scans,
    add_workflow,
    links,
    without_absolute_paths,
)

ROOT = "./"
CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]


def write_crate(
    results: Path,
    jobs: Sequence[Job],
    *,
    datasets: Datasets,
    configuration: Mapping[str, Any],
    sources: Sequence[Path],
    citation: Mapping[str, Any],
) -> None:
    """Make the folder of a finished run an RO-Crate: write its ro-crate-metadata.json, and workflow/.

    The folder workflow/ receives the sources and the configuration. Absolute paths are cut down to their last part.

    Args:
        results: folder of the run.
        jobs: of its rules; outputs that are not there are left out.
        datasets: as tables describe them.
        configuration: of the run, as JSON.
        sources: the Snakefile, then its rules.
        citation: content of CITATION.cff.

    Raises:
        InputError: when `results` holds no provenance, that is, when nothing was made there yet.
    """
    with replacing_folder(results / "workflow") as folder:
        (folder / "rules").mkdir()
        shutil.copyfile(sources[0], folder / "Snakefile")
        for source in sources[1:]:
            shutil.copyfile(source, folder / "rules" / source.name)
        write_json(folder / "configuration.json", without_absolute_paths(configuration))
    entities = Entities(results, jobs, datasets)
    add_workflow(entities, citation)
    for job in jobs:
        add_action(entities, job)
    add_scans(entities)
    for name in ("benchmarks", "logs"):
        if (results / name).is_dir():
            entities.data(results / name)
    root = _root(entities, add_run(entities))
    graph = [_descriptor(), root, *entities.by_id.values()]
    write_json(results / CRATE, {"@context": CONTEXT, "@graph": graph})


def _descriptor() -> Entity:
    """Entity of the crate's own file."""
    return {
        "@id": CRATE,
        "@type": "CreativeWork",
        "about": {"@id": ROOT},
        "conformsTo": links(["https://w3id.org/ro/crate/1.1", list(PROFILES)[2]]),
    }


def _root(entities: Entities, run: Entity) -> Entity:
    """Entity of the folder of the results, with all that is in no other folder; may add its license to the entities."""
    data = entities.of_type("File", "Dataset")
    nested = {part["@id"] for folder in entities.of_type("Dataset") for part in folder.get("hasPart", [])}
    simulated = entities.simulated(entities.datasets)
    keywords = ["brain", "lesion detection", "MRI", *(["simulated data"] if simulated else [])]
    return {
        "@id": ROOT,
        "@type": "Dataset",
        "name": f"Results of the Patch2Loc workflow: {entities.results.name}",
        "description": "Unsupervised brain lesion detection by patch localization: models, metrics, tables and "
        f"figures of one run on {', '.join(map(entities.label, entities.datasets))}. {simulated}".strip(),
        "keywords": ", ".join(keywords),
        "datePublished": run["endTime"],
        "license": {"@id": add_license(entities)},
        "author": entities.by_id[WORKFLOW]["author"],
        "conformsTo": links(PROFILES),
        "mainEntity": {"@id": WORKFLOW},
        "hasPart": links(entity["@id"] for entity in data if entity["@id"] not in nested),
        "mentions": links(action["@id"] for action in entities.of_type("CreateAction")),
    }
