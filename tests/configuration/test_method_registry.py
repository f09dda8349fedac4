"""One method is one folder, one dataset is one module and a row of the registry: nothing else is edited."""

import csv
import shutil
import subprocess
import sys

import pytest
from edited_modules import forget_modules
from planned_runs import configuration
from repository_paths import ROOT
from toy_method import CODE, DECLARATION, write_toy

from patch2loc.configuration.check import check_configuration
from patch2loc.configuration.method_names import (
    base_method,
    configured,
    display_name,
    needs_truth,
    table_rows,
)
from patch2loc.configuration.method_registry import (
    AS_PUBLISHED,
    CALIBRATED,
    FROM_PATCHES,
    LOCATING,
    METHODS,
    NETWORKS,
    VARIANTS,
)
from patch2loc.errors import InputError
from patch2loc.method_declaration import Declaration
from patch2loc.method_interface import declaration, is_locating, method, module_name
from patch2loc.provenance.code import code_hash

# What the workflow, tables and figures make of a method, in a process of its own.
USE = """
import sys
from pathlib import Path

import yaml

from patch2loc.configuration import method_names, method_registry, method_settings, prerequisites, validation
from patch2loc.configuration.method_table import method_table
from patch2loc.method_interface import method
from patch2loc.provenance.code import PACKAGE

name, = sys.argv[1:]
assert PACKAGE == Path("workflow/scripts/patch2loc").resolve(), PACKAGE
for entry in ("config.yaml", "demo.yaml"):
    config = yaml.safe_load(Path("config", entry).read_text(encoding="utf-8"))
    validation.valid(config | {"methods": ["patch2loc", name]})
everything = method_names.configured("all")
assert (name in everything) == ("." not in name)
assert everything.index("oracle") == len(everything) - (1 if "." in name else 2)
rows = [name, name + "_calibrated", name + "_as_published"]
assert method_names.table_rows([name]) == rows
titles = ["Toy, control", "Toy, calibrated, control", "Toy, as published, control"]
assert [method_names.display_name(row) for row in rows] == titles
assert not method_registry.runs_network(name) and not method_registry.locates(name)
assert method_settings.resolve_settings(name, "short", {"power": 3.0}) == {"power": 3.0}
assert prerequisites.fallback_note([name], {}) == ""
assert prerequisites.methods_needed(name, [name]) == ()
assert not {"torch", "pandas"} & set(sys.modules)
assert method(name).fit([], [], {"power": 3.0}, None, device="cpu") == ({"power": 3.0}, None)
row = "| `toy` | Toy, control; Toy, calibrated, control; Toy, as published, control | control | yes | Toy: a score that"
assert (row in method_table()) == ("." not in name)
from patch2loc.figures.method_styles import method_styles

styles = method_styles(method_names.table_rows(["patch2loc", "ae", name]))
assert [styles[row].label for row in rows] == titles
assert len({(style.color, style.line) for style in styles.values()}) == len(styles)
print("used")
"""
DATASET = '''
"""A toy dataset."""

EXPECTED = "toy.zip with one scan per subject"


def place(path):
    return path.name if path.name.endswith(".nii.gz") else None


def subject(path):
    return path.name.removesuffix(".nii.gz")
'''


def run(folder, text, *arguments, path=()):
    """Run Python code with the library of a folder; stop the test when it fails."""
    return subprocess.run(
        [sys.executable, "-c", text, *arguments],
        cwd=folder,
        env={"PYTHONPATH": ":".join(map(str, (folder / "workflow/scripts", *path))), "MPLBACKEND": "agg"},
        check=False,
        capture_output=True,
        text=True,
    )


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture
def repository(tmp_path):
    """A copy of the library, its schemas and its configurations."""
    for part in ("workflow/scripts/patch2loc", "workflow/schemas", "config"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_a_method_of_the_package_is_one_folder(repository):
    before = contents(repository)
    written = write_toy(repository / "workflow/scripts/patch2loc")
    result = run(repository, USE, "toy")
    assert result.stdout == "used\n", result.stderr
    after = contents(repository)
    touched = {repository / path for path in after if after[path] != before.get(path)}
    assert touched == written


@pytest.mark.parametrize("files", [{"toy.py"}, {"toy/__init__.py", "toy/model.py"}])
def test_a_method_from_outside_is_one_module_or_folder(repository, tmp_path_factory, files):
    before = contents(repository)
    outside = tmp_path_factory.mktemp("outside")
    for name in files:
        path = outside / "mypackage" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text({"toy": DECLARATION + CODE, "__init__": DECLARATION, "model": CODE}[path.stem])
    result = run(repository, USE, "mypackage.toy", path=[outside])
    assert result.stdout == "used\n", result.stderr
    assert contents(repository) == before


def test_a_dataset_is_one_module_and_a_row_of_the_registry(repository, tmp_path_factory):
    before = contents(repository)
    (repository / "workflow/scripts/patch2loc/acquire/unpack/toy.py").write_text(DATASET)
    with open(repository / "config/registry.csv", newline="", encoding="utf-8") as stream:
        row = next(csv.DictReader(stream))
    row |= {"dataset": "toy", "title": "Toy", "file": "toy.zip", "bytes": "", "checksum": ""}
    with open(repository / "config/registry.csv", "a", newline="", encoding="utf-8") as stream:
        csv.DictWriter(stream, row).writerow(row)
    downloads = tmp_path_factory.mktemp("downloads")
    (downloads / "s1.nii.gz").write_bytes(b"scan")
    use = """
import sys

from patch2loc.acquire import registry, unpack

assert "toy" in unpack.NAMES
table = registry.read("config/registry.csv", "workflow/schemas/registry.schema.yaml")
dataset = {"registry": "toy", "modality": "T1"}
assert [row["file"] for row in registry.downloadable({"own": dataset}, table, "toy")] == ["toy.zip"]
print(unpack.unpack("toy", sys.argv[1], sys.argv[2])["subjects"])
"""
    result = run(repository, use, str(downloads), str(downloads.parent / "toy"))
    assert result.stdout == "['s1']\n", result.stderr
    after = contents(repository)
    touched = sorted(str(path) for path in after if after[path] != before.get(path))
    assert touched == ["config/registry.csv", "workflow/scripts/patch2loc/acquire/unpack/toy.py"]


def test_every_method_of_the_package_has_its_own_place_and_the_functions_of_its_kind():
    declared = {name: declaration(name) for name in METHODS}
    assert len({each.order for each in declared.values()}) == len(METHODS)
    for name, each in declared.items():
        module = method(name)
        assert (
            each.locates
            == is_locating(module)
            == hasattr(module, "predictor")
            == hasattr(module, "network_input")
        )


def test_planning_reads_declarations_without_torch_and_pandas():
    code = "import sys; from patch2loc.configuration.method_registry import METHODS; print(len(METHODS), *sys.modules)"
    count, *modules = run(ROOT, code).stdout.split()
    assert int(count) == len(METHODS)
    assert "patch2loc.methods.svae" in modules
    assert not {"torch", "pandas", "scipy"} & set(modules)


def test_rows_of_table_1_are_those_that_the_paper_prints():
    with open(ROOT / "config/published/table1.csv", newline="", encoding="utf-8") as stream:
        printed = {row["method"].lower() for row in csv.DictReader(stream)}
    assert {name for name in METHODS if declaration(name).role == "table1"} == printed


def test_what_follows_from_the_declarations_is_as_it_was():
    assert METHODS[:2] == ("patch2loc", "patch2loc_robust")
    assert METHODS[-9:-6] == ("zscore", "zscore_bright", "zscore_dark")
    assert METHODS[-6:-3] == ("texture_z", "texture_z_low", "texture_z_high")
    assert METHODS[-3:] == ("asymmetry", "random", "oracle")
    assert set(METHODS) - set(NETWORKS) == {"thresh", "thresh_dark", *METHODS[-9:]}
    assert all(name.startswith("patch2loc") for name in LOCATING)
    assert len(LOCATING) == 7
    assert set(FROM_PATCHES) - set(LOCATING) == {"patch_vae", "patch_vae_uncertainty"}
    assert set(FROM_PATCHES) == set(CALIBRATED) == {"patch2loc", *VARIANTS}
    assert len(configured("all")) == len(METHODS) - 8
    assert len(table_rows(METHODS)) == len(METHODS) + len(CALIBRATED) + len(AS_PUBLISHED)
    assert needs_truth("oracle")


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """Writes a method in a package of its own that Python finds."""
    package = tmp_path / "toydeclares"
    package.mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text):
        (package / "method.py").write_text(f"from patch2loc.method_declaration import Declaration\n{text}")
        forget_modules("toydeclares")
        return "toydeclares.method"

    yield write
    forget_modules("toydeclares")


def test_a_method_from_outside_that_declares_nothing_is_an_addition_and_may_run_a_network(outside):
    name = outside("from numpy import *\n")
    assert declaration(name) == Declaration(title=name, network=True)
    assert (
        declaration("toydeclares.absent").title == display_name("toydeclares.absent") == "toydeclares.absent"
    )
    assert base_method("toydeclares.method_calibrated") == "toydeclares.method_calibrated"


def test_methods_with_a_row_of_the_same_name_are_refused(outside, tmp_path):
    name = outside("METHOD = Declaration(calibrated=True)")
    config = configuration(tmp_path)
    check_configuration(config | {"methods": ["patch2loc", name]})
    with pytest.raises(
        InputError, match=r"^methods: toydeclares\.method_calibrated found, .* different names expected"
    ):
        check_configuration(config | {"methods": ["patch2loc", name, f"{name}_calibrated"]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('METHOD = Declaration(role="row")', r"role = 'row' found, one of table1, addition, variant, control exp"),
        ("METHOD = Declaration(title=3)", r"title = 3 found, text expected"),
        ("METHOD = Declaration(order=True)", r"order = True found, a number expected"),
        ("METHOD = Declaration(locates=1)", r"locates = 1 found, True or False expected"),
        ('METHOD = Declaration(needs="patch2loc")', r"needs = 'patch2loc' found, a tuple of text"),
        ('METHOD = Declaration(settings={"smoke": {}})', r"settings = .* found, a mapping for each of smoke, sh"),
        (
            'METHOD = Declaration(locates=True, settings=dict.fromkeys(("smoke", "short", "paper"), {}))',
            r"settings = .* found, own_settings, besides `training`, expected",
        ),
        ('METHOD = Declaration(as_published={"erode": 3})', r"as_published = .* found, None, or erosion and med"),
        ('METHOD = Declaration(state={"power": "float"})', r"state = .* found, kinds among array, map, spread"),
        ("METHOD = Declaration(titles='Toy')", r"unexpected keyword argument 'titles'"),
        ("METHOD = {'title': 'Toy'}", r"toydeclares/method\.py: METHOD found, METHOD = Declaration\(\) expected"),
        ("ROLE = 'control'\nTITLE = 'Toy'", r"TITLE, ROLE found, METHOD = Declaration\(title=..., role=...\) ex"),
        ("import torch_of_elsewhere", r"import ends with: No module named 'torch_of_elsewhere'; .* in model\.py"),
        ("1 / 0", r"import ends with: division by zero"),
        ("def fit(:", r"import ends with: invalid syntax \(method.py, line 2\)"),
    ],
)  # fmt: skip
def test_declarations_that_cannot_be_right_are_refused(outside, text, message):
    name = outside(text)
    with pytest.raises(InputError, match=message) as raised:
        declaration(name)
    assert "toydeclares" in str(raised.value)


def test_a_method_that_locates_needs_four_functions(outside):
    name = outside("METHOD = Declaration(locates=True)\ndef fit(): ...\ndef scorer(): ...\n")
    with pytest.raises(
        InputError, match=r"has no network_input and predictor; see docs/how-to/add-a-method\.md"
    ):
        method(name)


def jobs(name):
    """Modules that the rules train and score hash."""
    return [module_name(name), "patch2loc.train", "patch2loc.score.job"]


def test_what_a_method_declares_is_behind_tables_and_behind_no_job_of_its_own(copied_library):
    hashed = [*METHODS, "patch2loc.tables.table1", "patch2loc.evaluate.subjects"]

    def hashes():
        forget_modules()
        return {name: code_hash(*(jobs(name) if name in METHODS else [name])) for name in hashed}

    before = hashes()
    for name in ("patch2loc", "dae"):
        with open(copied_library / "methods" / name / "__init__.py", "a") as stream:
            stream.write("EDITED = True\n")
        after = hashes()
        assert [name for name in hashed if after[name] != before[name]] == ["patch2loc.tables.table1"]
        before = after
