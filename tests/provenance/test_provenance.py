import json

import pytest
from edited_modules import forget_modules

from patch2loc.commands import main
from patch2loc.data.results import PROVENANCE
from patch2loc.provenance.code import code_hash, code_of, modules_behind
from patch2loc.provenance.record import SUFFIX, describe, write_sidecar
from patch2loc.provenance.trace import trace


def test_a_module_brings_what_it_imports():
    behind = modules_behind(["patch2loc.heatmap"])
    assert {"patch2loc.heatmap", "patch2loc.network.patches", "patch2loc.network.location"} <= set(behind)
    assert "patch2loc.network.training" not in behind
    assert "patch2loc.preprocess.register" in modules_behind(["patch2loc.preprocess.scan"])


def test_statistics_and_imaging_do_not_need_torch():
    for name in (
        "patch2loc.evaluate.subjects",
        "patch2loc.tables.table1",
        "patch2loc.preprocess.scan",
        "patch2loc.report.page",
    ):
        behind = modules_behind([name])
        assert not {
            "patch2loc.network.location",
            "patch2loc.network.training",
            "patch2loc.network.patches",
        } & set(behind), name


def test_the_hash_follows_the_code_behind_and_nothing_else(copied_library):
    names = ["patch2loc.heatmap", "patch2loc.evaluate.subjects", "patch2loc.network.training"]
    before = {name: code_hash(name) for name in names}
    (copied_library / "metrics/ranking.py").touch()
    forget_modules()
    assert {name: code_hash(name) for name in names} == before
    with open(copied_library / "metrics/ranking.py", "a") as stream:
        stream.write("\nEDITED = True\n")
    forget_modules()
    after = {name: code_hash(name) for name in names}
    assert [name for name in names if after[name] != before[name]] == ["patch2loc.evaluate.subjects"]


MODULE = '''"""What it is for."""

import math  # a comment


class Scale:
    """Its purpose."""

    unit = "mm"  # doc

    def times(self, value):
        """Say more.

        Args:
            value: of what.
        """
        "not a docstring"
        return math.tau * value
'''


@pytest.mark.parametrize(
    ("found", "replaced", "same"),
    [
        ("What it is for", "Another purpose", True),
        ('"""What it is for."""\n\n', "", True),
        ('    """Its purpose."""\n\n', "", True),
        ("value: of what", "value: radians", True),
        ("  # a comment", "", True),
        ("import math", "\n\n# more\nimport math", True),
        ("    ", "  ", True),
        ("math.tau * value", "math.tau *\\\n            value", True),
        ("math.tau", "math.pi", False),
        ('"mm"', '"cm"', False),
        ("value):", "value, more=1):", False),
        ("        return", "    return", False),  # of the class's body, not of the function's
    ],
)
def test_prose_and_layout_are_not_code(tmp_path, found, replaced, same):
    before, after = tmp_path / "before.py", tmp_path / "after.py"
    before.write_text(MODULE)
    after.write_text(MODULE.replace(found, replaced))
    assert after.read_text() != MODULE
    assert (code_of(before) == code_of(after)) is same


@pytest.fixture
def results(tmp_path):
    scan, model, table = tmp_path / "scan.nii.gz", tmp_path / "model.safetensors", tmp_path / "table.csv"
    for path in (scan, model, table):
        path.write_text(path.name)
    write_sidecar(model, describe("aa", [scan], {"seed": 3}, ["s1", "s2"]))
    write_sidecar(table, describe("bb", [model], {"patch": 12}, ["s3"]))
    return table


def test_a_table_is_traced_to_its_model_and_scans(results):
    table, model = trace(results)
    assert (table["code"], model["code"]) == ("bb", "aa")
    assert model["configuration"]["seed"] == 3
    assert model["subjects"] == ["s1", "s2"]
    assert any(path.endswith("scan.nii.gz") for path in model["inputs"])
    assert {"python", "numpy", "torch"} <= set(model["environment"])
    assert not table["changed"]


def test_no_provenance_names_the_home_folder_and_its_inputs_are_found(tmp_path, monkeypatch):
    home = tmp_path / "home/jane"
    monkeypatch.setenv("HOME", str(home))
    source = tmp_path / "home/jane/.cache/copies/published.csv"
    model, table = home / "results/model.safetensors", home / "results/table.csv"
    for path in (source, model, table):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    write_sidecar(model, describe("aa", [], {"atlas": str(home / "atlas")}, []))
    write_sidecar(table, describe("bb", [model], {}, [], sources={"config/published.csv": source}))
    for path in (model, table):
        assert "jane" not in path.with_name(f"{path.name}.provenance.json").read_text()
    first, second = trace(table)
    assert first["inputs"].keys() == {"~/results/model.safetensors", "config/published.csv"}
    assert second["configuration"] == {"atlas": "~/atlas"}
    assert not first["changed"]
    assert not second["changed"]


def test_rules_and_library_agree_on_the_name_of_a_provenance():
    assert SUFFIX == PROVENANCE  # two constants, so that a new path of a result trains nothing again


def test_an_edited_table_is_noticed(results, capsys):
    results.write_text("0.99")
    assert trace(results)[0]["changed"]
    assert main(["trace", str(results)]) == 0
    assert "CHANGED SINCE" in capsys.readouterr().out
    assert main(["trace", str(results), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[1]["code"] == "aa"


@pytest.mark.parametrize(
    "damage", [lambda text: "", lambda text: text[:99], lambda text: "[]", lambda text: "{}"]
)
def test_a_damaged_provenance_is_named(results, damage, capsys):
    record = results.with_name("table.csv.provenance.json")
    record.write_text(damage(record.read_text()))
    assert main(["trace", str(results)]) == 1
    assert f"patch2loc: {record}: " in capsys.readouterr().err


def test_a_file_without_provenance_is_refused(tmp_path, capsys):
    assert main(["trace", str(tmp_path / "x.csv")]) == 1
    assert "no" in capsys.readouterr().err
