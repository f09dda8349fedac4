import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_detector import write_brain

from patch2loc import own_scan, trained
from patch2loc.acquire import scan_inputs
from patch2loc.commands import main
from patch2loc.commands.detect import MAPS
from patch2loc.disclaimer import DISCLAIMER
from patch2loc.errors import InputError
from patch2loc.own_scan import page
from patch2loc.score import reference

CAUTION = f"patch2loc: {DISCLAIMER}"


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """What load_detector and detect_scan are called with; scans named bad fail, scans named odd are warned of."""
    seen = []

    def loaded(model_path, device, **options):
        seen.append((str(model_path), device, options))
        return SimpleNamespace(scorer=SimpleNamespace(model={"modality": "T1"}))

    def detected(detector, scan, folder, *, strict, stage_done, notify, **options):
        name = str(scan)
        seen.append((name, str(folder), options))
        if "bad" in name or (strict and "odd" in name):
            raise InputError(f"{name}: not a scan")
        warnings = [{"name": "coarse", "message": "voxels of 9 mm found"}] if "odd" in name else []
        return {"answer": "No candidate.", "warnings": warnings, "judged": "strange" not in name}

    monkeypatch.setattr(own_scan, "load_detector", loaded)
    monkeypatch.setattr(own_scan, "detect_scan", detected)
    monkeypatch.setattr(scan_inputs, "open_scan", lambda path, *_, **__: scan_inputs.OpenedScan(Path(path)))
    monkeypatch.setattr(page, "write_index", lambda folder, notify: seen.append(("index", folder)))
    (tmp_path / "m.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    return seen


def detect(*words):
    return main(["detect", *words, "--output", "out", "--model", "m.safetensors", "--device", "cpu"])


def test_options_reach_the_model_and_the_scan(calls, capsys):
    assert detect("a.nii") == 0
    model_options = {"precision": "float32", "atlas": None, "method": None}
    options = {"mask_path": None, "skull_strip": "auto", "map_name": "joined", "threshold": None, "age": None}
    options["contrast_agent"] = False
    assert calls == [("m.safetensors", "cpu", model_options), ("a.nii", "out", options)]
    assert capsys.readouterr().out == "a.nii: No candidate.\nout/report.html\n"
    words = (
        "--mask m.nii --age 63 --map zscore --threshold 4 --atlas sri --precision bfloat16 --method my.method"
    )
    assert detect("a.nii", *words.split()) == 0
    model_options = {"precision": "bfloat16", "atlas": "sri", "method": "my.method"}
    options = {
        "mask_path": "m.nii",
        "skull_strip": "given",
        "map_name": "zscore",
        "threshold": 4.0,
        "age": 63.0,
        "contrast_agent": False,
    }
    assert calls[2:] == [("m.safetensors", "cpu", model_options), ("a.nii", "out", options)]
    assert detect("a.nii", "--skull-strip", "none") == 0
    assert calls[-1][2]["skull_strip"] == "none"


def test_the_exit_status_and_the_last_line_say_that_a_scan_cannot_be_judged(calls, capsys):
    assert detect("a.nii", "odd_strange.nii") == 3
    assert (
        "2 scans: 0 failed, 1 cannot be judged (odd_strange.nii), 0 with warnings" in capsys.readouterr().err
    )
    assert detect("strange.nii", "bad.nii") == 1


def test_a_bad_scan_harms_no_other_and_warnings_come_with_the_answer(calls, capsys):
    assert detect("x/a.nii.gz", "bad.nii", "odd.nii", "--age", "50", "--age", "60", "--age", "70") == 1
    assert [(call[1], call[2]["age"]) for call in calls[1:-1]] == [
        ("out/a", 50),
        ("out/bad", 60),
        ("out/odd", 70),
    ]
    assert calls[-1] == ("index", "out")
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "x/a.nii.gz: No candidate.",
        "out/a/report.html",
        "odd.nii: No candidate.",
        "WARNING voxels of 9 mm found",
        "out/odd/report.html",
        "out/index.html",
    ]
    assert "patch2loc: bad.nii: not a scan" in said.err
    assert "patch2loc: 3 scans: 1 failed, 0 cannot be judged, 1 with warnings (odd.nii)" in said.err
    assert said.err.count(CAUTION) == 1


def test_strict_makes_a_warned_scan_fail(calls, capsys):
    assert detect("odd.nii") == 0
    assert detect("odd.nii", "--strict") == 1


def test_the_disclaimer_comes_with_a_report_and_not_with_an_error(calls, capsys):
    assert detect("bad.nii") == detect("odd.nii", "--strict") == 1
    assert DISCLAIMER not in capsys.readouterr().err
    assert detect("a.nii") == 0
    assert capsys.readouterr().err.splitlines()[-1] == CAUTION


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("environment", "styled"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_warnings_stand_out_on_a_terminal(environment, styled, calls, monkeypatch):
    for name, value in ({"TERM": "xterm"} | environment).items():
        monkeypatch.setenv(name, value)
    if "NO_COLOR" not in environment:
        monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert detect("odd.nii") == 0
    plain, bold = (
        "WARNING voxels of 9 mm found\n",
        "\x1b[1m\x1b[31mWARNING\x1b[0m \x1b[33mvoxels of 9 mm found\x1b[0m\n",
    )
    assert (bold in sys.stdout.getvalue()) == styled
    assert (plain in sys.stdout.getvalue()) != styled


def test_the_model_that_ships_is_the_default(calls, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(trained, "FOLDER", tmp_path)
    assert main(["detect", "a.nii", "-o", "out"]) == 1
    assert f"patch2loc: {trained.DEFAULT}: neither a file nor a model that ships" in capsys.readouterr().err
    (tmp_path / f"{trained.DEFAULT}.safetensors").touch()
    assert main(["detect", "a.nii", "-o", "out"]) == 0
    assert calls[0][0] == str(tmp_path / f"{trained.DEFAULT}.safetensors")


def test_maps_have_the_same_names_everywhere():
    assert MAPS == reference.MAPS


def test_a_scan_has_an_answer(detector_path, tmp_path, capsys):
    scan = write_brain(tmp_path / "a.nii.gz", 100)
    command = [
        "detect",
        str(scan),
        "-o",
        str(tmp_path / "out"),
        "--model",
        str(detector_path),
        "--device",
        "cpu",
    ]
    for _ in range(2):  # the second time it is there
        assert main(command) == 0
        said = capsys.readouterr()
        summary = json.loads((tmp_path / "out/summary.json").read_text(encoding="utf-8"))
        lines = said.out.splitlines()
        assert lines[0] == f"{scan}: {summary['answer']}"
        assert lines[1].startswith("WARNING the model was trained on simulated scans")
        assert lines[-1] == f"{tmp_path}/out/report.html"
        assert CAUTION in said.err
    assert main([*command, "--strict"]) == 1
    assert "the model was trained on simulated scans" in capsys.readouterr().err
