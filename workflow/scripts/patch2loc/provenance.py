"""Provenance: what made a file, so that every number can be traced (files named *.provenance.json)."""

import ast
import hashlib
import platform
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from importlib.util import resolve_name
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from patch2loc import __version__
from patch2loc.errors import InputError
from patch2loc.files import read_json, sha256, write_json

STARTED = datetime.now(UTC)  # of this process: each job is one
CRATE = "ro-crate-metadata.json"  # in the folder of a run, see patch2loc.crate
RUN = "#run"  # its action for the whole run
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
def module_file(name: str) -> Path | None:
    """File of a module of this package, or of any other that Python finds, without importing it."""
    inside = name.partition(".")[0] == "patch2loc"
    for folder in [PACKAGE.parent] if inside else [Path(entry) for entry in sys.path]:
        base = folder.joinpath(*name.split("."))
        for candidate in (base.with_suffix(".py"), base / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


def syntax_tree(path: Path) -> ast.Module:
    """The statements of a file of Python; InputError, naming the line, for one that is none."""
    try:
        return ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        raise InputError(
            f"{path}: line {error.lineno}: {error.msg} found, Python expected; correct it"
        ) from error


@cache
def _imported(name: str) -> frozenset[str]:
    """Modules of this package, and of the module's own, that a module names in its import statements."""
    found = set()
    path = module_file(name)
    if path is None:
        raise InputError(f"{name}: no such module found; install it, or name its folder in PYTHONPATH")
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(syntax_tree(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            found.add(source)
            found.update(f"{source}.{alias.name}" for alias in node.names)
    followed = ("patch2loc.", f"{name.partition('.')[0]}.")
    return frozenset(module for module in found if module.startswith(followed) and module_file(module))


def modules_behind(names: Iterable[str]) -> list[str]:
    """The modules and all that they import of this package and of their own, directly or not, sorted."""
    waiting, seen = list(names), set()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(_imported(name))
    return sorted(seen)


PREPROCESSING = ("patch2loc.preprocess", "patch2loc.atlas")  # modules behind a preprocessed scan


def code_hash(*names: str) -> str:
    """Hash of the contents of modules and of all they import from this package and from their own.

    Snakemake looks at scripts, not at what they import: as a parameter of a rule this makes it run again when the
    code behind it has changed, and only then.
    """
    digest = hashlib.sha256()
    for name in modules_behind(names):
        digest.update(name.encode() + b"\0" + module_file(name).read_bytes() + b"\0")
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


def trace(path: str | Path) -> list[dict[str, Any]]:
    """The provenance of a file and, in order, of every input that has one.  `changed` tells of edited files.

    A file without a sidecar is looked up in its folder's qc.json (preprocessed scans), then in the crate of the run.
    """
    waiting, chain, seen = [str(path)], [], set()
    while waiting:
        current = waiting.pop(0)
        entry = _sidecar_entry(current) or _crate_entry(current)
        if entry is None or entry["file"] in seen:
            continue
        seen.add(entry["file"])
        chain.append(entry)
        waiting.extend(entry["inputs"])
    return chain


def _sidecar_entry(path: str) -> dict[str, Any] | None:
    for described in (Path(path), Path(path, "qc.json"), Path(path).with_name("qc.json")):
        if sidecar(described).exists():
            entry = read_json(sidecar(described))
            changed = not described.exists() or sha256(described) != entry["sha256"]
            return {**entry, "changed": changed}
    return None


def _crate_entry(path: str) -> dict[str, Any] | None:
    """What the crate of the run tells of a file or folder that has no provenance of its own."""
    root = next((folder for folder in Path(path).parents if (folder / CRATE).is_file()), None)
    if root is None:
        return None
    makers, entities = _crate(root, (root / CRATE).stat().st_mtime_ns)
    name = quote(Path(path).relative_to(root).as_posix())
    made = next((made for made in (name, f"{name}/") if made in makers), None)
    if made is None:
        return None
    action = entities[makers[made]]
    digest = entities[made].get("sha256")
    objects = [entities[each["@id"]] for each in action.get("object", [])]
    return {
        "file": path,
        "sha256": digest or "",
        "code": entities[action["instrument"]["@id"]]["softwareVersion"],
        "environment": {},
        "configuration": {"rule": action["name"]},
        "subjects": [],
        "inputs": {
            str(root / unquote(each["@id"])).rstrip("/"): each.get("sha256", "")
            for each in objects
            if not each["@id"].startswith("#")
        },
        "changed": digest is not None and (not Path(path).is_file() or sha256(path) != digest),
    }


@cache
def _crate(root: Path, written: int) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """Who made what, {data: action}, and all entities by their @id, of a crate that was written at a time in ns."""
    entities = {entity["@id"]: entity for entity in read_json(root / CRATE)["@graph"]}
    actions = [
        entity for entity in entities.values() if entity["@type"] == "CreateAction" and entity["@id"] != RUN
    ]
    return {made["@id"]: action["@id"] for action in actions for made in action["result"]}, entities
