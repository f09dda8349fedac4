import csv
import json
import os
import shutil
import subprocess
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from detected_results import write_dataset, write_result, write_scan
from dicom_series import write_series
from small_detector import write_brain, write_detector

from patch2loc import own_scan, trained
from patch2loc.acquire import scan_inputs
from patch2loc.commands import main
from patch2loc.disclaimer import DISCLAIMER
from patch2loc.errors import InputError
from patch2loc.output_folder import FolderInUseError, claimed
from patch2loc.own_scan import result_folder

VALIDATOR = shutil.which("bids-validator-deno")
TWELVE = [f"sub-{number:02d}" for number in range(1, 13)]


@pytest.fixture
def detected(tmp_path, monkeypatch):
    """Scans that detect_scan has looked at, with their ages; it makes a result unless one is there.

    Scans whose name has a 66 are damaged, and those with a 99 meet an error of the program.
    """
    seen = []
    model = tmp_path / "model.safetensors"
    model.write_bytes(b"model")
    scorer = SimpleNamespace(
        model={"modality": "T1"}, model_path=model, atlas=SimpleNamespace(name="icbm152")
    )

    def detect_scan(detector, scan, folder, *, age, **options):
        if "66" in scan.name:
            raise InputError(f"{scan}: damaged")
        if "99" in scan.name:
            raise ValueError("an error of the program")
        if (folder / "summary.json").exists():
            return json.loads((folder / "summary.json").read_text())
        seen.append((scan.name.removesuffix("_T1w.nii.gz"), age))
        return write_result(folder, percentile=float(len(seen)), warnings=["age"] if age is None else [])

    monkeypatch.setattr(trained, "path_of", lambda name: model)
    monkeypatch.setattr(
        own_scan, "load_detector", lambda *arguments, **options: SimpleNamespace(scorer=scorer)
    )
    monkeypatch.setattr(own_scan, "detect_scan", detect_scan)
    return seen


def detect(root, output, *words):
    return main(["detect", str(root), str(output), *words])


def rows(output):
    with open(output / "patients.tsv", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_every_participant_and_session_is_looked_at_with_the_age(detected, tmp_path, capsys):
    root = write_dataset(tmp_path / "raw", ["sub-01", "sub-02_ses-a", "sub-02_ses-b"])
    output = tmp_path / "out"
    assert detect(root, output, "participant") == 0
    assert detected == [("sub-01", 20.0), ("sub-02_ses-a", 21.0), ("sub-02_ses-b", 21.0)]
    assert [row["page"] for row in rows(output)] == [
        "sub-02_ses-b.html",
        "sub-02_ses-a.html",
        "sub-01.html",
    ]
    assert (output / "sub-02/ses-a/anat/sub-02_ses-a_label-lesion_desc-candidates_mask.nii.gz").is_file()
    said = capsys.readouterr()
    assert "More abnormal than 1 % of 47 healthy scans." in said.out
    assert str(output / "sub-02_ses-a.html") in said.out.splitlines()
    assert said.out.splitlines()[-1] == str(output / "patients.tsv")
    assert "3 scans: 0 failed, 0 left to other processes, 0 cannot be judged, 0 with warnings" in said.err
    assert said.err.splitlines()[-1] == f"patch2loc: {DISCLAIMER}"


def test_what_is_done_is_kept(detected, tmp_path):
    root = write_dataset(tmp_path / "raw", ["sub-01", "sub-02"])
    output = tmp_path / "out"
    assert detect(root, output, "participant") == 0
    before = times(output)
    assert detect(root, output, "participant") == 0
    assert len(detected) == 2
    changed = [path.name for path, time in times(output).items() if before[path] != time]
    assert sorted(changed) == ["patients.json", "patients.tsv"]


@pytest.mark.parametrize("labels", [["02", "03"], ["sub-03", "02"], ["sub-02", "sub-03", "02"]])
@pytest.mark.parametrize("option", ["--participant-label", "--participant_label"])
def test_labels_choose_participants_with_and_without_their_prefix(detected, tmp_path, option, labels):
    root = write_dataset(tmp_path / "raw", ["sub-01", "sub-02", "sub-03"])
    assert detect(root, tmp_path / "out", "participant", option, *labels) == 0
    assert sorted(name for name, _ in detected) == ["sub-02", "sub-03"]


def test_a_session_is_chosen_by_its_label(detected, tmp_path):
    root = write_dataset(tmp_path / "raw", ["sub-01_ses-a", "sub-01_ses-b", "sub-02_ses-b"])
    assert detect(root, tmp_path / "out", "participant", "--session-label", "ses-b") == 0
    assert [name for name, _ in detected] == ["sub-01_ses-b", "sub-02_ses-b"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--participant-label", "07"], "no participant sub-07 found among 2 (sub-01, sub-02); correct"),
        (["--participant-label", "../01"], "'../01' found, a label of letters and digits expected"),
        (
            ["--session-label", "z"],
            "no image named sub-*_T1w.nii.gz found in the anat folders of 2 participants",
        ),
        (["--scan-name", "FLAIR"], "no image named sub-*_FLAIR.nii.gz found"),
        (["--scan-name", "run-1"], "the end of a BIDS name expected"),
        (["--output", "x"], "--output found with a BIDS dataset"),
        (["--age", "30"], "--age found with a BIDS dataset"),
        (["--series", "5"], "--series found with a BIDS dataset"),
    ],
)
def test_options_that_cannot_be_followed_stop_before_anything_is_written(
    detected, tmp_path, capsys, words, said
):
    root = write_dataset(tmp_path / "raw", ["sub-01", "sub-02"])
    assert detect(root, tmp_path / "out", "participant", *words) == 1
    assert said in capsys.readouterr().err
    assert not detected
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_dataset_is_refused(detected, tmp_path, capsys):
    assert detect(tmp_path / "none", tmp_path / "out", "participant") == 1
    assert "no such folder, a BIDS dataset expected" in capsys.readouterr().err
    (tmp_path / "raw").mkdir()
    assert detect(tmp_path / "raw", tmp_path / "out", "participant", "--skip-bids-validation") == 1
    assert "no folder sub-* found" in capsys.readouterr().err


def test_a_dataset_without_its_description_is_taken_if_that_is_said(detected, tmp_path, capsys):
    root = write_dataset(tmp_path / "raw", ["sub-01"])
    (root / "dataset_description.json").unlink()
    assert detect(root, tmp_path / "out", "participant") == 1
    assert "dataset_description.json: no such file" in capsys.readouterr().err
    assert detect(root, tmp_path / "out", "participant", "--skip-bids-validation") == 0


def test_bad_participants_harm_no_other(detected, tmp_path, capsys):
    root = write_dataset(tmp_path / "raw", ["sub-01", "sub-66", "sub-77_run-1", "sub-77_run-2", "sub-80"])
    write_scan(root / "sub-99/anat/sub-99_T1w.nii.gz")
    write_scan(root / "sub-90/anat/sub-90_T2w.nii.gz")
    assert detect(root, tmp_path / "out", "participant") == 1
    assert [name for name, _ in detected] == ["sub-01", "sub-80"]
    assert [row["participant_id"] for row in rows(tmp_path / "out")] == ["sub-80", "sub-01"]
    said = capsys.readouterr().err
    assert "sub-66_T1w.nii.gz: damaged" in said
    assert "2 images fit T1w" in said
    assert "choose by `--scan-name run-1_T1w`" in said
    assert "ValueError: an error of the program" in said
    assert "sub-99: an error of the program found (ValueError), an answer expected" in said
    assert "sub-90: no image named sub-*_T1w.nii.gz" in said
    assert (
        "5 scans: 3 failed, 0 left to other processes, 0 cannot be judged, 0 with warnings; "
        "1 participants without a scan" in said
    )


def test_a_run_is_chosen_by_the_end_of_its_name(detected, tmp_path):
    root = write_dataset(tmp_path / "raw", ["sub-01_run-1", "sub-01_run-2"])
    assert detect(root, tmp_path / "out", "participant", "--scan-name", "run-2_T1w") == 0
    assert [name for name, _ in detected] == ["sub-01_run-2"]


def test_a_missing_scan_is_a_failure_only_of_a_participant_that_is_named(detected, tmp_path):
    root = write_dataset(tmp_path / "raw", ["sub-01"])
    write_scan(root / "sub-02/anat/sub-02_T2w.nii.gz")
    assert detect(root, tmp_path / "out", "participant") == 0
    assert detect(root, tmp_path / "out", "participant", "--participant-label", "01", "02") == 1


def test_a_scan_that_another_process_works_on_is_left_to_it(detected, tmp_path, capsys, monkeypatch):
    root = write_dataset(tmp_path / "raw", ["sub-01", "sub-02"])
    output = tmp_path / "out"
    stub = own_scan.detect_scan

    def detect_scan(detector, scan, folder, **options):  # claims the folder, as the real one does
        from patch2loc.own_scan.result_folder import kept_or_made

        kept_or_made(folder, {}, lambda partial: {"made": True})
        return stub(detector, scan, folder, **options)

    monkeypatch.setattr(own_scan, "detect_scan", detect_scan)
    with claimed(output / "sourcedata/patch2loc/sub-01_T1w"):
        detect(root, output, "participant", "--participant-label", "01")
    said = capsys.readouterr().err
    assert "sub-01: another process is at work on it" in said
    assert "failed" not in said or "0 failed" in said
    assert not detected

    def left_by_a_killed_process(folder):
        raise FolderInUseError("left; remove it", is_certain=False)

    monkeypatch.setattr(result_folder, "claimed", left_by_a_killed_process)
    assert detect(root, output, "participant", "--participant-label", "01") == 1
    assert "patch2loc: left; remove it" in capsys.readouterr().err


def test_the_group_level_ranks_what_is_there_without_a_model(detected, tmp_path, monkeypatch, capsys):
    root = write_dataset(tmp_path / "raw", ["sub-01", "sub-02"])
    output = tmp_path / "out"
    assert detect(root, output, "group") == 1
    said = capsys.readouterr().err
    assert "no result found, those of `patch2loc detect BIDS_DIR OUT participant` expected" in said
    assert DISCLAIMER not in said
    detect(root, output, "participant")
    (output / "patients.tsv").unlink()
    monkeypatch.setattr(own_scan, "load_detector", None)
    assert detect(root, output, "group") == 0
    assert [row["participant_id"] for row in rows(output)] == ["sub-02", "sub-01"]
    (output / "sourcedata/patch2loc/sub-02_T1w/summary.json").write_text("{")
    assert detect(root, output, "group") == 1  # not the table of all
    assert [row["participant_id"] for row in rows(output)] == ["sub-01"]


def test_a_scan_needs_an_output(capsys):
    assert main(["detect", "a.nii.gz"]) == 1
    assert "--output: nothing found, the folder to write to expected" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--participant-label", "99"],
        ["--session_label", "a"],
        ["--scan-name", "run-1_T1w"],
        ["--skip-bids-validation"],
    ],
)
def test_options_for_a_dataset_are_refused_without_its_words(detected, tmp_path, capsys, words):
    root = write_dataset(tmp_path / "raw", ["sub-01"])
    assert main(["detect", str(root), "-o", str(tmp_path / "out"), *words]) == 1
    option = words[0].replace("session_", "session-")
    assert f"patch2loc: {option} found without the words of a BIDS App" in capsys.readouterr().err
    assert not detected


def test_a_series_is_chosen_of_dicom_alone(detected, tmp_path, capsys):
    root = write_dataset(tmp_path / "raw", ["sub-01"])
    for scan in (root, root / "sub-01/anat/sub-01_T1w.nii.gz"):
        assert main(["detect", str(scan), "-o", str(tmp_path / "out"), "--series", "5"]) == 1
        assert "_T1w.nii.gz: --series found with a scan that is no DICOM folder" in capsys.readouterr().err
    assert not detected


def test_the_group_level_refuses_options_of_participants(tmp_path, capsys):
    root = write_dataset(tmp_path / "raw", ["sub-01"])
    assert detect(root, tmp_path / "out", "group", "--participant-label", "01", "--strict") == 1
    assert "--participant-label, --strict found with the level group" in capsys.readouterr().err


def test_a_file_of_a_dataset_is_looked_at_with_its_age_unless_one_is_given(detected, tmp_path):
    root = write_dataset(tmp_path / "raw", ["sub-01", "sub-02"])
    scan = str(root / "sub-02/anat/sub-02_T1w.nii.gz")
    assert main(["detect", scan, "-o", str(tmp_path / "a")]) == 0
    assert main(["detect", scan, "-o", str(tmp_path / "b"), "--age", "70"]) == 0
    assert detected == [("sub-02", 21.0), ("sub-02", 70.0)]


def test_a_dicom_folder_is_converted_beside_its_answer(detected, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(scan_inputs, "convert", lambda series, output: write_scan(output))
    monkeypatch.setattr(scan_inputs, "find_converter", lambda: "dcm2niix")
    study = tmp_path / "study"
    for number, description in ((1, "t1_mprage"), (2, "t2_tse")):
        write_series(study, number, description, age=f"06{number}Y")
    assert main(["detect", str(study), "-o", str(tmp_path / "out")]) == 0
    assert main(["detect", str(study), "-o", str(tmp_path / "other"), "--series", "2"]) == 0
    assert detected == [("converted.nii.gz", 61.0), ("converted.nii.gz", 62.0)]
    assert (tmp_path / "out/converted.nii.gz").is_file()
    assert "the series 1: t1_mprage, 12 images was taken, of 2" in capsys.readouterr().err


@pytest.fixture(scope="module")
def twelve(tmp_path_factory):
    """A BIDS dataset of twelve simulated people, the last with a bright lesion, and what detect makes of it."""
    folder = tmp_path_factory.mktemp("twelve")
    root = write_dataset(folder / "raw", [*TWELVE[:10], "sub-11_ses-a", "sub-11_ses-b", "sub-12"])
    scans = sorted(root.glob("sub-*/**/*_T1w.nii.gz"))
    for seed, scan in enumerate(scans):
        write_brain(scan, 100 + seed, [((-30, -20, 20), 14, 0.5)] if scan == scans[-1] else [])
    model = write_detector(folder / "small.safetensors")
    words = ["participant", "--model", str(model), "--device", "cpu", "--skull-strip", "none"]
    assert detect(root, folder / "out", *words) == 0
    return folder / "out"


@pytest.mark.thorough
def test_twelve_people_are_ranked_and_the_lesion_is_found(twelve):
    table = rows(twelve)
    assert len(table) == 13
    assert table[0]["participant_id"] == "sub-12"
    dseg = twelve / "sub-12/anat/sub-12_desc-candidates_dseg.nii.gz"
    image = nib.load(dseg)
    center = np.rint(np.linalg.solve(image.affine, [-30, -20, 20, 1]))[:3].astype(int)
    assert np.asarray(image.dataobj)[tuple(center)] == 1
    assert "simulated" in table[0]["warnings"]


@pytest.mark.thorough
@pytest.mark.skipif(
    VALIDATOR is None, reason="bids-validator-deno is not installed (pip install bids-validator-deno)"
)
def test_the_validator_passes_derivatives_of_twelve_people(twelve):
    command = [VALIDATOR, str(twelve), "--format", "json"]
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=600, env={**os.environ, "NO_COLOR": "1"}
    )
    result = json.loads(run.stdout)
    assert len(result["summary"]["subjects"]) == 12
    assert [issue for issue in result["issues"]["issues"] if issue["severity"] == "error"] == []
    assert run.returncode == 0
