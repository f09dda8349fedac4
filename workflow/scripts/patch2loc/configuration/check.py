"""Keys of different groups of a configuration, checked against each other and against what methods declare."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from patch2loc.acquire.sources import SIMULATED
from patch2loc.configuration.method_names import configured, table_rows
from patch2loc.configuration.method_registry import is_method
from patch2loc.configuration.method_settings import resolve_settings
from patch2loc.configuration.results_folder import check_results_folder
from patch2loc.data.splits import SIMULATED_FOLDS
from patch2loc.errors import InputError

MOST_LETTERS = 4096  # of a text, as of a path
CONTROL = re.compile(r"[\x00-\x1f\x7f]")  # also ends of lines, which break tables


def check_configuration(config: Mapping[str, Any]) -> None:
    """Hold the keys of a configuration against each other.

    Args:
        config: Valid by itself, defaults filled in (`presets.completed`).

    Raises:
        InputError: For a configuration that contradicts itself, naming both keys.
    """
    for key, value in _values(config):
        if isinstance(value, float) and not math.isfinite(value):  # of method_settings
            raise InputError(f"{key}: {value} found, a finite number expected; correct it")
        if isinstance(value, str) and (len(value) > MOST_LETTERS or CONTROL.search(value)):
            raise InputError(
                f"{key}: {value[:40]!r}, {len(value):,} letters found, at most {MOST_LETTERS:,} expected, none of "
                "them a control character or an end of line; correct it"
            )
    width, slices = config["patch"], config["grid"]["shape"][:2]
    if width > min(slices):
        raise InputError(
            f"patch: {width} found, at most {min(slices)} expected, as grid.shape says; lower it"
        )
    strides = {
        "score.stride": config["score"]["stride"],
        "parts.strides": max(config["parts"]["strides"], default=1),
    }
    for key, stride in strides.items():
        if stride <= width // 2:
            continue
        raise InputError(
            f"{key}: {stride} found, at most {width // 2} expected, half of patch, so that "
            "two patches in a row overlap by half and no part of the brain is interpolated over; lower it"
        )
    training = config["training"]
    if training["patches"] < training["batch"]:
        raise InputError(
            f"training.patches: {training['patches']} found, at least one batch expected ({training['batch']} by "
            "training.batch); raise the one or lower the other"
        )
    if training["orientation"] != "axial":
        raise InputError(
            f"training.orientation: {training['orientation']} found, axial expected: the patch analysis and the "
            "paper's figures are of axial slices; set it in `variants`"
        )
    if training["subjects"] is not None:
        raise InputError(
            f"training.subjects: {training['subjects']} found, null expected: methods that do not train by `training` "
            "take all scans, and a detector joins methods of the same scans; set it in `variants`"
        )
    _check_rows(configured(config["methods"]))
    unknown = [name for name in config["method_settings"] if name == "patch2loc" or not is_method(name)]
    if unknown:
        raise InputError(
            f"method_settings: {', '.join(unknown)} found, methods expected, whose settings these are (those of "
            "patch2loc are `training`); correct the name, or leave it out"
        )
    for name, changes in config["method_settings"].items():
        resolve_settings(name, config["budget"], changes)
    for name in config["without"]:
        if name not in config["datasets"]:
            raise InputError(
                f"without: {name} found, which `datasets` lacks; name another one, or none "
                f"({', '.join(config['datasets'])})"
            )
    if config["without"] and set(config["training_data"].values()) <= set(config["without"]):
        raise InputError(
            f"without: {', '.join(config['without'])} found, among them all training data "
            f"({', '.join(config['training_data'].values())}), one of these expected to stay; take it off"
        )
    for name, dataset in config["datasets"].items():
        _check_split(name, dataset)
    for name in config["training_data"].values():
        dataset = config["datasets"].get(name, {})
        if dataset.get("role") == "healthy" and dataset["source"]["kind"] == "phantom":
            _check_simulated(name, dataset["source"], config["folds"])


def check_paths(config: Mapping[str, Any]) -> None:
    """Raise InputError when `results` cannot be the folder of a run, or `atlas` is the name of none that there is."""
    check_results_folder(config)
    atlas = config["atlas"]
    if "icbm" in atlas.lower() and atlas != "icbm152" and not Path(config["data"], atlas).is_dir():
        raise InputError(
            f"atlas: {atlas} found, icbm152 expected, or a folder below `data` ({config['data']}) with spgr.nii and "
            "late.nii; correct the name"
        )


def _check_rows(methods: Sequence[str]) -> None:
    """Raise InputError for methods two of which have a row of the same name in tables."""
    rows = table_rows(methods)
    for row in rows:
        if rows.count(row) > 1:
            raise InputError(
                f"methods: {row} found, which is also the name of another method's second row, different names "
                "expected; rename the module"
            )


def _values(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every single value of a configuration, with the keys that lead to it."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _values(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _values(inner, key)
    else:
        yield key, value


def _check_split(name: str, dataset: Mapping[str, Any]) -> None:
    """Raise InputError for a split that is drawn in a dataset without people to draw from."""
    split = dataset["split"]
    if isinstance(split, Mapping) and "test" in split:
        kind = dataset["source"]["kind"]
        if dataset["role"] != "healthy":
            raise InputError(
                f"datasets.{name}.split: numbers of people found for the role {dataset['role']}, the role healthy "
                "expected, where some train; leave it out, and all scans are tested"
            )
        if kind in SIMULATED:
            raise InputError(
                f"datasets.{name}.split: numbers of people found for kind {kind}, which is divided otherwise "
                "(source.validation and source.test of a phantom, a CSV); leave it out"
            )


def _check_simulated(name: str, source: Mapping[str, Any], folds: list[int]) -> None:
    if "test" not in source or "validation" not in source:
        raise InputError(
            f"datasets.{name}.source: a simulated cohort to train on found without `validation` and `test`, numbers of "
            "subjects expected; set both"
        )
    absent = [fold for fold in folds if fold >= SIMULATED_FOLDS]
    if absent:
        raise InputError(
            f"folds: {absent} found, but the simulated cohort {name} is divided into 0 to {SIMULATED_FOLDS - 1}; "
            "ask for these"
        )
