"""What commands print: nothing that a terminal obeys, and errors of the output by its name."""

import errno
import sys
from pathlib import Path

import pytest

from patch2loc.commands import main, terminal
from patch2loc.commands.scans import one_by_one

ESCAPE = "\x1b[2J"


@pytest.mark.parametrize("show", [terminal.say, terminal.tell, terminal.warn])
def test_no_name_gives_a_command_to_a_terminal(show, capsys):
    show(f"a{ESCAPE}.nii")
    said = capsys.readouterr()
    assert "a�[2J.nii" in said.out + said.err
    assert ESCAPE not in said.out + said.err


def test_no_progress_gives_a_command_to_a_terminal(capsys):
    def work(place, progress):
        for show in (progress.notify, progress.tell, progress.warn):
            show(f"a{ESCAPE}.nii")

    assert one_by_one([f"a{ESCAPE}.nii"], [Path("out")], ["all"], work) == 0
    said = capsys.readouterr()
    assert (said.out.count("a�[2J.nii"), said.err.count("a�[2J.nii")) == (2, 1)
    assert ESCAPE not in said.out + said.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_standard_output_is_named(monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(OSError, match=r"standard output: .*; make room there") as error:
            one_by_one(["a.nii"], [Path("out")], ["all"], lambda place, progress: progress.tell("an answer"))
    assert error.value.__cause__.errno == errno.ENOSPC


def test_a_traced_provenance_gives_no_command_to_a_terminal(tmp_path, capsys):
    from patch2loc.provenance.record import describe, write_sidecar

    (tmp_path / "table.csv").touch()
    described = describe("code", [], {}, [])
    write_sidecar(tmp_path / "table.csv", {**described, "environment": {"numpy": ESCAPE}})
    assert main(["trace", str(tmp_path / "table.csv")]) == 0
    said = capsys.readouterr().out
    assert "numpy �[2J" in said
    assert ESCAPE not in said
