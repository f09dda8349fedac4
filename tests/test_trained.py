import pytest

from patch2loc import trained
from patch2loc.errors import InputError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of two models that ship."""
    monkeypatch.setattr(trained, "FOLDER", tmp_path / "trained")
    for name in ("t2-1mm", "t1-2mm"):
        path = tmp_path / "trained" / f"{name}.safetensors"
        path.parent.mkdir(exist_ok=True)
        path.touch()
        path.with_suffix(".md").write_text(f"# {name}\n", encoding="utf-8")
    return tmp_path / "trained"


def test_a_name_leads_to_a_model_that_ships_and_a_path_to_a_file(folder, tmp_path, monkeypatch):
    assert trained.names() == ["t1-2mm", "t2-1mm"]
    assert trained.path_of("t1-2mm") == folder / "t1-2mm.safetensors"
    own = tmp_path / "model.safetensors"
    own.touch()
    monkeypatch.chdir(tmp_path)
    assert trained.path_of("model.safetensors").samefile(own)
    (tmp_path / "t1-2mm").touch()  # a file of the same name is named by its folder
    assert trained.path_of("t1-2mm") == folder / "t1-2mm.safetensors"
    assert trained.path_of("./t1-2mm").samefile(tmp_path / "t1-2mm")


@pytest.mark.parametrize("name", ["t3", "absent/model.safetensors", ""])
def test_neither_a_name_nor_a_file_is_refused(name, folder):
    with pytest.raises(InputError, match=r"neither a file nor a model that ships; .*\(t1-2mm, t2-1mm\)"):
        trained.path_of(name)


def test_a_card_is_read(folder):
    assert trained.card_of("t2-1mm") == "# t2-1mm\n"
    with pytest.raises(InputError, match=r"t3: no model that ships; expected one of .*\(t1-2mm, t2-1mm\)"):
        trained.card_of("t3")


def test_every_model_that_ships_has_its_card():
    assert {name for name in trained.names() if not trained.card_of(name).startswith("# ")} == set()
