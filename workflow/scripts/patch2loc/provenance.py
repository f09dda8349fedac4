"""Provenance: what made a file, so that every number can be traced (files named *.provenance.json)."""

import ast
import hashlib
import platform
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from patch2loc import __version__
from patch2loc.files import read_json, sha256, write_json

PACKAGE = Path(__file__).parent
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


@cache
def _module_file(name: str) -> Path | None:
    base = PACKAGE.parent.joinpath(*name.split("."))
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@cache
def _imported(name: str) -> frozenset[str]:
    """Modules of this package that a module names in its import statements."""
    found = set()
    for node in ast.walk(ast.parse(_module_file(name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(module for module in found if module.startswith("patch2loc.") and _module_file(module))


def modules_behind(names: Iterable[str]) -> list[str]:
    """The modules and all modules of this package that they import, directly or not, sorted."""
    waiting, seen = list(names), set()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(_imported(name))
    return sorted(seen)


PREPROCESSING = ("patch2loc.preprocess", "patch2loc.atlas")  # modules behind a preprocessed scan


def code_hash(*names: str) -> str:
    """Hash of the contents of modules and of all they import from this package.

    Snakemake looks at scripts, not at what they import: as a parameter of a rule this makes it run again when the
    code behind it has changed, and only then.
    """
    digest = hashlib.sha256()
    for name in modules_behind(names):
        digest.update(name.encode() + b"\0" + _module_file(name).read_bytes() + b"\0")
    return digest.hexdigest()[:16]


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


def sidecar(path: str | Path) -> Path:
    """Where the provenance of a file stands."""
    return Path(f"{path}.provenance.json")


def write_sidecar(path: str | Path, description: dict[str, Any]) -> None:
    """Write the provenance of the finished file `path`, with the file's own hash, beside it."""
    write_json(sidecar(path), {"file": str(path), "sha256": sha256(path), **description})


def trace(path: str | Path) -> list[dict[str, Any]]:
    """The provenance of a file and, in order, of every input that has one.  `changed` tells of edited files."""
    waiting, chain, seen = [str(path)], [], set()
    while waiting:
        current = waiting.pop(0)
        if current in seen or not sidecar(current).exists():
            continue
        seen.add(current)
        entry = read_json(sidecar(current))
        entry["changed"] = not Path(current).exists() or sha256(current) != entry["sha256"]
        chain.append(entry)
        waiting.extend(entry["inputs"])
    return chain
