"""Imports of the library only point down its layers (docs/explanation/design.md)."""

import ast
import shutil
from pathlib import Path

from repository_paths import LIBRARY

# From the bottom: a module or package imports from those of lower layers, and from its own package.
LAYERS = (
    ("errors",),
    ("disclaimer", "files", "metrics", "process"),
    ("data", "engine", "method_declaration", "output_folder", "trained"),
    ("method_interface",),
    ("acquire", "model_schema", "preprocess", "provenance", "network", "standardize"),
    ("configuration", "heatmap", "models"),
    ("plan", "score", "tables", "train"),
    ("estimate", "evaluate", "methods"),
    ("figures",),
    ("report", "watching"),
    ("own_scan",),
    ("commands",),
    ("__main__",),
)
LEVELS = {name: level for level, names in enumerate(LAYERS) for name in names}


def imported(statement: ast.stmt) -> set[str]:
    """Entries of the library's root that an import statement names; `patch2loc` itself counts as none."""
    if isinstance(statement, ast.Import):
        names = {alias.name for alias in statement.names}
    elif isinstance(statement, ast.ImportFrom) and statement.module == "patch2loc":
        names = {f"patch2loc.{alias.name}" for alias in statement.names if alias.name != "__version__"}
    elif isinstance(statement, ast.ImportFrom):
        assert not statement.level, "relative imports are not followed here"
        names = {statement.module}
    else:
        names = set()
    return {name.split(".")[1] for name in names if name.startswith("patch2loc.")}


def upward_imports(library: Path) -> list[str]:
    """Each import that does not point down, with its file and line."""
    problems = []
    for path in sorted(library.rglob("*.py")):
        entry = path.relative_to(library).with_suffix("").parts[0]
        if entry == "__init__":
            continue
        for statement in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            problems += [
                f"{path.relative_to(library.parent)}:{statement.lineno}: {entry} imports {name}"
                for name in imported(statement) - {entry}
                if LEVELS[name] >= LEVELS[entry]
            ]
    return problems


def test_every_entry_of_the_library_has_a_layer():
    entries = {
        path.stem for path in LIBRARY.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert entries - {"__init__"} == set(LEVELS)


def test_imports_only_point_down():
    assert upward_imports(LIBRARY) == []


def test_an_upward_import_is_named_with_its_file_and_line(tmp_path):
    library = tmp_path / "patch2loc"
    shutil.copytree(LIBRARY, library, ignore=shutil.ignore_patterns("__pycache__"))
    module = library / "metrics" / "curves.py"
    lines = len(module.read_text(encoding="utf-8").splitlines())
    with open(module, "a", encoding="utf-8") as stream:
        stream.write("\ndef late():\n    from patch2loc.tables import table1\n    return table1\n")
    assert upward_imports(library) == [f"patch2loc/metrics/curves.py:{lines + 3}: metrics imports tables"]
