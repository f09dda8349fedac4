"""The documentation holds together: links lead somewhere, names and calls are those of the code, no page is missing."""

import ast
import inspect
import re
import runpy
from dataclasses import fields
from functools import cache
from importlib import import_module

import numpy as np
import pytest
import yaml
from repository_paths import LIBRARY, ROOT

from patch2loc.configuration.method_registry import METHODS
from patch2loc.configuration.method_settings import training_settings
from patch2loc.configuration.method_table import method_table
from patch2loc.data.splits import OVERLAPS
from patch2loc.method_declaration import Declaration
from patch2loc.method_interface import declaration, method

FOLDERS = (".github", "benchmarks", "config", "docs", "profiles", "splits", "tests", "workflow")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in ROOT.glob(f"{folder}/**/*.md"))])
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


def slug(heading):
    """The anchor of a heading, as GitHub and the site make it."""
    text = LINK.sub(lambda match: match.group(0)[1:].partition("]")[0], heading.replace("`", ""))
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


@cache
def anchors(page):
    """Anchors of a page; of equal headings the later ones are numbered."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    slugs = [slug(heading) for heading in HEADING.findall(text)]
    return {
        name if slugs[:place].count(name) == 0 else f"{name}-{slugs[:place].count(name)}"
        for place, name in enumerate(slugs)
    }


def links(text):
    """Targets of the links of a page that lead into the repository."""
    targets = LINK.findall(CODE.sub("", text))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def dead_links(page):
    """Links of a page that lead nowhere, with the reason."""
    dead = []
    for target in links(page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            dead.append(f"{target}: no such file")
        elif not file.is_relative_to(ROOT):
            dead.append(f"{target}: outside the repository")
        elif anchor and (file.suffix != ".md" or anchor not in anchors(file)):
            dead.append(f"{target}: no such heading")
    return dead


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_and_anchor_leads_somewhere(page):
    assert dead_links(page) == []


def test_dead_links_are_noticed(tmp_path):
    page = ROOT / "docs" / "index.md"
    text = (
        "[a](no.md) [b](index.md#nothing-here) `[c](code.md)` [d](https://example.org)\n```\n[e](f.md)\n```\n"
    )
    assert links(text) == ["no.md", "index.md#nothing-here"]
    assert "nothing-here" not in anchors(page)
    assert slug("`a_b`: what, and [why](x.md)?") == "a_b-what-and-why"
    assert len(PAGES) > 40
    assert sum(len(links(page.read_text(encoding="utf-8"))) for page in PAGES) > 150


def test_the_front_page_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_the_command_is_called_by_its_name():
    """Not by a module of Python in a path that has to be set, on pages and in messages."""
    library = [path for path in LIBRARY.rglob("*") if path.suffix in (".py", ".js", ".html", ".j2")]
    others = [*ROOT.glob("config/*.yaml"), *ROOT.glob("workflow/schemas/*"), ROOT / "Makefile"]
    pages = [page for page in PAGES if page.name != "CHANGELOG.md"]
    old = re.compile(
        r'(?<!")PYTHONPATH|python -m patch2loc(?!\.)'
    )  # in quotes it is the variable that code sets
    files = [*pages, *library, *others]
    assert [str(path) for path in files if old.search(path.read_text(encoding="utf-8"))] == []
    assert len(files) > 250


def test_every_picture_is_on_a_page_and_made_by_a_script_and_they_are_small():
    pictures = sorted((ROOT / "docs" / "images").glob("*.png"))
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    scripts = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("docs/images/*.py"))
    unshown = [
        path.name for path in pictures if not re.search(rf"!\[[^\]]+\]\([\w./-]*images/{path.name}\)", pages)
    ]
    assert unshown == []
    assert [path.name for path in pictures if f'"{path.name}"' not in scripts] == []
    sizes = {path.name: path.stat().st_size for path in pictures}
    assert sizes["detect.png"] < 200_000  # of README
    assert sum(sizes.values()) < 1_200_000


def test_the_script_of_the_demo_s_picture_knows_the_demo():
    script = runpy.run_path(str(ROOT / "docs" / "images" / "make_demo_picture.py"))
    demo = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text(encoding="utf-8"))["datasets"]
    lesions = {name: dataset["modality"] for name, dataset in demo.items() if dataset["role"] == "lesion"}
    assert {name: modality for name, (_, modality) in script["DATASETS"].items()} == lesions


def test_the_site_is_built_with_the_versions_of_requirements_where_both_name_a_package():
    pin = re.compile(r"^([\w.-]+)(?:\[[^\]]*\])?==([^\s;]+)", re.MULTILINE)
    pins, of_site = (
        dict(pin.findall(path.read_text().lower()))
        for path in (ROOT / "requirements.txt", ROOT / "docs" / "requirements.txt")
    )
    shared = set(pins) & set(of_site)
    assert len(shared) > 10
    assert {name: of_site[name] for name in shared} == {name: pins[name] for name in shared}


def test_test_files_that_pages_name_are_there():
    tests = {path.name: path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/test_*.py")}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for path in re.findall(r"tests/[\w/]+\.py", text):
            assert (ROOT / path).is_file(), f"{page.name}: {path}"
        assert set(re.findall(r"\btest_\w+\.py", text)) <= set(tests), page.name
        functions = set(re.findall(r"\btest_\w+\b(?!\.py)", text)) - set(OVERLAPS)
        assert not [name for name in functions if not any(f"def {name}(" in code for code in tests.values())]


def module_file(parts):
    """The file of a module by the parts of its name, or None."""
    base = ROOT.joinpath("workflow", "scripts", *parts)
    files = (base.with_suffix(".py"), base / "__init__.py")
    return next((file for file in files if file.is_file()), None)


def test_modules_and_names_of_the_library_that_pages_mention_are_there():
    own = {"distance.py"}  # of the reader
    files = own | {
        path.name for folder in ("workflow", "benchmarks", "docs") for path in ROOT.glob(f"{folder}/**/*.py")
    }
    for page in PAGES:
        if page.name == "CHANGELOG.md":
            continue
        text = page.read_text(encoding="utf-8")
        for path in re.findall(r"\bpatch2loc/[\w/]+\.py\b", text):
            assert (ROOT / "workflow" / "scripts" / path).is_file(), f"{page.name}: {path}"
        assert {
            name for name in re.findall(r"`(?:[\w-]+/)*(\w+\.py)`", text) if not name.startswith("test_")
        } <= files, page
        for name in re.findall(r"\bpatch2loc(?:\.(?!sif|yaml|fish)\w+)+", text):
            parts = name.split(".")
            length = next(n for n in range(len(parts), 0, -1) if module_file(parts[:n]))
            named = import_module(".".join(parts[:length]))
            for attribute in parts[length:]:
                assert hasattr(named, attribute), f"{page.name}: {name}"
                named = getattr(named, attribute)


PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
PYTHON_BLOCKS = [
    pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, block in enumerate(PYTHON_BLOCK.findall(page.read_text(encoding="utf-8")), start=1)
    if not block.startswith("configfile:")  # of Snakemake
]


def imported_names(tree):
    """What the names that a block imports from the library stand for."""
    statements = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {}
    exec(compile(ast.Module(statements, []), "imports", "exec"), names)
    return names


def unfit_calls(tree, names):
    """Calls of imported functions and classes with arguments that they do not take."""
    unfit = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = names.get(getattr(node.func, "id", None))
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            called = getattr(names.get(node.func.value.id), node.func.attr, None)
        if not (getattr(called, "__module__", None) or "").startswith("patch2loc."):
            continue
        try:
            inspect.signature(called).bind(*node.args, **{word.arg: word.value for word in node.keywords})
        except TypeError as error:
            unfit.append(f"{ast.unparse(node)}: {error}")
    return unfit


@pytest.mark.parametrize("block", PYTHON_BLOCKS)
def test_python_on_a_page_imports_what_is_there_and_calls_it_as_it_is(block):
    tree = ast.parse(block)
    assert unfit_calls(tree, imported_names(tree)) == []


def test_calls_that_a_function_does_not_take_are_noticed():
    tree = ast.parse(
        "from patch2loc.metrics import auroc\nfrom patch2loc.data import volumes\n"
        "auroc(a, b)\nauroc(a)\nauroc(a, b, lost=1)\nvolumes.read(a, b)\nother(a)\n"
    )
    assert [call.partition(":")[0] for call in unfit_calls(tree, imported_names(tree))] == [
        "auroc(a)",
        "auroc(a, b, lost=1)",
        "volumes.read(a, b)",
    ]
    with pytest.raises(ImportError):
        imported_names(ast.parse("from patch2loc.metrics import no_such_measure"))
    assert len(PYTHON_BLOCKS) > 12


def test_the_method_that_a_page_shows_in_full_is_one(tmp_path, monkeypatch):
    text = (ROOT / "docs" / "how-to" / "add-a-method.md").read_text(encoding="utf-8")
    (module_text,) = [block for block in PYTHON_BLOCK.findall(text) if "import numpy" in block]
    (tmp_path / "shownpackage").mkdir()
    (tmp_path / "shownpackage" / "distance.py").write_text(module_text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    shown, declared = method("shownpackage.distance"), declaration("shownpackage.distance")
    assert (declared.title, declared.role, declared.network) == ("distance", "addition", False)
    config = {"budget": "short", "method_settings": {"shownpackage.distance": {"power": 2.0}}}
    settings = training_settings("shownpackage.distance", config)
    state, history = shown.fit([], [], settings, None, device="cpu")
    assert history is None
    volume = np.array([[[0.0, 1.0, 3.0]]], np.float32)
    mask = np.array([[[False, True, True]]])
    score = shown.scorer(state, "cpu")(volume, mask, mask)["score"]
    assert np.allclose(score, [[[np.nan, 1.0, 1.0]]], equal_nan=True)


def test_the_page_of_methods_has_the_table_that_the_code_prints():
    text = (ROOT / "docs" / "reference" / "methods" / "index.md").read_text(encoding="utf-8")
    assert text.count(f"\n\n{method_table()}\n\n") == 1


def test_every_method_has_a_page():
    text = (ROOT / "docs" / "reference" / "methods" / "index.md").read_text(encoding="utf-8")
    for name in METHODS:
        assert re.search(rf"^\| (?:.*, )?{name}(?:, .*)? \| .*\]\(", text, re.MULTILINE), name


def test_what_a_method_may_declare_is_on_the_page_and_nothing_else():
    text = (ROOT / "docs" / "how-to" / "add-a-method.md").read_text(encoding="utf-8")
    section = text.partition("## What a method declares\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE) == [
        each.name for each in fields(Declaration)
    ]


def test_the_layers_on_pages_are_those_that_a_test_holds():
    module = ast.parse((ROOT / "tests" / "repository" / "test_layers.py").read_text(encoding="utf-8"))
    (layers,) = [
        ast.literal_eval(node.value)
        for node in module.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "LAYERS"
    ]
    held = {name: level for level, names in enumerate(layers, start=1) for name in names}
    design = (ROOT / "docs" / "explanation" / "design.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", design, re.MULTILINE)
    assert {name: int(level) for name, level in rows} == held
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    lines = re.findall(r"^(\d+) +(\w+(?:, \w+)*)", contributing, re.MULTILINE)
    assert {name: int(level) for level, names in lines for name in names.split(", ")} == held


def test_the_list_of_pages_has_every_page_or_the_index_of_its_folder():
    def linked(page):
        targets = links(page.read_text(encoding="utf-8"))
        return {(page.parent / target.partition("#")[0]).resolve() for target in targets if target[0] != "#"}

    index = ROOT / "docs/index.md"
    sections = [path for path in linked(index) if path.name == "index.md"]
    listed = {index}.union(linked(index), *map(linked, sections))
    assert {page for page in ROOT.glob("docs/**/*.md") if page not in listed} == set()


def test_the_menu_of_the_site_has_every_page_once():
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    named = re.findall(r"([\w./-]+\.md)\s*$", menu, re.MULTILINE)
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in ROOT.glob("docs/**/*.md")}
    assert len(named) == len(set(named))
    assert pages <= set(named)
