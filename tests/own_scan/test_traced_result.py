import json
import shutil
from contextlib import chdir

import pytest
from small_detector import COHORT, N_TRAINING, N_VALIDATION, write_brain

from patch2loc.__main__ import main
from patch2loc.errors import InputError
from patch2loc.files import read_json, sha256
from patch2loc.own_scan import detect_scan, load_detector, load_scorer, score_own_scan
from patch2loc.provenance.trace import HASHES, content_hash, trace


@pytest.fixture(scope="module")
def made(tmp_path_factory, detector_path):
    """Folder with a scan, its answer and its score by the same model."""
    folder = tmp_path_factory.mktemp("made")
    write_brain(folder / "scan.nii.gz", 7)
    detect_scan(load_detector(detector_path), folder / "scan.nii.gz", folder / "answer", skull_strip="none")
    score_own_scan(load_scorer(detector_path), folder / "scan.nii.gz", folder / "score", skull_strip="none")
    return folder


@pytest.fixture
def copied(made, tmp_path):
    """The same, to be changed; paths in the summaries still lead to the first folder's scan."""
    shutil.copytree(made, tmp_path / "made")
    return tmp_path / "made"


@pytest.mark.parametrize(
    "name",
    [
        "answer",
        "answer/heatmap.nii.gz",
        "answer/report.html",
        "answer/summary.json",
        "answer/preprocessed/qc.json",
        "score",
    ],
)
def test_a_result_is_traced_to_scan_and_model(made, detector_path, name):
    result, scan, model = trace(made / name)
    summary = read_json(made / name.partition("/")[0] / "summary.json")
    assert (
        result["file"] == str(made / name)
        if "/" in name
        else result["file"] == str(made / name / "summary.json")
    )
    assert result["code"] == summary["provenance"]["code"]
    assert result["environment"] == summary["provenance"]["environment"]
    assert result["environment"]["patch2loc"]
    assert result["configuration"]["preprocess"]["skull_strip"] == "none"
    assert result["inputs"] == {scan["file"]: scan["sha256"], model["file"]: model["sha256"]}
    assert (scan["file"], scan["sha256"]) == (str(made / "scan.nii.gz"), sha256(made / "scan.nii.gz"))
    assert (model["file"], model["sha256"]) == (str(detector_path), sha256(detector_path))
    assert len(model["subjects"]) == N_TRAINING + N_VALIDATION
    assert model["code"]
    assert model["configuration"]["cohort"]["title"] == COHORT["title"]
    assert model["configuration"]["cohort"]["simulated"]
    assert not any(entry["changed"] for entry in (result, scan, model))


def test_the_answer_and_its_warnings_are_in_the_trace(made):
    configuration = trace(made / "answer")[0]["configuration"]
    summary = read_json(made / "answer/summary.json")
    assert configuration["answer"] == summary["answer"]
    assert [warning["name"] for warning in configuration["warnings"]]
    assert configuration["warnings"] == summary["warnings"]


def test_what_has_changed_since_is_said(copied, made):
    (copied / "answer/candidates.csv").write_text("edited")
    (copied / "answer/picture.png").unlink()
    assert [entry["changed"] for entry in trace(copied / "answer/candidates.csv")] == [True, False, False]
    assert trace(copied / "answer/picture.png")[0]["changed"]
    assert not trace(copied / "answer/heatmap.nii.gz")[0]["changed"]
    summary = read_json(copied / "answer/summary.json")
    (copied / "answer/summary.json").write_text(json.dumps(summary | {"answer": "All is well."}))
    assert trace(copied / "answer")[0]["changed"]


def test_another_scan_or_model_in_the_same_place_is_said(copied, made):
    text = (copied / "answer/summary.json").read_text()
    (copied / "answer/summary.json").write_text(text.replace(str(made), str(copied)))
    assert not trace(copied / "answer/heatmap.nii.gz")[1]["changed"]
    shutil.copy(copied / "answer/heatmap.nii.gz", copied / "scan.nii.gz")
    assert [entry["changed"] for entry in trace(copied / "answer/heatmap.nii.gz")] == [False, True, False]
    (copied / "scan.nii.gz").unlink()
    assert trace(copied / "answer/heatmap.nii.gz")[1]["changed"]


def test_a_file_that_is_none_of_the_result_has_no_trace(copied):
    (copied / "answer/notes.txt").write_text("mine")
    assert trace(copied / "answer/notes.txt") == []
    (copied / "answer/summary.json").write_text("{}")  # of another program
    assert trace(copied / "answer") == trace(copied / "answer/heatmap.nii.gz") == []
    (copied / "answer/summary.json").write_text("{")
    with pytest.raises(InputError, match=r"answer/summary\.json: damaged JSON found"):
        trace(copied / "answer/heatmap.nii.gz")


def test_the_command_prints_the_trace(made, capsys, tmp_path):
    with chdir(tmp_path):
        assert main(["trace", str(made / "answer")]) == 0
    shown = capsys.readouterr().out
    assert COHORT["title"] in shown
    assert sha256(made / "scan.nii.gz")[:16] in shown
    assert "CHANGED" not in shown


def test_a_scan_that_was_named_relative_to_another_folder_has_not_changed(copied, made, capsys, tmp_path):
    summary = copied / "answer/summary.json"
    relative = read_json(summary) | {"scan": "scan.nii.gz"}
    relative[HASHES] |= {"summary.json": content_hash(relative)}
    summary.write_text(json.dumps(relative))
    for folder in (copied, tmp_path):
        with chdir(folder):
            assert main(["trace", str(copied / "answer")]) == 0
        assert "CHANGED" not in capsys.readouterr().out
    (tmp_path / "scan.nii.gz").write_bytes(b"another scan")
    deep = shutil.copytree(copied / "answer", copied / "answers/of today/answer")
    for answer in (copied / "answer", deep):
        with chdir(tmp_path):
            assert main(["trace", str(answer)]) == 0
        assert "CHANGED" not in capsys.readouterr().out
    (tmp_path / "scan.nii.gz").unlink()
    (copied / "scan.nii.gz").unlink()
    with chdir(tmp_path):
        assert main(["trace", str(copied / "answer")]) == 0
    said = capsys.readouterr().out
    assert "scan.nii.gz  NOT FOUND" in said
    assert "CHANGED" not in said
