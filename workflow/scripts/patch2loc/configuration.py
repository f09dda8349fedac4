"""What a schema cannot say of a configuration: keys that are right alone and contradict each other."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from patch2loc.errors import InputError
from patch2loc.methods import LOCATING, runs_network
from patch2loc.splits import SIMULATED_FOLDS


def check_configuration(config: Mapping[str, Any]) -> None:
    """Raise InputError, naming both keys, when a configuration contradicts itself.

    config: valid by the schema, defaults filled in.
    """
    for key, value in _numbers(config):
        if not math.isfinite(value):
            raise InputError(f"{key}: {value} found, a finite number expected; correct it")
    width, slices = config["patch"], config["grid"]["shape"][:2]
    if width > min(slices):
        raise InputError(
            f"patch: {width} found, at most {min(slices)} expected, as grid.shape says; lower it"
        )
    training = config["training"]
    if training["patches"] < training["batch"]:
        raise InputError(
            f"training.patches: {training['patches']} found, at least one batch expected ({training['batch']} by "
            "training.batch); raise the one or lower the other"
        )
    unused = sorted(set(config["method_settings"]) - (set(config["methods"]) - {"patch2loc"}))
    if unused:
        raise InputError(
            f"method_settings: {', '.join(unused)} found, methods of `methods` expected, whose settings these are "
            "(those of patch2loc are `training`); correct the name, or leave it out"
        )
    for name in config["training_data"].values():
        dataset = config["datasets"].get(name, {})
        if dataset.get("role") == "healthy" and dataset["source"]["kind"] == "phantom":
            _check_simulated(name, dataset["source"], config["folds"])


def training_settings(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the configuration says of a method's training, for `methods.complete`.

    Of a method of LOCATING the training without what changes no number, and under "own" its `method_settings`, where
    there are any; of others `method_settings`, and of networks the budget.
    """
    own = config["method_settings"].get(name, {})
    if name in LOCATING:
        training = {
            key: value for key, value in config["training"].items() if key not in ("threads", "memory_mb")
        }
        return training | ({"own": own} if own else {})
    return {"budget": config["budget"], **own} if runs_network(name) else own


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a configuration, with the keys that lead to it: bounds of a schema let NaN through."""
    if isinstance(value, float):
        yield key, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _numbers(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner, key)


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
