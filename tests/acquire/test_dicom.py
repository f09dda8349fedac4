import os
import stat

import nibabel as nib
import numpy as np
import pytest
from dicom_series import SHAPE, SPACING, needs_converter, write_series

from patch2loc.acquire import dicom
from patch2loc.acquire.dicom_series import only_series
from patch2loc.errors import InputError


@needs_converter
def test_a_series_becomes_one_volume_with_its_geometry(tmp_path):
    output = tmp_path / "raw" / "T1.nii.gz"
    dicom.convert_folder(write_series(tmp_path / "series", 1, "t1"), output)
    image = nib.load(output)
    assert image.shape == SHAPE
    np.testing.assert_allclose(image.header.get_zooms(), SPACING)
    # The voxel of a place is found through the affine: DICOM's points are LPS, NIfTI's are RAS.
    values = np.asarray(image.dataobj)
    for column, row, index in ((0, 0, 0), (5, 0, 0), (0, 4, 0), (2, 3, 1), (5, 4, 11)):
        point = [-SPACING[0] * column, -SPACING[1] * row, SPACING[2] * index, 1]
        voxel = np.rint(np.linalg.solve(image.affine, point))[:3].astype(int)
        assert values[tuple(voxel)] == 1 + column + 10 * row + 100 * index
    assert [path.name for path in output.parent.iterdir()] == ["T1.nii.gz"]


@needs_converter
def test_the_same_series_gives_the_same_file(tmp_path):
    series = write_series(tmp_path / "series", 1, "t1")
    for name in ("a", "b"):
        dicom.convert_folder(series, tmp_path / f"{name}.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@needs_converter
def test_slices_that_the_converter_drops_are_missed(tmp_path, monkeypatch):
    series = only_series(write_series(tmp_path / "series", 1, "t1"))
    monkeypatch.setattr(dicom, "volume_files", lambda series: [one.path for one in series.slices] * 2)
    with pytest.raises(InputError, match="12 of 24 slices of series 1 are in the image that dcm2niix makes"):
        dicom.convert(series, tmp_path / "T1.nii.gz")


@needs_converter
def test_two_series_in_a_folder_are_named(tmp_path):
    write_series(tmp_path / "series", 1, "t1")
    write_series(tmp_path / "series", 2, "t1")
    with pytest.raises(InputError, match=r"2 DICOM series found \(1: t1, 12 images; 2: t1, 12 images\)"):
        dicom.convert_folder(tmp_path / "series", tmp_path / "T1.nii.gz")
    assert not (tmp_path / "T1.nii.gz").exists()


@needs_converter
def test_a_folder_without_dicom_is_refused(tmp_path):
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "notes.txt").write_text("no scan")
    with pytest.raises(InputError, match="0 DICOM series found"):
        dicom.convert_folder(tmp_path / "series", tmp_path / "T1.nii.gz")


def test_without_the_converter_the_message_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(InputError, match="pip install dcm2niix"):
        dicom.convert_folder(tmp_path, tmp_path / "T1.nii.gz")


@pytest.mark.parametrize(
    ("count", "code", "said", "error", "reason"),
    [
        (2, 0, "", InputError, "2 images found in series 1 "),
        (0, 2, "odd", InputError, "exit code 2: odd"),
        (1, 8, "", InputError, "exit code 8"),
        (0, 1, "Error: Unable to write x.nii (disk full?)", OSError, "No space left on device: '.*/out'"),
    ],
)
def test_what_the_converter_reports_is_passed_on(tmp_path, monkeypatch, count, code, said, error, reason):
    tool = tmp_path / "bin" / "dcm2niix"
    tool.parent.mkdir()
    # A stand-in that writes `count` files into the folder after -o and ends with `code`.
    tool.write_text(
        '#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\n'
        f'for i in $(seq {count}); do echo x > "$2/$i.nii"; done\necho "{said}"\nexit {code}\n'
    )
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    series = only_series(write_series(tmp_path / "series", 1, "t1"))
    with pytest.raises(error, match=reason):
        dicom.convert(series, tmp_path / "out" / "T1.nii.gz")
    assert list((tmp_path / "out").iterdir()) == []
