"""Runs of whole configurations as workflow/run.py plans them, without their data."""

import runpy
from pathlib import Path

from repository_paths import ROOT


def planned_run(*configurations, pairs=()):
    """The run of configurations, one on top of the other: names in config/, or paths; pairs: KEY=VALUE, on top."""
    paths = [path if isinstance(path, Path) else ROOT / f"config/{path}.yaml" for path in configurations]
    return runpy.run_path(str(ROOT / "workflow/run.py"))["planned_run"](paths, list(pairs))
