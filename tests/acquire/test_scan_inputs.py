import errno
import tempfile

import nibabel as nib
import numpy as np
import pytest
from dicom_series import SHAPE, SPACING, needs_converter, write_series

from patch2loc.acquire import scan_inputs
from patch2loc.acquire.scan_inputs import CONVERTED, OpenedScan, open_scan, removed_if_refused
from patch2loc.errors import InputError


def write_image(path, value=1.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.full((4, 4, 4), value, np.float32), np.eye(4)), path)
    return path


@pytest.fixture
def root(tmp_path):
    """A BIDS dataset of three participants, one of them with two sessions."""
    root = tmp_path / "bids"
    for stem in ("sub-01/anat/sub-01", "sub-02/ses-a/anat/sub-02_ses-a", "sub-02/ses-b/anat/sub-02_ses-b"):
        write_image(root / f"{stem}_T1w.nii.gz")
    write_image(root / "sub-01/anat/sub-01_T2w.nii.gz")
    write_image(root / "sub-03/anat/sub-03_T2w.nii.gz")
    (root / "participants.tsv").write_text("participant_id\tage\nsub-01\t34\nsub-02\tforty\n")
    return root


def test_a_file_is_taken_as_it_is(tmp_path):
    scan = write_image(tmp_path / "a.nii.gz")
    assert open_scan(scan, "T1", tmp_path / "out") == OpenedScan(scan)
    assert not (tmp_path / "out").exists()


def test_a_file_of_a_bids_dataset_comes_with_the_age(root, tmp_path):
    scan = root / "sub-01/anat/sub-01_T1w.nii.gz"
    assert open_scan(scan, "T1", tmp_path / "out") == OpenedScan(scan, 34.0)
    opened = open_scan(root / "sub-02/ses-a/anat/sub-02_ses-a_T1w.nii.gz", "T1", tmp_path / "out")
    assert opened.age is None
    assert "age 'forty' found" in opened.notes[0]


def test_a_file_of_a_bids_dataset_is_one_by_any_path_to_it(root, tmp_path, monkeypatch):
    monkeypatch.chdir(root / "sub-01/anat")
    assert open_scan("sub-01_T1w.nii.gz", "T1", tmp_path / "out").age == 34.0


@pytest.mark.parametrize(
    ("folder", "modality", "scan"),
    [
        ("sub-01", "T1", "sub-01/anat/sub-01_T1w.nii.gz"),
        ("sub-01/anat", "T2", "sub-01/anat/sub-01_T2w.nii.gz"),
        ("sub-02/ses-b", "T1", "sub-02/ses-b/anat/sub-02_ses-b_T1w.nii.gz"),
    ],
)
def test_a_folder_of_a_participant_or_session_leads_to_its_scan(root, tmp_path, folder, modality, scan):
    assert open_scan(root / folder, modality, tmp_path / "out").path == root / scan


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("sub-02", r"2 images named sub-\*_T1w found \(sub-02_ses-a_T1w.nii.gz, sub-02_ses-b_T1w.nii.gz\)"),
        ("", r"3 images named sub-\*_T1w found .*`patch2loc detect BIDS_DIR OUT participant`"),
        ("sub-03", r"0 images named sub-\*_T1w found, one expected"),
    ],
)
def test_a_folder_that_leads_to_no_scan_or_to_several_is_refused(root, tmp_path, folder, said):
    with pytest.raises(InputError, match=said):
        open_scan(root / folder, "T1", tmp_path / "out")


def test_a_folder_of_nifti_files_is_refused_with_the_command_that_takes_them(tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        write_image(tmp_path / "my scans" / name)
    with pytest.raises(InputError) as refused:
        open_scan(tmp_path / "my scans", "T1", tmp_path / "out")
    assert str(refused.value) == (
        f"{tmp_path}/my scans: this folder has 2 NIfTI files and no DICOM series; give the files: "
        f"`patch2loc detect '{tmp_path}/my scans'/*.nii.gz -o OUT`"
    )


def test_a_path_to_nothing_is_refused(tmp_path):
    with pytest.raises(
        InputError, match="no such file or folder; a NIfTI file, a DICOM folder or a BIDS path"
    ):
        open_scan(tmp_path / "none.nii.gz", "T1", tmp_path / "out")


def test_one_file_of_a_series_is_refused_and_its_folder_named(tmp_path):
    series = write_series(tmp_path / "series", 1, "t1")
    with pytest.raises(InputError, match=f"one DICOM file found, .*; give {series}"):
        open_scan(series / "1_000.dcm", "T1", tmp_path / "out")


@needs_converter
def test_a_series_is_converted_beside_its_result_with_its_geometry_and_age(tmp_path):
    write_series(tmp_path / "study", 1, "t2_tse")
    write_series(tmp_path / "study", 2, "t1_mprage")
    opened = open_scan(tmp_path / "study", "T1", tmp_path / "out")
    assert opened.path == tmp_path / "out" / CONVERTED
    assert opened.age == 45.0
    assert opened.notes == (f"{tmp_path / 'study'}: the series 2: t1_mprage, 12 images was taken, of 2",)
    image = nib.load(opened.path)
    assert image.shape == SHAPE
    np.testing.assert_allclose(image.header.get_zooms(), SPACING)
    # The voxel of a place is found through the affine: DICOM's points are LPS, NIfTI's are RAS.
    values = np.asarray(image.dataobj)
    for column, row, index in ((0, 0, 0), (5, 0, 0), (0, 4, 0), (2, 3, 1), (5, 4, 11)):
        point = [-SPACING[0] * column, -SPACING[1] * row, SPACING[2] * index, 1]
        voxel = np.rint(np.linalg.solve(image.affine, point))[:3].astype(int)
        assert values[tuple(voxel)] == 1 + column + 10 * row + 100 * index


@needs_converter
def test_a_series_that_was_converted_already_is_kept_and_another_one_is_refused(tmp_path):
    for name in ("a", "b"):
        write_series(tmp_path / name, 1, "t1", slices=12 if name == "a" else 13)
    kept = open_scan(tmp_path / "a", "T1", tmp_path / "out").path
    written = kept.stat().st_mtime_ns
    assert open_scan(tmp_path / "a", "T1", tmp_path / "out").path.stat().st_mtime_ns == written
    with pytest.raises(
        InputError, match=r"another scan than the DICOM series of .* found; give another --output"
    ):
        open_scan(tmp_path / "b", "T1", tmp_path / "out")
    assert kept.stat().st_mtime_ns == written


def test_of_a_refused_series_nothing_is_left_and_another_one_can_be_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(
        scan_inputs, "convert", lambda series, output: write_image(output, float(series.number))
    )
    for number in (1, 2):
        write_series(tmp_path / "study", number, "t1")
    output = tmp_path / "results" / "out"
    with (
        pytest.raises(InputError, match="no T1"),
        removed_if_refused(open_scan(tmp_path / "study", "T1", output, series="1")),
    ):
        raise InputError("no T1")
    assert not output.parent.exists()
    opened = open_scan(tmp_path / "study", "T1", output, series="2")
    with removed_if_refused(opened):
        pass
    again = open_scan(tmp_path / "study", "T1", output, series="2")
    with pytest.raises(InputError), removed_if_refused(again):
        raise InputError
    assert opened.path.exists()  # it was there before


def test_a_full_folder_of_temporary_files_is_named(tmp_path, monkeypatch):
    def convert(series, output):
        raise OSError(errno.ENOSPC, "No space left on device", "series/1.dcm")

    monkeypatch.setattr(scan_inputs, "convert", convert)
    with pytest.raises(OSError, match="No space left") as failed:
        open_scan(write_series(tmp_path / "series", 1, "t1"), "T1", tmp_path / "out")
    assert failed.value.filename == tempfile.gettempdir()


@pytest.mark.parametrize("name", ["holiday.jpg", "heatmap.nii.gz"])
def test_nothing_is_converted_into_a_folder_of_other_files(tmp_path, monkeypatch, name):
    write_series(tmp_path / "series", 1, "t1")
    monkeypatch.setattr(scan_inputs, "convert", lambda series, output: write_image(output))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    with pytest.raises(InputError, match="it is not empty and no result of this command"):
        open_scan(tmp_path / "series", "T1", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]
