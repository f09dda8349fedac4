"""Trainings on the terminal, and in the log where there is none, while a run is at work."""

import io
import os
import sys
import time

import pytest

from patch2loc.watching import display
from patch2loc.watching.display import ShownTrainings, due_lines
from patch2loc.watching.trainings import Training

TABLE = "step,patches,validation_loss,validation_error_mm,patches_per_second,steps,seconds_left\n"
ROW = "20,2000,0.75,8.25,1250.0,40,300.0\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def write(results, name="patch2loc", written=None):
    path = results / "models" / name / "T1" / "fold0" / "progress.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(TABLE + ROW, encoding="utf-8")
    if written:
        os.utime(path, (written, written))
    return path


def shown(results, stream, monkeypatch, during=write):
    """What is shown while a run writes its tables."""
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(display, "LOOK_SECONDS", 0.0)
    trainings = ShownTrainings(results)
    during(results)
    trainings.look()
    trainings.close()
    return stream.getvalue()


def test_on_a_terminal_one_line_is_renewed(monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "200")
    text = shown(tmp_path, Terminal(), monkeypatch)
    assert "patch2loc/T1/fold0  50 %  8.25 mm  1,250 patches/s  5 min left" in text
    assert text.endswith("\r") or text.rstrip(" \r").endswith("\x1b[A")  # nothing is left of it


def test_elsewhere_a_training_has_a_line_now_and_then(monkeypatch, tmp_path):
    monkeypatch.setattr(display, "LINE_SECONDS", 0.0)
    text = shown(tmp_path, io.StringIO(), monkeypatch)
    assert text.splitlines()[0] == "patch2loc/T1/fold0  50 %  8.25 mm  1,250 patches/s  5 min left"
    assert "\r" not in text


def test_a_file_system_may_round_the_time_of_a_table_down(monkeypatch, tmp_path):
    monkeypatch.setattr(display, "LINE_SECONDS", 0.0)
    text = shown(
        tmp_path,
        io.StringIO(),
        monkeypatch,
        during=lambda results: write(results, written=int(time.time())),
    )
    assert "8.25 mm" in text


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_trainings_of_former_runs_are_not_shown(stream, monkeypatch, tmp_path):
    monkeypatch.setattr(display, "LINE_SECONDS", 0.0)
    write(tmp_path, "former", time.time() - 100)
    write(tmp_path, "done")
    (tmp_path / "models/done/T1/fold0/history.csv").touch()
    text = shown(tmp_path, stream(), monkeypatch)
    assert "former" not in text
    assert "done" not in text


def test_lines_of_a_training_are_minutes_apart(tmp_path):
    row = {"step": 1.0, "steps": 4.0, "seconds_left": 3600.0}
    trainings = [Training(tmp_path / name / "progress.csv", [row], 1000.0, False) for name in "ab"]
    said_at = {}
    assert due_lines(trainings, said_at, began=1000.0, now=1299.0) == []
    assert len(due_lines(trainings[:1], said_at, began=1000.0, now=1301.0)) == 1
    assert [
        line.split()[0].split("/")[-1] for line in due_lines(trainings, said_at, began=1000.0, now=1500.0)
    ] == ["b"]
    assert [
        line.split()[0].split("/")[-1] for line in due_lines(trainings, said_at, began=1000.0, now=1602.0)
    ] == ["a"]
