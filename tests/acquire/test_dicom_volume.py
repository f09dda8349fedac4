import shutil

import pytest
from dicom_series import write_series

from patch2loc.acquire.dicom_series import only_series
from patch2loc.acquire.dicom_volume import volume_files
from patch2loc.errors import InputError

PHASE = {"0008|0008": "ORIGINAL\\PRIMARY\\P\\ND"}
FIRST, SECOND = [0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]


def files(folder):
    return [path.name for path in volume_files(only_series(folder))]


def copied(folder):
    shutil.copy(folder / "1_003.dcm", folder / "copy.dcm")


def emptied(folder):
    (folder / "1_003.dcm").write_bytes(b"")


@pytest.mark.parametrize(
    ("second", "damage", "reason"),
    [
        (
            {"tags": {"0010|0020": "other"}, "at": SECOND},
            None,
            "differ in PatientID found .1_000.dcm and b_006.dcm",
        ),
        ({"tags": {"0010|0010": "Doe"}, "at": SECOND}, None, "differ in PatientName"),
        ({"tags": {"0020|000d": "1.2.3"}, "at": SECOND}, None, "differ in StudyInstanceUID"),
        ({"tags": {"0020|0052": "1.2.3"}, "at": SECOND}, None, "differ in FrameOfReferenceUID"),
        ({"at": [3]}, None, "two images at one position found .1_003.dcm and b_003.dcm in .* 12.00 mm along"),
        ({"tags": {"0018|0081": "7.4"}, "at": FIRST}, None, r"2 echoes found \(echo times 3, 7.4 ms\)"),
        (
            {"at": [7, 8, 9]},
            None,
            "1 slice is missing: 8.00 mm between 1_005.dcm and b_007.dcm found, 4.00 mm between all slices",
        ),
        (
            {"at": [8, 9, 11]},
            None,
            "3 slices are missing: 12.00 mm between .*, 8.00 mm between b_009.dcm and b_011",
        ),
        (
            {"at": [6.4, 7.4]},
            None,
            "slices at unequal distances: 5.60 mm between 1_005.dcm and b_006.dcm found",
        ),
        ({"at": SECOND}, emptied, "1 slice is missing: 8.00 mm between 1_002.dcm and 1_004.dcm"),
    ],
)
def test_a_series_that_is_no_volume_is_refused_with_the_reason(tmp_path, second, damage, reason):
    write_series(tmp_path, 1, "t1", at=FIRST)
    tags = {"0008|0018": "1.2.3", **second.pop("tags", {})}
    write_series(tmp_path, 1, "t1", name="b", tags=tags, **second)
    if damage:
        damage(tmp_path)
    with pytest.raises(InputError, match=reason):
        files(tmp_path)


def test_slices_of_several_orientations_are_refused(tmp_path):
    write_series(tmp_path, 1, "localizer", at=FIRST)
    write_series(tmp_path, 1, "localizer", name="b", at=SECOND, tags={"0020|0037": "0\\1\\0\\0\\0\\-1"})
    with pytest.raises(InputError, match="slices of several orientations found"):
        files(tmp_path)


def test_of_magnitude_and_phase_the_magnitude_is_taken(tmp_path):
    write_series(tmp_path, 1, "t1", name="phase", tags=PHASE)
    write_series(tmp_path, 1, "t1")
    assert files(tmp_path) == [f"1_{index:03d}.dcm" for index in range(12)]


@pytest.mark.parametrize("damage", [copied, lambda folder: None])
def test_a_volume_is_all_its_slices_and_each_once(tmp_path, damage):
    write_series(tmp_path, 1, "t1")
    damage(tmp_path)
    assert len(files(tmp_path)) == 12
