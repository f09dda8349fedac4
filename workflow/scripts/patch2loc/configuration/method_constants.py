"""Settings that the modules of methods declare, read without running them: planning needs no torch."""

import ast
from importlib.util import resolve_name
from typing import Any

from patch2loc.errors import InputError
from patch2loc.method_interface import module_name
from patch2loc.provenance.code import module_file, syntax_tree


class Unreadable(Exception):
    """A constant whose value only the module itself can tell."""


def constant(module: str, name: str, default: Any) -> Any:
    """What a module's constant is, made of literals and of other constants, imported ones too; without it, default.

    Raises Unreadable where this takes more than expressions of such constants: calls of functions, conditions, changes.
    """
    try:
        return _value(module, name) if _is_bound(module, name) else default
    except Exception as error:  # whatever the expressions of others do
        raise Unreadable(f"{module}.{name}") from error


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
            return {each.id for each in targets}
    parts = list(ast.walk(statement))
    used = {part.id for part in parts if isinstance(part, ast.Name)}
    return used | {
        (part.asname or part.name).partition(".")[0] for part in parts if isinstance(part, ast.alias)
    }


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
            is_package = module_file(module).name == "__init__.py"
            package = module if is_package else module.rpartition(".")[0]
            original = next(alias.name for alias in names if name == (alias.asname or alias.name))
            return getattr(_Module(resolve_name("." * level + (source or ""), package)), original)
        case [ast.Assign([ast.Name()], value) | ast.AnnAssign(value=ast.expr() as value)]:
            return _evaluated(module, value)
        case [ast.Assign([ast.Tuple(targets)], ast.Tuple(values))] if len(targets) == len(values):
            return _evaluated(module, values[[target.id for target in targets].index(name)])
    raise Unreadable(f"{module}.{name}")


def _evaluated(module: str, expression: ast.expr) -> Any:
    """The value of an expression that knows the module's constants, and no function."""
    used = {part.id for part in ast.walk(expression) if isinstance(part, ast.Name)}
    known = {name: _value(module, name) for name in used if _is_bound(module, name)}
    return eval(compile(ast.Expression(expression), module, "eval"), {"__builtins__": {}} | known)


def declared(method: str, constant: str) -> tuple[str, ...]:
    """A tuple of names, PRETRAINED or NEEDS, that the module of a method writes out; () without it.

    Raises InputError when it is anything but text written out.
    """
    path = module_file(module_name(method))
    if path is None:
        raise InputError(f"methods: {method} found, no such module; name its folder in PYTHONPATH")
    for node in syntax_tree(path).body:
        if isinstance(node, ast.Assign) and constant in [ast.unparse(target) for target in node.targets]:
            try:
                names = ast.literal_eval(node.value)
            except ValueError:
                names = None
            if isinstance(names, tuple) and all(isinstance(name, str) for name in names):
                return names
            raise InputError(
                f"{path}: {constant} = {ast.unparse(node.value)} found, a tuple of text expected, written out like "
                '("one", "two"); write it so'
            )
    return ()
