"""What a schema cannot say of a configuration: keys that are right alone and contradict each other."""

from collections.abc import Mapping
from typing import Any

from patch2loc.errors import InputError
from patch2loc.splits import SIMULATED_FOLDS


def check_configuration(config: Mapping[str, Any]) -> None:
    """Raise InputError, naming both keys, when a configuration contradicts itself.

    config: valid by the schema, defaults filled in.
    """
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
    for name in config["training_data"].values():
        dataset = config["datasets"].get(name, {})
        if dataset.get("role") == "healthy" and dataset["source"]["kind"] == "phantom":
            _check_simulated(name, dataset["source"], config["folds"])


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
