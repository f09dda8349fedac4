import sys

import pytest
from repository_paths import ROOT

from patch2loc.commands import main, train
from patch2loc.errors import InputError

ECHO = "import json, sys\nprint(json.dumps(sys.argv[1:]))\nsys.exit(3)\n"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository whose runner prints its arguments and ends with status 3; the package lies elsewhere."""
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow/run.py").write_text(ECHO)
    (tmp_path / "Snakefile").touch()
    monkeypatch.setattr(train, "PACKAGE_ROOT", tmp_path / "site-packages")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("my.yaml", ["my.yaml", "--cores", "all"]),
        (
            "my.yaml table1 fig1 --cores 4 --config a=1 b=2",
            ["my.yaml", "table1", "fig1", "--cores", "4", "--config", "a=1", "b=2"],
        ),
        (
            "my.yaml --cores 2 -- --dry-run -R train",
            ["my.yaml", "--cores", "2", "--snakemake", "--dry-run", "-R", "train"],
        ),
    ],
)
def test_the_runner_of_the_repository_gets_the_words_and_gives_the_status(words, expected, repository, capfd):
    assert main(["train", *words.split()]) == 3
    assert capfd.readouterr().out.strip() == str(expected).replace("'", '"')


def test_the_repository_that_the_package_is_in_comes_first(repository):
    assert train.repository_of(repository) == repository
    train.PACKAGE_ROOT = ROOT  # the fixture sets it back
    assert train.repository_of(repository) == ROOT


def test_without_a_repository_the_message_says_how_to_get_one(repository, capsys):
    (repository / "Snakefile").unlink()
    assert main(["train", "my.yaml"]) == 1
    said = capsys.readouterr().err
    assert f"neither {repository / 'site-packages'} nor {repository}" in said
    assert ".venv/bin/patch2loc train config/demo.yaml" in said
    with pytest.raises(InputError):
        train.repository_of(repository)


def test_without_snakemake_the_message_says_what_to_install(repository, monkeypatch, capsys):
    monkeypatch.setattr(train, "find_spec", lambda name: None)
    assert main(["train", "my.yaml"]) == 1
    assert f"{sys.executable}: no Snakemake found" in capsys.readouterr().err
