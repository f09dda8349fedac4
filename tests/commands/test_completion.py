import argparse
import sys
import types

import pytest

from patch2loc.commands import main
from patch2loc.commands.command_line import command_parser
from patch2loc.commands.completion import SHELLS

FILE, FOLDER = {"bash": "files"}, {"bash": "folders"}


@pytest.fixture
def shtab(monkeypatch):
    """A stand-in for the library, which is optional: it lists what it would complete by paths."""

    def complete(parser, shell):
        subcommands = next(each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
        detect = subcommands.choices["detect"]._actions
        told = {each.dest: each.complete["bash"] for each in detect if hasattr(each, "complete")}
        return f"{shell}: {told}"

    stand_in = types.ModuleType("shtab")
    stand_in.FILE, stand_in.DIRECTORY, stand_in.complete = FILE, FOLDER, complete
    monkeypatch.setitem(sys.modules, "shtab", stand_in)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_completes_files_and_folders(shell, shtab, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--print-completion", shell])
    told = {"scans": "files", "output": "folders", "model": "files", "mask": "files", "atlas": "folders"}
    assert capsys.readouterr().out == f"{shell}: {told}\n"


def test_without_shtab_the_command_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    with pytest.raises(SystemExit, match="2"):
        main(["--print-completion", "bash"])
    assert "--print-completion: no shtab found, which makes the script; install it" in capsys.readouterr().err


@pytest.mark.parametrize("shell", SHELLS)
def test_shtab_makes_a_script_of_every_command(shell):
    shtab = pytest.importorskip("shtab")
    script = shtab.complete(command_parser(), shell)
    assert all(name in script for name in ("detect", "models", "simulate", "skull-strip"))
