import pytest
from written_models import write_model

from patch2loc import trained
from patch2loc.commands import main
from patch2loc.preprocess.atlas import load_atlas


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A folder of models that ship, with one that has no healthy scans."""
    monkeypatch.setattr(trained, "FOLDER", tmp_path)
    path = write_model(tmp_path / "t1-4mm.safetensors", load_atlas("icbm152", "T1"))
    (tmp_path / "t1-4mm.md").write_text("# T1 at 4 mm\n\nFor tests, größer.\n", encoding="utf-8")
    return path


def test_a_list_has_a_line_for_each_model(shipped, capsys):
    assert main(["models"]) == 0
    head, line, place = capsys.readouterr().out.splitlines()
    assert head.split("  ")[0] == "name"
    assert line.split()[:5] == ["t1-4mm", "T1", "4", "mm", "thresh"]
    assert line.split()[-4:-2] == ["healthy", "scans"]
    assert str(shipped.parent) in place
    assert trained.DEFAULT in place


def test_a_card_is_printed_and_a_path_alone(shipped, capsys):
    assert main(["models", "t1-4mm"]) == 0
    assert capsys.readouterr().out == "# T1 at 4 mm\n\nFor tests, größer.\n"
    assert main(["models", "--path", "t1-4mm"]) == 0
    assert capsys.readouterr().out == f"{shipped}\n"


@pytest.mark.parametrize("words", [["t2"], ["--path", "t2"]])
def test_a_name_that_none_has_is_refused_with_those_there_are(words, shipped, capsys):
    assert main(["models", *words]) == 1
    assert "patch2loc: t2: no model that ships; expected one of those that" in capsys.readouterr().err


def test_a_damaged_model_is_told(shipped, capsys):
    content = bytearray(shipped.read_bytes())
    content[-1] ^= 1
    content[len(content) // 2] ^= 1
    shipped.write_bytes(content)
    assert main(["models"]) == 1
    assert f"patch2loc: {shipped}: " in capsys.readouterr().err


def test_an_installation_without_models_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(trained, "FOLDER", tmp_path)
    assert main(["models"]) == 1
    assert f"patch2loc: {tmp_path}: no model found there" in capsys.readouterr().err
