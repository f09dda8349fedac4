"""Hash of the code behind a result: a module and all modules that it imports."""

import ast
import hashlib
import sys
from collections.abc import Iterable
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

from patch2loc.errors import InputError

PACKAGE = Path(__file__).parents[1]


@cache
def module_file(name: str) -> Path | None:
    """File of a module of this package, or of any other that Python finds, without importing it; None without any."""
    of_package = name.partition(".")[0] == "patch2loc"
    for folder in [PACKAGE.parent] if of_package else [Path(entry) for entry in sys.path]:
        base = folder.joinpath(*name.split("."))
        for candidate in (base.with_suffix(".py"), base / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


def syntax_tree(path: Path) -> ast.Module:
    """Statements of a Python file.

    Raises:
        InputError: naming the line, when the file is not Python.
    """
    try:
        return ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        raise InputError(
            f"{path}: line {error.lineno}: {error.msg} found, Python expected; correct it"
        ) from error


def _source_file(name: str) -> Path:
    """File of a module; InputError when there is none."""
    path = module_file(name)
    if path is None:
        raise InputError(f"{name}: no such module found; install it, or name its folder in PYTHONPATH")
    return path


@cache
def _imported(name: str) -> frozenset[str]:
    """Modules of this package, and of the module's own package, that the import statements of a module name."""
    path = _source_file(name)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    modules: set[str] = set()
    for node in ast.walk(syntax_tree(path)):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            modules.add(source)
            modules.update(f"{source}.{alias.name}" for alias in node.names)
    packages = ("patch2loc.", f"{name.partition('.')[0]}.")
    return frozenset(module for module in modules if module.startswith(packages) and module_file(module))


def modules_behind(names: Iterable[str]) -> list[str]:
    """The modules and all that they import from this package and from their own, directly or not, sorted."""
    waiting, visited = list(names), set()
    while waiting:
        name = waiting.pop()
        if name not in visited:
            visited.add(name)
            waiting.extend(_imported(name))
    return sorted(visited)


# Modules that make a preprocessed scan.
PREPROCESSING = tuple(f"patch2loc.preprocess.{name}" for name in ("atlas", "released_code", "scan"))


def code_hash(*names: str) -> str:
    """Hash of the contents of modules and of all that they import from this package and from their own.

    Snakemake compares scripts, not what they import. As a parameter of a rule, the hash makes the rule run again when
    the code behind it has changed, and only then.
    """
    digest = hashlib.sha256()
    for name in modules_behind(names):
        digest.update(name.encode() + b"\0" + _source_file(name).read_bytes() + b"\0")
    return digest.hexdigest()[:16]
