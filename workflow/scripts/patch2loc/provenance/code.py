"""Hash of the code behind a result: a module and all modules that it imports."""

import ast
import hashlib
import sys
import tokenize
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
# Tokens that say how code is laid out, not what it does.
LAYOUT = (tokenize.ENCODING, tokenize.COMMENT, tokenize.NL, tokenize.ENDMARKER)
# Tokens that structure code by their kind; how wide an indentation is means nothing.
STRUCTURE = {tokenize.NEWLINE: "\n", tokenize.INDENT: "\t", tokenize.DEDENT: "\b"}
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


@cache
def code_of(path: Path) -> str:
    """The code of a Python file, without comments, docstrings and layout.

    Raises:
        InputError: naming the line, when the file is not Python.
    """
    return "\0".join(token for _, token in _tokens(path))


def _tokens(path: Path) -> list[tuple[int, str]]:
    """Line and text of each token of a Python file that is code."""
    docstrings = _docstrings(syntax_tree(path))
    tokens = [(0, STRUCTURE[tokenize.NEWLINE])]
    with open(path, "rb") as stream:
        for kind, text, start, _, _ in tokenize.tokenize(stream.readline):
            if kind in LAYOUT or (kind == tokenize.STRING and start in docstrings):
                continue
            if kind in STRUCTURE:
                text = STRUCTURE[kind]
                if kind == tokenize.NEWLINE and tokens[-1][1] in STRUCTURE.values():  # of a docstring
                    continue
            tokens.append((start[0], text))
    return tokens[1:]


def _docstrings(module: ast.Module) -> set[tuple[int, int]]:
    """Line and column where each docstring starts."""
    return {
        (first.lineno, first.col_offset)
        for node in (module, *_statements(module))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        for first in node.body[:1]
        if isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    }


# Modules that make a preprocessed scan.
PREPROCESSING = tuple(f"patch2loc.preprocess.{name}" for name in ("atlas", "released_code", "scan"))


@cache
def code_hash(*names: str) -> str:
    """Hash of the code of modules and of all that they import from this package and from their own.

    Snakemake compares scripts, not what they import. As a parameter of a rule, the hash makes the rule run again when
    the code behind it has changed, and only then: comments, docstrings and layout do not count. Constants that a method
    declares only for display do not count for its own hash, but for that of modules that show methods, such as tables.
    """
    digest = hashlib.sha256()
    behind = modules_behind(names)
    for name in behind:
        path = _source_file(name)
        code = _split_display(path)[0] if _is_method(name, names) else code_of(path)
        digest.update(f"{name}\0{code}\0".encode())
    if METHOD_REGISTRY in behind:
        for path in sorted(PACKAGE.joinpath("methods").glob("*.py")):
            digest.update(f"{path.stem}\0{_split_display(path)[1]}\0".encode())
    return digest.hexdigest()[:16]


def _is_method(name: str, hashed: Iterable[str]) -> bool:
    """True for a method of the package, or from outside when it is itself what is hashed."""
    package = name.rpartition(".")[0]
    return package == METHODS_PACKAGE or (name in hashed and not name.startswith("patch2loc."))


@cache
def _split_display(path: Path) -> tuple[str, str]:
    """The code of a method without its DISPLAY_CONSTANTS, and that of these; one that the method uses is its code."""
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
    code: list[str] = []
    declared: list[str] = []
    for line, token in _tokens(path):
        (declared if line in display else code).append(token)
    return "\0".join(code), "\0".join(declared)
