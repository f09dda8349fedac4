"""Constants that the modules of methods declare, read without running them: planning needs no torch."""

import ast
from functools import lru_cache
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

from patch2loc.errors import InputError
from patch2loc.method_interface import module_name
from patch2loc.provenance.code import module_file, syntax_tree


class Unreadable(Exception):
    """A constant whose value only the module itself can tell."""


def constant(module: str, name: str, default: Any) -> Any:
    """Value of a module's constant, made of literals and of other constants, imported ones too.

    Args:
        module: Dotted name of the module.
        name: Name of the constant.
        default: Returned for a module without it.

    Raises:
        Unreadable: Where this takes more than expressions of such constants: calls of functions, conditions, changes.
    """
    try:
        return _value(module, name) if _is_bound(module, name) else default
    except Exception as error:  # whatever the expressions of others do
        raise Unreadable(f"{module}.{name}") from error


def is_named(module: str, name: str) -> bool:
    """True for a constant that a module binds by its name, whatever it imports by a star."""
    return any(name in _names(statement) for statement in _body(module))


def declared_names(method: str, name: str) -> tuple[str, ...]:
    """A tuple of names, PRETRAINED or NEEDS, that the module of a method writes out; () without it.

    Raises:
        InputError: For a module that there is not, and for anything but a tuple of text written out.
    """
    module = module_name(method)
    path = module_file(module)
    if path is None:
        raise InputError(
            f"methods: {method} found, no such module; install it into the environment that runs this (pip install)"
        )
    for statement in _body(module):
        match statement:
            case ast.Assign(targets=[ast.Name(target)], value=value) if target == name:
                names = _literal(value)
                if isinstance(names, tuple) and all(isinstance(each, str) for each in names):
                    return names
                raise InputError(
                    f"{path}: {name} = {ast.unparse(value)} found, a tuple of text expected, written out like "
                    '("one", "two"); write it so'
                )
    return ()


def _literal(expression: ast.expr) -> object:
    try:
        return ast.literal_eval(expression)
    except ValueError:
        return None


class _Module:
    """Constants of a module as its attributes."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        inner = f"{self._name}.{name}"
        return (
            _Module(inner)
            if module_file(inner) and not _is_bound(self._name, name)
            else _value(self._name, name)
        )


def _body(module: str) -> list[ast.stmt]:
    path = module_file(module)
    if path is None:
        raise Unreadable(module)
    return _statements(path, path.read_bytes())


@lru_cache(maxsize=128)
def _statements(path: Path, _content: bytes) -> list[ast.stmt]:
    """Statements of a file, parsed once for each content."""
    return syntax_tree(path).body


def _is_bound(module: str, name: str) -> bool:
    return any(not {name, "*"}.isdisjoint(_names(statement)) for statement in _body(module))


def _names(statement: ast.stmt) -> set[str]:
    """Names that a statement of a module binds, or may bind or change."""
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return {statement.name}
        case ast.Assign(targets=[ast.Name(name)]) | ast.AnnAssign(target=ast.Name(name)):
            return {name}
        case ast.Assign(targets=[ast.Tuple(targets)]) if all(isinstance(each, ast.Name) for each in targets):
            return set(_identifiers(targets))
    parts = list(ast.walk(statement))
    used = {part.id for part in parts if isinstance(part, ast.Name)}
    return used | {
        (part.asname or part.name).partition(".")[0] for part in parts if isinstance(part, ast.alias)
    }


def _identifiers(targets: list[ast.expr]) -> list[str]:
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _value(module: str, name: str) -> Any:
    statements = [statement for statement in _body(module) if not {name, "*"}.isdisjoint(_names(statement))]
    match statements:
        case [ast.Import(names)]:
            return next(
                _Module(alias.name if alias.asname else name)
                for alias in names
                if name == (alias.asname or alias.name.partition(".")[0])
            )
        case [ast.ImportFrom(source, names, level)]:
            path = module_file(module)
            is_package = path is not None and path.name == "__init__.py"
            package = module if is_package else module.rpartition(".")[0]
            original = next(alias.name for alias in names if name == (alias.asname or alias.name))
            return getattr(_Module(resolve_name("." * level + (source or ""), package)), original)
        case [ast.Assign([ast.Name()], value) | ast.AnnAssign(value=ast.expr() as value)]:
            return _evaluated(module, value)
        case [ast.Assign([ast.Tuple(targets)], ast.Tuple(values))] if len(targets) == len(values):
            return _evaluated(module, values[_identifiers(targets).index(name)])
    raise Unreadable(f"{module}.{name}")


def _evaluated(module: str, expression: ast.expr) -> Any:
    """The value of an expression that knows the module's constants, and no function."""
    used = {part.id for part in ast.walk(expression) if isinstance(part, ast.Name)}
    constants = {name: _value(module, name) for name in used if _is_bound(module, name)}
    return eval(compile(ast.Expression(expression), module, "eval"), {"__builtins__": {}} | constants)
