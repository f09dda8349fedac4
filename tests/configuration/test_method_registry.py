"""One method is one module, one dataset is one module and a row of the registry: nothing else is edited."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from edited_modules import forget_modules
from repository_paths import ROOT

from patch2loc.configuration import method_registry
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
    declaration,
)
from patch2loc.errors import InputError
from patch2loc.method_interface import is_locating, method
from patch2loc.provenance.code import DISPLAY_CONSTANTS, METHOD_REGISTRY, code_hash, modules_behind

TOY = '''
"""Toy: a score that every method beats."""

import numpy as np

ROLE = "control"
TITLE = "Toy"
NETWORK = False
CALIBRATED = True
SETTINGS = {"smoke": {"power": 1.0}, "short": {"power": 1.0}, "paper": {"power": 2.0}}
AS_PUBLISHED = {"erosion": 3, "median": 5}


def fit(training, validation, settings, checkpoint, device):
    return {"power": settings["power"]}, None


def scorer(state, device, stride=1, precision="float32"):
    def score(volume, mask, region):
        return {"score": np.where(region, volume ** state["power"], np.nan).astype(np.float32)}

    return score
'''
# What the workflow, tables and figures make of a method, in a process of its own.
USE = """
import sys
from pathlib import Path

import yaml

from patch2loc.configuration import check, method_names, method_registry, method_settings, prerequisites, schema
from patch2loc.configuration.method_table import method_table
from patch2loc.figures.method_styles import method_styles
from patch2loc.provenance.code import PACKAGE, code_hash, modules_behind

name, = sys.argv[1:]
assert PACKAGE == Path("workflow/scripts/patch2loc").resolve(), PACKAGE
rules = yaml.safe_load(Path("workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))
for entry in ("config.yaml", "demo.yaml"):
    config = yaml.safe_load(Path("config", entry).read_text(encoding="utf-8"))
    schema.check_schema(config | {"methods": ["patch2loc", name]}, rules)
everything = method_names.configured("all")
assert (name in everything) == ("." not in name)
assert everything.index("oracle") == len(everything) - (1 if "." in name else 2)
rows = [name, name + "_calibrated", name + "_as_published"]
assert method_names.table_rows([name]) == rows
titles = ["Toy, control", "Toy, calibrated, control", "Toy, as published, control"]
assert [method_names.display_name(row) for row in rows] == titles
styles = method_styles(method_names.table_rows(["patch2loc", "ae", name]))
assert [styles[row].label for row in rows] == titles
assert len({(style.color, style.line) for style in styles.values()}) == len(styles)
assert not method_registry.runs_network(name) and not method_registry.locates(name)
checked = {"method_settings": {name: {"power": 3.0}}, "budget": "short"}
check.check_method_settings(checked)
assert method_settings.resolve_settings(name, {"budget": "short", "power": 3.0})["power"] == 3.0
assert prerequisites.fallback_note([name], {}) == ""
assert prerequisites.methods_needed(name, [name]) == ()
row = "| `toy` | Toy, control; Toy, calibrated, control; Toy, as published, control | control | yes | Toy: a score that"
assert (row in method_table()) == ("." not in name)
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


def test_a_method_of_the_package_is_one_file(repository):
    before = contents(repository)
    (repository / "workflow/scripts/patch2loc/methods/toy.py").write_text(TOY)
    result = run(repository, USE, "toy")
    assert result.stdout == "used\n", result.stderr
    after = contents(repository)
    touched = [path for path in after if after[path] != before.get(path)]
    assert touched == [Path("workflow/scripts/patch2loc/methods/toy.py")]


def test_a_method_from_outside_is_one_file(repository, tmp_path_factory):
    before = contents(repository)
    outside = tmp_path_factory.mktemp("outside")
    (outside / "mypackage").mkdir()
    (outside / "mypackage/toy.py").write_text(TOY)
    result = run(repository, USE, "mypackage.toy", path=[outside])
    assert result.stdout == "used\n", result.stderr
    assert contents(repository) == before
    assert list(contents(outside)) == [Path("mypackage/toy.py")]


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


def test_every_method_of_the_package_declares_its_role_and_its_own_place():
    declared = [declaration(name) for name in METHODS]
    assert len({each.order for each in declared}) == len(METHODS)
    for each in declared:
        module = method(each.name)
        assert each.role == module.ROLE
        assert each.needs_lesion == getattr(module, "NEEDS_LESION", False)
        assert (
            each.locates
            == is_locating(module)
            == hasattr(module, "predictor")
            == hasattr(module, "network_input")
        )
        assert each.from_patches == (each.locates or getattr(module, "FROM_PATCHES", False))
        assert each.as_published == hasattr(module, "AS_PUBLISHED")


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
        (package / "method.py").write_text(text)
        forget_modules("toydeclares")
        return "toydeclares.method"

    yield write
    forget_modules("toydeclares")


def test_a_method_from_outside_that_declares_nothing_is_an_addition_and_may_run_a_network(outside):
    name = outside("from numpy import *\n")
    assert declaration(name) == method_registry.Declaration(name, title=name, network=True)
    assert (
        declaration("toydeclares.absent").title == display_name("toydeclares.absent") == "toydeclares.absent"
    )
    assert base_method("toydeclares.method_calibrated") == "toydeclares.method_calibrated"


def test_methods_with_a_row_of_the_same_name_are_refused(outside):
    name = outside("CALIBRATED = True")
    config = {
        "patch": 8,
        "grid": {"shape": [48, 48, 25], "spacing": 4.0},
        "score": {"stride": 1},
        "parts": {"strides": []},
    }
    config |= {
        "training": {"patches": 10, "batch": 2},
        "method_settings": {},
        "budget": "smoke",
        "datasets": {},
        "training_data": {"T1": "ixi_t1"},
        "without": [],
    }
    check_configuration(config | {"methods": ["patch2loc", name]})
    with pytest.raises(
        InputError, match=r"^methods: toydeclares\.method_calibrated found, .* different names expected"
    ):
        check_configuration(config | {"methods": ["patch2loc", name, f"{name}_calibrated"]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('ROLE = "row"', r"ROLE = 'row' found, one of table1, addition, variant, control expected"),
        ("TITLE = 3", r"TITLE = 3 found, text expected"),
        ("ORDER = True", r"ORDER = True found, a number expected"),
        ("LOCATES = 1", r"LOCATES = 1 found, True or False expected"),
        ("TITLE = made()", r"TITLE found, which cannot be read without running the module, text expected"),
    ],
)
def test_declarations_of_another_kind_are_refused(outside, text, message):
    name = outside(text)
    with pytest.raises(InputError, match=rf"toydeclares/method\.py: {message}"):
        declaration(name)


def jobs(name):
    """Modules that the rules train and score hash."""
    return [f"patch2loc.methods.{name}", "patch2loc.train", "patch2loc.score.job"]


def test_what_a_method_declares_for_display_trains_no_model_again_and_makes_tables_anew(copied_library):
    module = copied_library / "methods/patch2loc.py"
    hashed = [*METHODS, "patch2loc.tables.table1", "patch2loc.evaluate.subjects"]

    def hashes():
        forget_modules()
        return {name: code_hash(*(jobs(name) if name in METHODS else [name])) for name in hashed}

    before, text = hashes(), module.read_text()
    assert METHOD_REGISTRY in modules_behind(["patch2loc.tables.table1"])
    for old, new in {
        'ROLE = "table1"\n': 'ROLE = "addition"\nTITLE = (\n    "Patch2Loc"\n)\n',
        "ORDER = 10\n": "ORDER: float = 15  # after others\nREDESIGNED = True\n",
        "CALIBRATED = True\n": "",
    }.items():
        assert old in text
        module.write_text(text.replace(old, new))
        after = hashes()
        assert [name for name in hashed if after[name] != before[name]] == ["patch2loc.tables.table1"], new
    module.write_text(text.replace("NETWORK = True\n", "NETWORK = False\n"))
    after = hashes()
    changed = [name for name in hashed if after[name] != before[name]]
    assert changed == [*LOCATING, "dae_patch2loc", "fae_patch2loc", "patch2loc_inpainted"]


@pytest.mark.parametrize(
    "text",
    [
        "ORDER = 1; SHARE = 0.5\n",
        "ORDER, SHARE = 1, 0.5\n",
        "ORDER = 1\nPOWERS = range(ORDER)\n",
        "if True:\n    ORDER = 1\n",
        "ORDERS = 1\n",
        "NEEDS_LESION = True\n",
        "AS_PUBLISHED = {}\n",
    ],
)
def test_all_else_in_a_method_is_code(outside, text):
    plain = code_hash(outside("SHARE = 0.5\n"))
    assert code_hash(outside(f"SHARE = 0.5\n{text}")) != plain
    assert code_hash(outside('ROLE = "control"\nSHARE = 0.5\nORDER = 1\n')) == plain
    assert {"ROLE", "ORDER"} <= set(DISPLAY_CONSTANTS)
