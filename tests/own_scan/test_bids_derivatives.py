import csv
import json
import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest
from detected_results import write_dataset, write_result

from patch2loc.acquire import bids
from patch2loc.errors import InputError
from patch2loc.own_scan import bids_derivatives as derivatives

VALIDATOR = shutil.which("bids-validator-deno") or shutil.which("bids-validator")
SPACE = "space-MNI152NLin2009aSym"
STEMS = [f"sub-{number:02d}" for number in range(1, 11)] + [
    "sub-11_ses-a_acq-mprage_run-1",
    "sub-11_ses-b_acq-mprage_run-1",
    "sub-12_ses-a",
]


def read_tsv(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def read_json(path):
    return json.loads(path.read_text())


def write_all(output, root, **others):
    """Derivatives of every scan of a dataset, the later the more abnormal; the scans."""
    derivatives.write_description(output, root, "t1-2mm", "0123")
    scans = bids.images([root])
    for number, scan in enumerate(scans):
        result = {"labels": number % 3, "percentile": 10.0 + 5 * number} | others
        summary = write_result(derivatives.result_folder(output, scan), **result)
        derivatives.write_derivatives(output, root, scan, summary, modality="T1", atlas="icbm152")
    derivatives.write_table(output, root)
    return scans


def test_each_image_has_its_name_its_content_and_what_it_was_made_of(tmp_path):
    root = write_dataset(tmp_path / "raw", ["sub-11_ses-a_acq-mprage_run-1"])
    output = tmp_path / "out"
    write_all(output, root, labels=2, warnings=["simulated"])
    stem = "sub-11_ses-a_acq-mprage_run-1"
    anat = output / "sub-11/ses-a/anat"
    images = sorted(path.name.removesuffix(".nii.gz") for path in anat.glob("*.nii.gz"))
    assert images == sorted(
        f"{stem}_{ending}"
        for ending in (
            "desc-rarity_statmap",
            "desc-candidates_dseg",
            "label-lesion_desc-candidates_mask",
            f"{SPACE}_desc-rarity_statmap",
            f"{SPACE}_desc-candidates_dseg",
            f"{SPACE}_label-lesion_desc-candidates_mask",
            f"{SPACE}_desc-preproc_T1w",
            f"{SPACE}_desc-brain_mask",
        )
    )
    plain = output / f"sourcedata/patch2loc/{stem}_T1w"
    labels = np.asarray(nib.load(plain / "candidates.nii.gz").dataobj)
    dseg = nib.load(anat / f"{stem}_desc-candidates_dseg.nii.gz")
    mask = nib.load(anat / f"{stem}_label-lesion_desc-candidates_mask.nii.gz")
    np.testing.assert_array_equal(np.asarray(dseg.dataobj), labels)
    np.testing.assert_array_equal(np.asarray(mask.dataobj), labels > 0)
    np.testing.assert_allclose(mask.affine, dseg.affine)
    assert set(np.unique(labels)) == {0, 1, 2}

    scan = f"bids:raw:sub-11/ses-a/anat/{stem}_T1w.nii.gz"
    lesion = read_json(anat / f"{stem}_label-lesion_desc-candidates_mask.json")
    assert lesion["Type"] == "Lesion"
    assert lesion["SpatialReference"] == scan
    assert lesion["Sources"] == [f"bids::sub-11/ses-a/anat/{stem}_desc-candidates_dseg.nii.gz"]
    assert (output / lesion["Sources"][0].removeprefix("bids::")).is_file()
    rarity = read_json(anat / f"{stem}_{SPACE}_desc-rarity_statmap.json")
    assert rarity["Sources"] == [scan]
    assert rarity["SpatialReference"].startswith("https://www.bic.mni.mcgill.ca")
    for path in anat.glob("*candidates*.json"):
        content = read_json(path)
        assert content["Answer"] == "More abnormal than 10 % of 47 healthy scans."
        assert content["Warnings"] == ["simulated: take care"]
    # A BIDS URI leads to the scan, by what the description says of its dataset.
    link = read_json(output / "dataset_description.json")["DatasetLinks"]["raw"]
    assert (output / link / scan.removeprefix("bids:raw:")).is_file()

    rows = read_tsv(anat / f"{stem}_desc-candidates_dseg.tsv")
    assert [(row["index"], row["name"], row["side"], row["tissue"]) for row in rows] == [
        ("1", "candidate 1", "left", "gray matter"),
        ("2", "candidate 2", "left", "gray matter"),
    ]
    assert (output / "sub-11_ses-a.html").read_text() == "<html></html>"
    assert (output / "sub-11/figures" / f"{stem}_desc-candidates_T1w.png").read_bytes() == b"picture"


def test_the_table_has_a_row_a_scan_most_abnormal_first(tmp_path):
    root = write_dataset(tmp_path / "raw", ["sub-01", "sub-02_ses-a", "sub-02_ses-b"])
    write_all(tmp_path / "out", root)
    rows = read_tsv(tmp_path / "out/patients.tsv")
    assert [
        (row["participant_id"], row["session_id"], row["percentile"], row["age"], row["sex"]) for row in rows
    ] == [
        ("sub-02", "ses-b", "20.0", "21.0", "M"),
        ("sub-02", "ses-a", "15.0", "21.0", "M"),
        ("sub-01", "n/a", "10.0", "20.0", "F"),
    ]
    assert set(read_json(tmp_path / "out/patients.json")) == set(rows[0])
    assert all((tmp_path / "out" / row["page"]).is_file() for row in rows)


def test_rows_of_another_process_that_ends_meanwhile_are_not_lost(tmp_path, monkeypatch):
    root = write_dataset(tmp_path / "raw", ["sub-01"])
    output = tmp_path / "out"
    write_all(output, root)
    written = derivatives.write_text

    def written_while_another_ends(path, text):
        written(path, text)
        other = output / "sourcedata/patch2loc/sub-02_T1w"
        if not other.exists():
            write_result(other, percentile=99.0)

    monkeypatch.setattr(derivatives, "write_text", written_while_another_ends)
    derivatives.write_table(output, root)
    assert [row["participant_id"] for row in read_tsv(output / "patients.tsv")] == ["sub-02", "sub-01"]


def test_a_warning_without_a_candidate_is_in_the_tables(tmp_path):
    root = write_dataset(tmp_path / "raw", ["sub-01"])
    write_all(tmp_path / "out", root, labels=0, warnings=["age"])
    (row,) = read_tsv(tmp_path / "out/sub-01/anat/sub-01_desc-candidates_dseg.tsv")
    assert (row["index"], row["name"]) == ("0", "no candidate")
    (row,) = read_tsv(tmp_path / "out/patients.tsv")
    assert (row["candidates"], row["first_volume_ml"], row["warnings"]) == ("0", "n/a", "age")


@pytest.mark.parametrize(
    ("folder", "file", "content"),
    [
        ("sub-02_T1w", "summary.json", "{"),
        ("sub-02_T1w", "summary.json", "{}"),
        ("sub-02_T1w", "candidates.csv", "cut"),
        ("foo_bar", None, None),
    ],
)
def test_the_table_passes_over_damaged_results_and_names_them(tmp_path, folder, file, content):
    root = write_dataset(tmp_path / "raw", ["sub-01"])
    output = tmp_path / "out"
    write_all(output, root)
    write_result(output / "sourcedata/patch2loc" / folder)
    if file:
        (output / "sourcedata/patch2loc" / folder / file).write_text(content)
    notices = []
    derivatives.write_table(output, root, notify=notices.append)
    assert [row["participant_id"] for row in read_tsv(output / "patients.tsv")] == ["sub-01"]
    (notice,) = notices
    assert folder in notice
    assert notice.endswith("it is left out of patients.tsv")


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_what_is_there_stays_and_what_is_missing_or_of_another_result_is_written(tmp_path):
    root = write_dataset(tmp_path / "raw", ["sub-01"])
    output = tmp_path / "out"
    (scan,) = write_all(output, root, labels=1)
    summary = read_json(derivatives.result_folder(output, scan) / "summary.json")
    before = times(output)
    derivatives.write_derivatives(output, root, scan, summary, modality="T1", atlas="icbm152")
    assert times(output) == before
    lost = output / "sub-01/anat/sub-01_desc-candidates_dseg.tsv"
    lost.unlink()
    derivatives.write_derivatives(output, root, scan, summary, modality="T1", atlas="icbm152")
    assert len(read_tsv(lost)) == 1
    summary = write_result(derivatives.result_folder(output, scan), labels=2, percentile=90.0)
    derivatives.write_derivatives(output, root, scan, summary, modality="T1", atlas="icbm152")
    assert len(read_tsv(lost)) == 2


def test_an_output_of_another_model_dataset_or_program_is_refused(tmp_path):
    root = write_dataset(tmp_path / "raw", ["sub-01"])
    other = write_dataset(tmp_path / "other", ["sub-01"])
    output = tmp_path / "out"
    derivatives.write_description(output, root, "t1-2mm", "0123")
    derivatives.write_description(output, root, "t1-2mm", "0123")
    before = times(output)
    with pytest.raises(InputError, match=r"with the model t1-2mm of the dataset .* found, .*model t2-2mm"):
        derivatives.write_description(output, root, "t2-2mm", "4567")
    with pytest.raises(InputError, match=r"of the dataset \.\./raw found, .* of \.\./other expected"):
        derivatives.write_description(output, other, "t1-2mm", "0123")
    assert times(output) == before
    with pytest.raises(InputError, match="the dataset itself found"):
        derivatives.write_description(root, root, "t1-2mm", "0123")
    with pytest.raises(InputError, match="not of this command"):
        derivatives.write_description(other, root, "t1-2mm", "0123")


@pytest.mark.skipif(
    VALIDATOR is None, reason="no BIDS validator is installed (pip install bids-validator-deno)"
)
def test_the_validator_accepts_derivatives_of_twelve_people(tmp_path):
    root = write_dataset(tmp_path / "raw", STEMS)
    output = tmp_path / "out"
    scans = write_all(output, root)
    assert len({scan.entities["sub"] for scan in scans}) == 12
    run = subprocess.run(
        [VALIDATOR, str(output), "--format", "json"], capture_output=True, text=True, timeout=600
    )
    print(run.stdout, run.stderr)
    issues = json.loads(run.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []
    assert run.returncode == 0
