"""Hash of the code behind a result: a module and all modules that it imports."""

import ast
import hashlib
import sys
import tokenize
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

from patch2loc.errors import InputError

PACKAGE = Path(__file__).parents[1]
# Fields of the syntax tree that hold statements.
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
# Tokens that say how code is laid out, not what it does.
LAYOUT = (tokenize.ENCODING, tokenize.COMMENT, tokenize.NL, tokenize.ENDMARKER)
# Tokens that structure code by their kind; how wide an indentation is means nothing.
STRUCTURE = {tokenize.NEWLINE: "\n", tokenize.INDENT: "\t", tokenize.DEDENT: "\b"}
# It imports what all methods declare, by their names.
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
    if name == METHOD_REGISTRY:
        modules.update(f"patch2loc.methods.{path.parent.name}" for path in PACKAGE.glob("methods/*/model.py"))
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
    docstrings = _docstrings(syntax_tree(path))
    tokens = [STRUCTURE[tokenize.NEWLINE]]
    with open(path, "rb") as stream:
        for kind, text, start, _, _ in tokenize.tokenize(stream.readline):
            if kind in LAYOUT or (kind == tokenize.STRING and start in docstrings):
                continue
            if kind in STRUCTURE:
                text = STRUCTURE[kind]
                if kind == tokenize.NEWLINE and tokens[-1] in STRUCTURE.values():  # of a docstring
                    continue
            tokens.append(text)
    return "\0".join(tokens[1:])


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
    the code behind it has changed, and only then: comments, docstrings and layout do not count.  What a method declares
    is behind the tables that show it, and not behind its own jobs: these get what they need of it as parameters.
    """
    digest = hashlib.sha256()
    for name in modules_behind(names):
        digest.update(f"{name}\0{code_of(_source_file(name))}\0".encode())
    return digest.hexdigest()[:16]
