import os
import signal
import subprocess
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
            "my.yaml other.yaml --estimate --cores 16 --gpus 1 --cluster-jobs 20",
            ["my.yaml", "other.yaml", "--cores", "16", "--estimate", "--gpus", "1", "--cluster-jobs", "20"],
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


WAIT = """
import pathlib, signal, sys, time
def stop(number, frame):
    pathlib.Path("cleaned up").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
print("at work", flush=True)
time.sleep(600)
"""


def test_a_signal_to_the_command_alone_ends_the_run(repository):
    (repository / "workflow/run.py").write_text(WAIT)
    code = "import pathlib, sys; from patch2loc.commands import main, train; train.PACKAGE_ROOT = pathlib.Path(); "
    code += "sys.exit(main(['train', 'my.yaml']))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts")}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
    ) as command:
        assert command.stdout.readline() == "at work\n"
        command.send_signal(signal.SIGTERM)
        assert command.wait(timeout=120) == 128 + signal.SIGTERM
    assert (repository / "cleaned up").exists()


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
