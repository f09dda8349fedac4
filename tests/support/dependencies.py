"""What the code imports from outside, and what pyproject.toml and the locks say of it."""

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, requires

from packaging.requirements import Requirement
from repository_paths import ROOT

SCRIPTS = ROOT / "workflow" / "scripts"
LOCKS = {kind: ROOT / name for kind, name in (("cuda", "requirements.txt"), ("cpu", "requirements-cpu.txt"))}
IMPORT_NAMES = {
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
    "intensity_normalization": "intensity-normalization",
    "PIL": "matplotlib",  # which cannot do without pillow
    "mpl_toolkits": "matplotlib",
}


def canonical(name):
    """The name of a package as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(kind="cuda"):
    """The lines of a lock: [Requirement]."""
    lines = LOCKS[kind].read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line[:1].isalpha()]


def pinned_version(requirement):
    """The one version that a line of a lock allows."""
    (pin,) = requirement.specifier
    assert pin.operator == "==", requirement
    return pin.version


def pins(kind="cuda"):
    """{package: version} of a lock."""
    return {canonical(line.name): pinned_version(line) for line in locked(kind)}


def declared():
    """What pyproject.toml asks for: {"": [Requirement] of everybody, extra: [Requirement]}."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    return {extra: [Requirement(entry) for entry in entries] for extra, entries in groups.items()}


def declared_names(*extras):
    """Names of the packages that everybody needs and those of the extras."""
    groups = declared()
    return {canonical(entry.name) for extra in ("", *extras) for entry in groups[extra]}


def installed_with(names):
    """The packages and all that they bring, by what is installed here."""
    waiting, seen = sorted(names), set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            entries = [Requirement(entry) for entry in requires(name) or ()]
        except PackageNotFoundError:  # of another system or another build of torch
            continue
        waiting += [
            canonical(e.name) for e in entries if e.marker is None or e.marker.evaluate({"extra": ""})
        ]
    return seen


@cache
def imported(path):
    """What a file imports: (files of this package or beside it, packages from outside)."""
    files, packages = set(), set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            top = name.split(".")[0]
            if top == "patch2loc" or (SCRIPTS / f"{top}.py").is_file():
                base = SCRIPTS.joinpath(*name.split("."))
                files.update(
                    file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()
                )
            elif top not in sys.stdlib_module_names:
                packages.add(IMPORT_NAMES.get(top, canonical(top)))
    return files, packages


def third_party(path):
    """Packages from outside that a script or module imports, directly or through this package."""
    waiting, seen, found = [path], set(), set()
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            files, packages = imported(file)
            waiting.extend(files)
            found |= packages
    return found
