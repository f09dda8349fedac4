"""Configurations of runs, for tests of what is planned."""

import yaml
from repository_paths import ROOT

from patch2loc.configuration.presets import completed

REGISTRY = ROOT / "config/registry.csv"


def configuration(folder, datasets=None, **changes):
    """tests/tiny.yaml with its defaults, data and results in a folder; more datasets, and keys changed afterwards."""
    tiny = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text(encoding="utf-8"))
    own = {"data": str(folder), "results": str(folder / "results"), "budget": "smoke", "precision": "float32"}
    named = {**tiny["datasets"], **(datasets or {})}
    return completed({**tiny, **own, "datasets": named}) | changes


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
