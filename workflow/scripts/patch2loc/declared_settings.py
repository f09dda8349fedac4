"""Settings that the modules of methods declare, read without running them: planning needs no torch."""

import ast
from collections.abc import Mapping
from importlib.util import resolve_name
from typing import Any

from patch2loc.method_settings import check_changes
from patch2loc.methods import LOCATING, module_name
from patch2loc.provenance import module_file, syntax_tree


class Unreadable(Exception):
    """A constant whose value only the module itself can tell."""


def check_method_settings(config: Mapping[str, Any]) -> None:
    """Raise InputError for `method_settings` that methods cannot take; what cannot be read is left to the training.

    config: valid by the schema, defaults filled in.
    """
    for name, changes in config["method_settings"].items():
        try:
            settings = _settings(name, config["budget"])
            choices = constant(module_name(name), "CHOICES", {})
        except Unreadable:
            continue
        check_changes(name, settings, changes, choices)


def _settings(name: str, budget: str) -> Mapping[str, Any]:
    """A method's own settings, that the configuration may change."""
    if name in LOCATING:
        return constant(module_name(name), "OWN_SETTINGS", {})
    budgets = constant(module_name(name), "SETTINGS", None)
    if budgets is None and "." not in name:
        return {}
    if not isinstance(budgets, Mapping) or not isinstance(budgets.get(budget), Mapping):
        raise Unreadable
    return budgets[budget]


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
