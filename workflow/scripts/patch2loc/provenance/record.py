"""Provenance of a file, in the file *.provenance.json beside it, so that every number can be traced."""

import platform
import sys
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from patch2loc import __version__
from patch2loc.errors import InputError
from patch2loc.files import read_json, sha256, without_home, write_json

SUFFIX = ".provenance.json"
STARTED = datetime.now(UTC)  # time at which this process, which is one job, started
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


class Description(TypedDict):
    """How a file was made, as far as it is known before the file is finished.

    Attributes:
        code: hash of the code, `code.code_hash`.
        environment: {package: version}.
        configuration: settings that the file depends on, with seeds.
        subjects: whose scans the file depends on.
        inputs: {path: SHA-256} of the files that it was made from; ~ in a path is the home folder.
    """

    code: str
    environment: dict[str, str]
    configuration: Mapping[str, Any]
    subjects: list[str]
    inputs: dict[str, str]


class Provenance(Description):
    """Content of a file *.provenance.json.

    Attributes:
        file: path of the file that was made.
        sha256: of that file.
        device: that it was made on; absent in what `trace.trace` reads from a crate.
        started: time at which the process started, UTC; of a training that was continued from a checkpoint, the last
            process.
        finished: time at which the file was finished, UTC.
        processor_seconds: of all processors that the process took until then, user and system.
    """

    file: str
    sha256: str
    device: NotRequired[str]
    started: NotRequired[str]
    finished: NotRequired[str]
    processor_seconds: NotRequired[float]


# What every Provenance in a file has, as a form of `files.misfit`.
FORM = {
    "file": str,
    "sha256": str,
    "code": str,
    "environment": dict,
    "configuration": dict,
    "subjects": list,
    "inputs": dict,
}


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
    code: str,
    inputs: Iterable[str | Path],
    configuration: Mapping[str, Any],
    subjects: Iterable[str],
    *,
    sources: Mapping[str, str | Path] | None = None,
) -> Description:
    """Describe how files are made, in this environment.

    Args:
        code: hash of the code, `code.code_hash`.
        inputs: files that they are made from.
        configuration: settings that they depend on, with seeds.
        subjects: whose scans they depend on.
        sources: {name: path} of files of the workflow that they are made from, too: copies in a temporary place.
    """
    sources = sources or {}
    return {
        "code": code,
        "environment": environment(),
        "configuration": _without_home(configuration),
        "subjects": list(subjects),
        "inputs": {without_home(str(path)): sha256(path) for path in inputs}
        | {name: sha256(path) for name, path in sources.items()},
    }


def _without_home(value: Any) -> Any:
    """A value of lists, mappings and scalars in which no path names the home folder."""
    if isinstance(value, Mapping):
        return {key: _without_home(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_home(item) for item in value]
    return without_home(value) if isinstance(value, str) else value


def device_name() -> str:
    """Name of the GPU that this process has used, else of the processor, with torch's threads if it is loaded."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    cpu_info = Path("/proc/cpuinfo")
    lines = cpu_info.read_text(encoding="utf-8").splitlines() if cpu_info.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    name = next(models, platform.processor() or platform.machine())
    return name if torch is None else f"{name}, {torch.get_num_threads()} thread(s)"


def sidecar(path: str | Path) -> Path:
    """Path of the provenance of a file, or of a folder."""
    return Path(f"{path}{SUFFIX}")


def read_provenance(path: str | Path) -> Provenance:
    """Read a file *.provenance.json.

    Args:
        path: The provenance file (`sidecar`).

    Raises:
        InputError: It is damaged.
        OSError: It cannot be read.
    """
    provenance: Provenance = read_json(path, FORM)
    return provenance


def write_sidecar(path: str | Path, description: Description) -> None:
    """Write the provenance of the finished file `path` beside it.

    Args:
        path: of the file.
        description: as of `describe`; the file's hash, the device and the time are added.
    """
    provenance: Provenance = {
        "file": without_home(str(path)),
        "sha256": sha256(path),
        "device": device_name(),
        "started": STARTED.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor_seconds": round(time.process_time(), 1),
        **description,
    }
    write_json(sidecar(path), provenance)


def digest(path: str | Path, registry_row: Mapping[str, str]) -> str:
    """SHA-256 of a file of weights, checked against that of the registry, where the registry has one.

    Args:
        path: of the file.
        registry_row: its row of the registry: file, url, checksum.

    Raises:
        InputError: when the registry has another checksum.
    """
    checksum = sha256(path)
    if registry_row["checksum"] not in ("", f"sha256:{checksum}"):
        raise InputError(
            f"{path}: sha256:{checksum} found, {registry_row['checksum']} expected, that of {registry_row['file']}; "
            f"get it from {registry_row['url']}"
        )
    return checksum
