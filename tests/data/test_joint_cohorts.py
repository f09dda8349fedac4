"""Lists of people of whom scans of several contrasts can be used."""

from pathlib import Path

import pytest

from patch2loc.data.joint_cohorts import write_joint_cohort
from patch2loc.data.scans import Scan, read_cohort, write_cohort
from patch2loc.errors import InputError
from patch2loc.files import read_json, write_json


def cohort(folder, modality, **scans):
    """A cohort of scans by name: the reason why each was left out, or None."""
    for subject, reason in scans.items():
        report = {"content": f"{modality} of {subject}"} | ({"left_out": reason} if reason else {})
        write_json(folder / modality / subject / "qc.json", report)
    path = folder / f"{modality}.json"
    write_cohort(path, [Scan(subject, folder / modality / subject, modality) for subject in scans])
    return path


def test_who_lacks_a_contrast_is_left_out_with_the_reason(tmp_path):
    t1 = cohort(tmp_path, "T1", a=None, b=None, c="empty", d=None)
    t2 = cohort(tmp_path, "T2", e=None, d=None, b="too dark", a=None, c=None)
    write_joint_cohort(tmp_path / "joint.json", [t1, t2])
    assert read_cohort(tmp_path / "joint.json") == [
        Scan(subject, Path(tmp_path, "T1", subject), "T1") for subject in "ad"
    ]
    written = read_json(tmp_path / "joint.json")
    assert written["contents"] == {"a": "T1 of a", "d": "T1 of d"}
    assert written["left_out"] == {"c": "empty", "b": "too dark", "e": f"no T1 scan in {t1}"}


def test_a_joint_cohort_of_nobody_is_refused(tmp_path):
    cohorts = [cohort(tmp_path, "T1", a=None), cohort(tmp_path, "T2", b=None, a="too dark")]
    with pytest.raises(
        InputError, match=r"T1\.json and .*T2\.json: nobody with a usable scan in each found, .*a: too dark"
    ):
        write_joint_cohort(tmp_path / "joint.json", cohorts)
    assert not (tmp_path / "joint.json").exists()
