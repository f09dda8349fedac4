"""Configurations of runs, for tests of what is planned."""

import yaml
from repository_paths import ROOT

REGISTRY = ROOT / "config/registry.csv"
# What the schema fills in.
DEFAULTS = {
    "data": "data",
    "split": "clean",
    "truth": "half",
    "metrics": {"background": "left-out", "best_dice": "exact", "off_grid": "missed"},
    "seeds_of_first_fold": 1,
    "preprocess": {"median": 3},
    "intensities": {"landmarks": "brain", "scale": "percentile"},
    "combinations": {},
    "variants": {},
    "joint": {},
    "without": [],
    "missing_scans": "stop",
    "pretrained": {},
    "checksums": {},
    "budget": "smoke",
    "method_settings": {},
    "precision": "float32",
    "parts": {"epsilons": [0.5], "median_filters": [1, 3, 7], "strides": [1, 2, 4]},
    "detector": {"method": "patch2loc", "healthy": ["validation"], "ages": None},
}
OF_A_DATASET = {
    "published_name": None,
    "simulated": False,
    "split": None,
    "where": {},
    "leave_out": [],
    "registration": None,
    "bias_correction": None,
}


def configuration(folder, datasets=None, **changes):
    """tests/tiny.yaml with its defaults filled in, the data and results in a folder; datasets besides its own."""
    tiny = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text(encoding="utf-8"))
    named = {**tiny["datasets"], **(datasets or {})}
    tiny["score"] = {"median_filter_healthy": None, **tiny["score"]}
    tiny["training"] = {"orientation": "axial", "subjects": None, **tiny["training"]}
    config = {**DEFAULTS, **tiny, "data": str(folder), "results": str(folder / "results"), **changes}
    return config | {"datasets": {name: {**OF_A_DATASET, **entry} for name, entry in named.items()}}


def dataset(role, modality="T1", **entry):
    """An entry of `datasets`, without its source."""
    return {"title": "own", "modality": modality, "role": role, "skull_strip": "none", **entry}


def scan_table(folder, name, scans):
    """A dataset's source: a table of {subject: file} below a folder, whose files and lesion files are made, empty."""
    rows = "".join(f"{subject},T1,{file},,lesion_{subject}.nii.gz\n" for subject, file in scans.items())
    (folder / name).write_text(f"subject,modality,scan,brain,lesion\n{rows}")
    for subject, file in scans.items():
        (folder / file).touch()
        (folder / f"lesion_{subject}.nii.gz").touch()
    return {"kind": "table", "table": str(folder / name)}


def subject_list(folder, name, text):
    """A subject list; its path."""
    (folder / name).write_text(text)
    return str(folder / name)
