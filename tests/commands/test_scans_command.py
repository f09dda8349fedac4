from pathlib import Path

import pytest

from patch2loc.commands.scans import folders_of, matching, one_for_each
from patch2loc.errors import InputError


def test_one_scan_has_the_output_itself_and_several_a_folder_each():
    assert folders_of(["x/a.nii.gz"], "out") == [Path("out")]
    assert folders_of(["x/a.nii.gz", "y/b.nii", "dicom"], "out") == [
        Path("out", name) for name in ("a", "b", "dicom")
    ]


@pytest.mark.parametrize(
    "names", [("a.nii", "A.nii.gz"), ("Straße.nii", "STRASSE.nii"), ("k\u00f6pf.nii", "ko\u0308pf.nii")]
)
def test_names_that_macos_or_windows_take_for_one_are_refused(names):
    with pytest.raises(InputError, match=r"out: several scans are named .*, which would share a folder"):
        folders_of(names, "out")


def test_the_name_of_the_list_of_scans_is_reserved():
    with pytest.raises(InputError, match=r"x/Index\.html\.nii\.gz: a name found that out needs"):
        folders_of(["a.nii", "x/Index.html.nii.gz"], "out")
    assert folders_of(["index.html.nii.gz"], "out") == [Path("out")]


def test_patterns_that_a_shell_left_are_looked_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.nii", "a.nii", "[c].nii"):
        Path(name).touch()
    assert matching(["?.nii", "[c].nii", "*.mgz", "absent.nii"]) == [
        "a.nii",
        "b.nii",
        "[c].nii",
        "*.mgz",
        "absent.nii",
    ]


def test_an_option_is_given_for_no_scan_or_for_each():
    assert one_for_each(["a", "b"], "--age", None) == [None, None]
    assert one_for_each(["a", "b"], "--age", [50.0, 0.0]) == [50.0, 0.0]
    with pytest.raises(InputError, match="--age: 1 found for 2 scans, one for each expected"):
        one_for_each(["a", "b"], "--age", [50.0])
