"""Hash of the code behind a result: a module and all modules that it imports."""

import ast
import hashlib
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

from patch2loc.errors import InputError

PACKAGE = Path(__file__).parents[1]
# What a method declares for planning and display alone: no number of its own depends on it.
DISPLAY_CONSTANTS = ("ROLE", "ORDER", "TITLE", "CALIBRATED", "REDESIGNED")
# Fields of the syntax tree that hold statements.
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
METHODS_PACKAGE = "patch2loc.methods"
# What imports this shows methods as they declare themselves.
METHOD_REGISTRY = "patch2loc.configuration.method_registry"


@cache
def module_file(name: str) -> Path | None:
    """File of a module of this package, or of any other that Python finds, without importing it; None without any."""
    in_package = name.partition(".")[0] == "patch2loc"
    for folder in [PACKAGE.parent] if in_package else [Path(entry) for entry in sys.path]:
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
        raise InputError(
            f"{name}: no such module found; install it into the environment that runs this (pip install)"
        )
    return path


def _statements(block: ast.AST) -> Iterator[ast.stmt]:
    """All statements in a module or a statement, without the expressions in them, which are most of what there is."""
    for part in BLOCKS:
        for inner in getattr(block, part, ()):
            if isinstance(inner, ast.stmt):
                yield inner
            yield from _statements(inner)


@cache
def _imported(name: str) -> frozenset[str]:
    """Modules of this package, and of the module's own package, that the import statements of a module name."""
    path = _source_file(name)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    modules: set[str] = set()
    for node in _statements(syntax_tree(path)):
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
    the code behind it has changed, and only then. What a method declares for display alone is not part of its own hash,
    but of that of modules that show methods, such as tables.
    """
    digest = hashlib.sha256()
    behind = modules_behind(names)
    for name in behind:
        path = _source_file(name)
        source = _split_display(path)[0] if _is_method(name, names) else path.read_bytes()
        digest.update(name.encode() + b"\0" + source + b"\0")
    if METHOD_REGISTRY in behind:
        for path in sorted(PACKAGE.joinpath("methods").glob("*.py")):
            digest.update(path.stem.encode() + b"\0" + _split_display(path)[1] + b"\0")
    return digest.hexdigest()[:16]


def _is_method(name: str, hashed: Iterable[str]) -> bool:
    """True for a method of the package, or from outside when it is itself what is hashed."""
    package = name.rpartition(".")[0]
    return package == METHODS_PACKAGE or (name in hashed and not name.startswith("patch2loc."))


@cache
def _split_display(path: Path) -> tuple[bytes, bytes]:
    """The source of a method without its DISPLAY_CONSTANTS, and the lines of these; one that it uses is code."""
    statements = syntax_tree(path)
    used = {
        node.id
        for node in ast.walk(statements)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    occupied = Counter(
        line for node in statements.body for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    )
    display: set[int] = set()
    for node in statements.body:
        match node:
            case ast.Assign(targets=[ast.Name(name)]) | ast.AnnAssign(target=ast.Name(name)):
                lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
                if (
                    name in DISPLAY_CONSTANTS
                    and name not in used
                    and all(occupied[line] == 1 for line in lines)
                ):
                    display.update(lines)
    code, declared = bytearray(), bytearray()
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
        (declared if number in display else code).extend(line)
    return bytes(code), bytes(declared)
