"""The paper's configuration on a replica of its data: its lists and paths, a few simulated heads, everything small."""

from pathlib import Path

import numpy as np
import yaml
from heads import COARSE
from repository_paths import ROOT

from patch2loc.acquire import phantom, sources
from patch2loc.data import splits, volumes

COHORTS = {"brats21": "tumor", "mslub": "ms", "atlas": "stroke", "wmh": "wmh"}
LESION_SCANS = 2  # of each dataset
HEALTHY = {"train": 4, "validation": 1, "test": 1}  # in the first fold, of both modalities
# What makes it small; all else is that of the paper's configuration.
GRID = {"grid": {"shape": [48, 48, 25], "spacing": 4.0}, "patch": 8, "folds": [0], "atlas": "icbm152"}
STEPS = {"steps": 8, "validations": 2, "validation_slices": 8}
TRAINING = {
    "network": "resnet18-tiny",
    "widths": [4, 8, 8, 16],
    "patches": 4096,
    "batch": 512,
    "learning_rate": 0.01,
    "schedule": "one_cycle",
    "validation_patches": 512,
    "validations": 2,
    "threads": 1,
    "memory_mb": 1000,
}
SCORE = {"stride": 1, "median_filter": 3, "threads": 1}


def paper_configuration(*overlays):
    """config/config.yaml with further files of the repository on top, as `snakemake --configfile` adds them."""
    config = {}
    for path in ("config/config.yaml", *overlays):
        content = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
        _update(config, content)
    return config


def write_replica(folder, *overlays, methods=None, steps=None):
    """Write scans of a few subjects to `folder`/data, where the paper's configuration looks for them.

    Returns:
        The configuration's file: the paper's with `overlays`, at 4 mm and with small networks. All subjects without
        a scan are left out.
    """
    config = paper_configuration(*overlays) | GRID
    config |= {"training": TRAINING, "score": SCORE, "device": "cpu", "budget": "smoke", "pretrained": {}}
    config |= {"data": str(folder / "data"), "results": str(folder / "results")}
    config["methods"] = methods or config["methods"]
    config["method_settings"] = {
        name: {**STEPS, **({"pretraining_steps": 4} if name == "cddpm" else {})}
        for name in config["methods"]
        if name in ("ae", "vae", "svae", "dae", "fae", "ra", "phanes", "ddpm", "pddpm", "cddpm")
    }
    for name, dataset in config["datasets"].items():
        subjects = _subjects(dataset)
        paths = sources.sources(_source(name, dataset, folder / "data"))
        for index, subject in enumerate(subjects):
            head = phantom.simulate_subject(COHORTS.get(name, "healthy"), index, 11, COARSE)
            _write(head[dataset["modality"]], paths[subject], stripped=dataset["skull_strip"] == "none")
        dataset["leave_out"] = [subject for subject in paths if subject not in subjects]
        dataset["simulated"] = True
    (folder / "splits").symlink_to(ROOT / "splits")  # the lists' paths are relative
    path = folder / "replica.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return path


def _subjects(dataset):
    table = splits.read(_list(dataset))
    if dataset["role"] == "lesion":
        return list(table["subject"][:LESION_SCANS])
    both = table[table["has_t2"].astype(int) == 1]
    return [
        subject
        for role, count in HEALTHY.items()
        for subject in both["subject"][both["fold0"] == role][:count]
    ]


def _list(dataset):
    split = dataset["split"]
    return ROOT / (split["clean"] if isinstance(split, dict) else split)


def _source(name, dataset, data):
    source = dataset["source"] | {"root": str(data / dataset["source"]["root"])}
    return {"name": name, "modality": dataset["modality"], "subjects": str(_list(dataset)), **source}


def _write(scan, paths, stripped):
    array = np.where(scan.brain, scan.array, 0) if stripped else scan.array
    for kind, content in (("scan", array), ("brain", scan.brain), ("lesion", scan.lesion)):
        if paths.get(kind):
            volumes.write(Path(paths[kind]), content, scan.affine)


def _update(config, content):
    """Merge nested mappings, as Snakemake does."""
    for key, value in content.items():
        if isinstance(value, dict) and isinstance(config.get(key), dict):
            _update(config[key], value)
        else:
            config[key] = value
