# What the rules of data.smk and train.smk ask: what the registry knows, what can be obtained now, what methods take.
import os

from patch2loc.acquire import unpack as unpackers
from patch2loc.acquire.decrypt import PASSPHRASE_VARIABLE


@cache
def registered_data():
    """The needed data that the registry knows, by name."""
    return {name: entry for name, entry in needed_data().items() if entry.get("registry")}


def reading(registered):
    """Datasets that read the files of a name in the registry."""
    return {name: entry for name, entry in registered_data().items() if entry["registry"] == registered}


@cache
def obtained_data():
    """Summaries of what can be unpacked now; what needs a person is said, and stops nothing."""
    try:
        names, message = registry.obtainable(
            registered_data(), known_data(), config["data"], bool(os.environ.get(PASSPHRASE_VARIABLE))
        )
    except InputError as error:
        raise WorkflowError(str(error)) from error
    if message:
        logger.warning(message)
    return [str(registry.summary(config["data"], name)) for name in names]


def downloadable(registered):
    """Rows of the registry to download, without the columns that are for readers."""
    needed = registered_data() if registered in unpackers.NAMES else {registered: {"registry": registered}}
    rows = registry.downloadable(needed, known_data(), registered)
    return [{key: row[key] for key in ("file", "url", "bytes", "checksum", "fetch")} for row in rows]


def archives_of(wildcards):
    """Input function: the list of what was downloaded, or the archives that were put into place."""
    folder = registry.downloads(config["data"], wildcards.registered)
    if downloadable(wildcards.registered):
        return str(folder / unpackers.MANIFEST)
    return [str(path) for path in unpackers.waiting(folder)]


def usable_weights():
    """Weights from elsewhere that the methods of the configuration can use."""
    try:
        asked = {name for method in METHODS for name in method_constants.declared(method, "PRETRAINED")}
    except InputError as error:
        raise WorkflowError(str(error)) from error
    return [name for name in prerequisites.WEIGHTS if name in asked]


@cache
def published_weights(method):
    """The registry's rows of the weights from elsewhere that a method can use and the configuration has, by name."""
    rows = known_data().set_index("dataset", drop=False).loc[list(prerequisites.WEIGHTS)]
    rows = rows[["file", "url", "checksum"]].to_dict("index")
    try:
        return {name: rows[name] for name in prerequisites.weights_given(method, config["pretrained"], rows)}
    except InputError as error:
        raise WorkflowError(str(error)) from error


@cache
def needed_methods(method):
    """The methods whose models of the same modality and fold a method takes."""
    try:
        return prerequisites.methods_needed(method, METHODS)
    except InputError as error:
        raise WorkflowError(str(error)) from error


def models_of_needed(wildcards):
    """Input function: models of the methods that a method needs."""
    folder = f"{wildcards.modality}/fold{wildcards.fold}"
    return [
        f"{RESULTS}/models/{name}/{folder}/model.safetensors" for name in needed_methods(wildcards.method)
    ]
