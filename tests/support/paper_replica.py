"""The paper's configuration on a replica of its data: its lists and paths, two simulated subjects of each dataset.

    .venv/bin/python tests/support/paper_replica.py results/replica

`make replica` does this and runs it: all rows of Table 1 in minutes.  The numbers mean nothing.
"""

import sys
from pathlib import Path

import numpy as np
import yaml
from heads import COARSE
from repository_paths import ROOT

from patch2loc.acquire import phantom, sources
from patch2loc.configuration.configuration_file import is_whole, merged
from patch2loc.configuration.method_registry import FROM_PATCHES, NETWORKS
from patch2loc.data import splits, volumes

COHORTS = {"brats21": "tumor", "mslub": "ms", "atlas": "stroke", "wmh": "wmh"}  # healthy: all others
LESION_SCANS = 2  # of each dataset
HEALTHY_SCANS = {"train": 4, "validation": 1, "test": 1}  # in the first fold, of both modalities
# The paper's settings that are too large: everything else stays as it is.
SMALL = {
    "grid": {"shape": [48, 48, 25], "spacing": 4.0},
    "patch": 8,
    "folds": [0],
    "atlas": "icbm152",  # needs no files
    "budget": "smoke",
    "pretrained": {},
    "training": {
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
    },
    "score": {"stride": 1, "median_filter": 3, "threads": 1},
    "device": "cpu",
}
FEW_STEPS = {"steps": 8, "validations": 2, "validation_slices": 8}


def paper_configuration(folder, *overlays, healthy_scans=HEALTHY_SCANS, lesion_scans=LESION_SCANS):
    """A configuration of the repository as run.py reads it; data and results in a folder, most subjects left out.

    It is config/config.yaml with others on top; a whole one takes its place.
    """
    config = {}
    for path in ("config/config.yaml", *overlays):
        given = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
        config = given if is_whole(given) else merged(config, given)
    config |= {"data": str(folder / "data"), "results": str(folder / "results")}
    for dataset in config["datasets"].values():
        dataset["split"] = str(_subject_list(dataset))
        present = _subjects(dataset, healthy_scans, lesion_scans)
        listed = splits.of_modality(splits.read(dataset["split"]), dataset["modality"])["subject"]
        dataset["leave_out"] = [subject for subject in listed if subject not in present]
    return config


def small(config):
    """The configuration at 4 mm, with networks and trainings as small as they go."""
    return config | SMALL | {"method_settings": few_steps(config["methods"])}


def few_steps(methods):
    """Settings of the methods that are trained on slices: as few steps as they go."""
    steps = {name: FEW_STEPS for name in methods if name in NETWORKS and name not in FROM_PATCHES}
    if "cddpm" in steps:
        steps["cddpm"] = {**FEW_STEPS, "pretraining_steps": 4}
    return steps


def simulate_scans(config):
    """Write a simulated scan, with its masks, wherever the configuration looks for one."""
    for name, dataset in config["datasets"].items():
        for index, paths in enumerate(scan_paths(config, name).values()):
            dataset["simulated"] = True
            head = phantom.simulate_subject(COHORTS.get(name, "healthy"), index, 11, COARSE)
            scan = head[dataset["modality"]]
            stripped = dataset["skull_strip"] == "none"
            volumes.write(
                paths["scan"], np.where(scan.brain, scan.array, 0) if stripped else scan.array, scan.affine
            )
            for part, mask in (("brain", scan.brain), ("lesion", scan.lesion)):
                if paths[part]:
                    volumes.write(paths[part], mask, scan.affine)


def touch_scans(config):
    """Make an empty file of every scan and mask that the configuration looks for, and of its weights and atlas."""
    files = [
        path
        for name in config["datasets"]
        for paths in scan_paths(config, name).values()
        for path in paths.values()
    ]
    files += [Path(config["data"], config["atlas"], name) for name in ("spgr.nii", "late.nii")]
    for path in filter(None, files):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write(config, path):
    """Write a configuration; returns its path."""
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return path


def scan_paths(config, name):
    """Files of each subject of a dataset that is not left out: {subject: {"scan", "brain", "lesion"}}."""
    dataset = config["datasets"][name]
    source = dataset["source"] | {"root": str(Path(config["data"], dataset["source"]["root"]))}
    described = {"name": name, "modality": dataset["modality"], "subjects": dataset["split"], **source}
    return splits.without(sources.sources(described), dataset["leave_out"], name)


def _subject_list(dataset):
    split = dataset["split"]
    return ROOT / (split["clean"] if isinstance(split, dict) else split)


def _subjects(dataset, healthy_scans, lesion_scans):
    """Subjects of a dataset that have scans."""
    table = splits.read(dataset["split"])
    if dataset["role"] == "lesion":
        return list(table["subject"][:lesion_scans])
    both = splits.of_modality(table, "T2")
    return [
        subject
        for role, count in healthy_scans.items()
        for subject in both["subject"][both["fold0"] == role][:count]
    ]


def main(folder):
    """Write the replica, and its configuration as replica.yaml beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = small(paper_configuration(folder, "config/table1.yaml"))
    simulate_scans(config)
    print(write(config, folder / "replica.yaml"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
