"""The folder of a run's results: one of its own, in which nothing else is that a run could overwrite or remove."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from patch2loc.data.results import Results
from patch2loc.errors import InputError
from patch2loc.files import RUN_GROUP, RUN_LOCK

REPOSITORY = Path(__file__).resolve().parents[4]
# Folders of the repository, besides hidden ones.
REPOSITORY_FOLDERS = (
    "benchmarks",
    "config",
    "docs",
    "envs",
    "profiles",
    "rules",
    "splits",
    "tests",
    "workflow",
)
RUN_MARKS = (RUN_LOCK, RUN_GROUP)  # in the folder of a run by workflow/run.py
OTHERS_BELOW = (*RUN_MARKS, ".snakemake")  # of another run, or of the folder that one works in
# In the folders of a run that are replaced whole and that others may call the same.
VIEWER_PAGE, CRATE_CONFIGURATION = "viewer.html", "configuration.json"
DERIVATIVES = "derivatives"  # of a BIDS dataset: the place for results in it
ANOTHER = "a folder of its own expected; name another one"


def check_results_folder(config: Mapping[str, Any]) -> None:
    """Check that `results` holds no data, nothing of the workflow and nothing of another run, and lies in none.

    Args:
        config: With the key `results`; of the others those that are there and of the right type are taken, so that
            it can be called before the rest is valid.

    Raises:
        InputError: It does; the message names the folder that is in the way.
    """
    name = config["results"]
    results = Path(os.path.realpath(name))
    file = next((path for path in (Path(name), *Path(name).parents) if os.path.isfile(path)), None)
    if file:
        raise InputError(f"results: {name} found, but {file} is a file, a folder expected; name another one")
    for key, path in _data_paths(config):
        if Path(os.path.realpath(path)).is_relative_to(results):
            raise InputError(f"results: {name} found, which is or contains {path}, the {key}, {ANOTHER}")
    for key, root in _searched_folders(config):
        searched = Path(os.path.realpath(root))
        if results.is_relative_to(searched) and DERIVATIVES not in results.relative_to(searched).parts:
            raise InputError(
                f"results: {name} found, which lies in {root}, the {key}, where scans are looked for, a folder outside "
                f"of it or in its {DERIVATIVES} expected; name another one"
            )
    own = _of_the_repository(results)
    if own:
        raise InputError(
            f"results: {name} found, which is, contains or lies in {own}, the workflow itself, {ANOTHER}"
        )
    above = [path / mark for path in results.parents for mark in RUN_MARKS]
    mark = next(filter(os.path.exists, above), None)
    if mark:
        raise InputError(
            f"results: {name} found, which lies in the results of another run ({mark} is there), {ANOTHER}"
        )
    below = (
        path for depth in ("*", "*/*") for mark in OTHERS_BELOW for path in results.glob(f"{depth}/{mark}")
    )
    mark = next(below, None)
    if mark:
        raise InputError(f"results: {name} found, in which another run works ({mark} is there), {ANOTHER}")
    written = Results(name)
    for folder, content in ((written.viewer(), VIEWER_PAGE), (written.crate_workflow(), CRATE_CONFIGURATION)):
        if Path(folder).is_dir() and any(Path(folder).iterdir()) and not Path(folder, content).exists():
            raise InputError(
                f"results: {name} found, whose folder {folder} is not of a run (without {content}) and would be "
                f"replaced, {ANOTHER}"
            )


def _datasets(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Name, entry and source of each dataset that is one as far as its types go."""
    datasets = config.get("datasets")
    for name, dataset in datasets.items() if isinstance(datasets, Mapping) else ():
        if isinstance(dataset, Mapping):
            source = dataset.get("source")
            yield name, dataset, source if isinstance(source, Mapping) else {}


def _data_paths(config: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Folders and files of data that a configuration names, each with its keys."""
    data = config.get("data", "data")
    if not isinstance(data, str):
        return
    yield "folder `data`", Path(data)
    for name, dataset, source in _datasets(config):
        split = dataset.get("split")
        lists = {"split": split} if isinstance(split, str) else split if isinstance(split, Mapping) else {}
        for value in lists.values():
            if isinstance(value, str):
                yield f"`split` of the dataset {name}", Path(value)
        if isinstance(source.get("table"), str):
            yield f"`table` of the dataset {name}", Path(source["table"])
        if isinstance(source.get("root"), str):
            yield f"`root` of the dataset {name}", Path(data, source["root"])


def _searched_folders(config: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Roots of the datasets whose scans are found by their paths, each with its keys."""
    data = config.get("data", "data")
    for name, _, source in _datasets(config):
        root = source.get("root") or "."
        if source.get("kind") in ("folder", "bids") and isinstance(data, str) and isinstance(root, str):
            yield f"`root` of the dataset {name}", Path(data, root)


def _of_the_repository(results: Path) -> Path | None:
    """The folder of the workflow's repository that a folder is, contains or lies in; None for any other."""
    package = Path(__file__).resolve().parents[1]
    if package.is_relative_to(results):
        return package
    if not (REPOSITORY / "Snakefile").is_file() or not results.is_relative_to(REPOSITORY):
        return None
    first = results.relative_to(REPOSITORY).parts[0]
    return REPOSITORY / first if first in REPOSITORY_FOLDERS or first.startswith(".") else None
