"""Provenance: what made a file, so that every number can be traced (files named *.provenance.json)."""

import platform
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from patch2loc import __version__
from patch2loc.errors import InputError
from patch2loc.files import sha256, write_json

STARTED = datetime.now(UTC)  # of this process: each job is one
PACKAGES = (
    "numpy",
    "scipy",
    "pandas",
    "nibabel",
    "SimpleITK",
    "intensity-normalization",
    "scikit-learn",
    "torch",
    "torchvision",
)


def environment() -> dict[str, str]:
    """Versions of Python, this package and the libraries that numbers depend on; absent ones are left out."""
    versions = {"patch2loc": __version__, "python": platform.python_version(), "machine": platform.machine()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def describe(
    code: str, inputs: Iterable[str | Path], configuration: dict[str, Any], subjects: Iterable[str]
) -> dict[str, Any]:
    """What made a file: code, environment, configuration (with seeds), subjects, and its inputs' hashes."""
    return {
        "code": code,
        "environment": environment(),
        "configuration": configuration,
        "subjects": list(subjects),
        "inputs": {str(path): sha256(path) for path in inputs},
    }


def device() -> str:
    """The GPU that this process has used, else the processor, with the threads of torch where it is loaded."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    name = next(models, platform.processor() or platform.machine())
    return name if torch is None else f"{name}, {torch.get_num_threads()} thread(s)"


def sidecar(path: str | Path) -> Path:
    """Where the provenance of a file stands."""
    return Path(f"{path}.provenance.json")


def write_sidecar(path: str | Path, description: dict[str, Any]) -> None:
    """Write the provenance of the finished file `path` beside it: with its hash, the device, and when it was made.

    started: when the process was, in UTC; of a training that went on from a checkpoint, the last one.
    """
    made = {
        "device": device(),
        "started": STARTED.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(sidecar(path), {"file": str(path), "sha256": sha256(path), **made, **description})


def digest(path: str | Path, published: Mapping[str, str]) -> str:
    """SHA-256 of a file of weights, held against that of its row of the registry (file, url, checksum), where known.

    Raises InputError when it is another one than expected.
    """
    found = sha256(path)
    if published["checksum"] not in ("", f"sha256:{found}"):
        raise InputError(
            f"{path}: sha256:{found} found, {published['checksum']} expected, that of {published['file']}; get it "
            f"from {published['url']}"
        )
    return found
