"""Configurations that are wrong or contradict themselves, each with its message, as in hostile_scans.py."""

from pathlib import Path

import numpy as np
import yaml
from snakemake.utils import validate

from patch2loc.configuration import check_configuration

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
TINY = (ROOT / "tests/tiny.yaml").read_text(encoding="utf-8")


def changed(path, value):
    """The configuration of the tests with one key set."""
    config = yaml.safe_load(TINY)
    *groups, key = path.split(".")
    holder = config
    for group in groups:
        holder = holder[group]
    holder[key] = value
    return config


def configured(path, value):
    return lambda _: lambda: validate(changed(path, value), str(SCHEMA))


def contradictory(path, value):
    def make(_):
        config = changed(path, value)
        validate(config, str(SCHEMA))
        return lambda: check_configuration(config)

    return make


WMH = "datasets.phantom_wmh"
FOLDER = {"kind": "folder", "root": "own", "scan": "{subject}.nii.gz"}
LESIONS = {"title": "own", "modality": "T1", "role": "lesion", "source": FOLDER}
TRAINING = {"kind": "phantom", "cohort": "healthy", "count": 6}
CONFIGURATION = {
    "unknown key": (
        configured("colour", 1),
        r"Additional properties are not allowed \('colour' was unexpected\)",
    ),
    "not a number": (
        contradictory("training.learning_rate", float("nan")),
        "training.learning_rate: nan found, a finite number expected",
    ),
    "an endless number": (contradictory("phantom.noise", float("inf")), "phantom.noise: inf found"),
    "unknown key in a group": (
        configured("training.epochs", 1),
        "'epochs' was unexpected(.|\n)*instance.'training'",
    ),
    "text for a number": (configured("seed", "7"), "'7' is not of type 'integer'(.|\n)*On instance.'seed'"),
    "truth for a number": (
        configured("patch", True),
        "True is not of type 'integer'(.|\n)*On instance.'patch'",
    ),
    "number for a text": (configured("results", 5), "5 is not of type 'string'(.|\n)*On instance.'results'"),
    "list for a group": (
        configured("training", [1]),
        r"\[1\] is not of type 'object'(.|\n)*On instance.'training'",
    ),
    "nothing for a group": (
        configured("datasets", None),
        "None is not of type 'object'(.|\n)*On instance.'datasets'",
    ),
    "text for a list": (configured("folds", "0"), "'0' is not of type 'array'(.|\n)*On instance.'folds'"),
    "text for a source": (
        configured(f"{WMH}.source", "x"),
        "'x' is not of type 'object'(.|\n)*'phantom_wmh'..'source'",
    ),
    "value below its minimum": (
        configured("score.stride", 0),
        "0 is less than the minimum of 1(.|\n)*'stride'",
    ),
    "odd patch": (configured("patch", 25), "25 is not a multiple of 2(.|\n)*On instance.'patch'"),
    "infinite learning rate": (
        configured("training.learning_rate", np.inf),
        "inf is greater than the maximum of 1",
    ),
    "grid that fills memory": (
        configured("grid.shape", [99999] * 3),
        "99999 is greater than the maximum of 1024",
    ),
    "fold twice": (
        configured("folds", [0, 0]),
        r"\[0, 0\] has non-unique elements(.|\n)*On instance.'folds'",
    ),
    "modality that is none": (configured(f"{WMH}.modality", "FLAIR"), "'FLAIR' is not one of .'T1', 'T2'."),
    "dataset named as a path": (
        configured("datasets", {"../x": {}}),
        r"'\.\./x' does not match '\^\[a-z0-9_\]\+\$'",
    ),
    "URL of the results": (
        configured("results", "s3://bucket/x"),
        "'s3://bucket/x' does not match(.|\n)*'results'",
    ),
    "URL of the data": (
        configured("data", "https://x.org"),
        "'https://x.org' does not match(.|\n)*On instance.'data'",
    ),
    "folder without a pattern": (
        configured(f"{WMH}.source", {"kind": "folder", "lesion": "x"}),
        "'scan' is a required property",
    ),
    "table without a table": (
        configured(f"{WMH}.source", {"kind": "table"}),
        "'table' is a required property",
    ),
    "simulated cohort of none": (
        configured(f"{WMH}.source", {"kind": "phantom"}),
        "'cohort' is a required property",
    ),
    "test subjects and none to validate": (
        configured(f"{WMH}.source", TRAINING | {"test": 1}),
        "'validation' is a dependency of 'test'",
    ),
    "lesion dataset without lesions": (
        configured(WMH, LESIONS),
        "'lesion' is a required property(.|\n)*'source'",
    ),
    "given brains without brains": (
        configured(WMH, LESIONS | {"skull_strip": "given", "source": FOLDER | {"lesion": "x"}}),
        "'brain' is a required property(.|\n)*'source'",
    ),
    "patch wider than the grid": (
        contradictory("patch", 64),
        "patch: 64 found, at most 48 expected, as grid.shape says",
    ),
    "budget below a batch": (
        contradictory("training.patches", 10),
        "training.patches: 10 found, at least one batch",
    ),
    "simulated training without test": (
        contradictory("datasets.phantom_healthy_t1.source", TRAINING),
        "datasets.phantom_healthy_t1.source: .* without `validation` and `test`, .*; set both",
    ),
    "fold that is not simulated": (
        contradictory("folds", [0, 7]),
        r"folds: \[7\] found, but the simulated cohort .* 0 to 4",
    ),
}

# What the rules find when they plan: (key, value, message).
PLANS = {
    "lesion dataset as training data": (
        "training_data.T1",
        "phantom_wmh",
        "training_data.T1: dataset phantom_wmh of role lesion .* found, a healthy T1 dataset expected; correct",
    ),
    "training data of another modality": (
        "training_data.T1",
        "phantom_healthy_t2",
        "training_data.T1: dataset phantom_healthy_t2 of role healthy and modality T2 found, a healthy T1",
    ),
    "modality without a model": (
        "training_data",
        {"T1": "phantom_healthy_t1"},
        "datasets.phantom_healthy_t2: no model for T2; name a healthy dataset in training_data.T2",
    ),
    "more validation subjects than there are": (
        "datasets.phantom_healthy_t1.source",
        TRAINING | {"validation": 30, "test": 1},
        "6 subjects found, too few for 5 x 30 for validation, .*; give the cohort more subjects or lower these",
    ),
}
