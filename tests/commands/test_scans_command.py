import os
from pathlib import Path

import pytest

from patch2loc.commands import scans
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


@pytest.mark.parametrize("name", ["NUL.nii.gz", "con.nii", "com1.t1.nii", "a .nii", "b..nii"])
def test_on_windows_a_scan_whose_name_no_folder_can_have_is_given_alone(name, monkeypatch):
    assert len(folders_of([name, "other.nii"], "out")) == 2
    monkeypatch.setattr(scans, "ON_WINDOWS", True)
    with pytest.raises(InputError, match="no name found that a folder can have on Windows"):
        folders_of([name, "other.nii"], "out")
    assert folders_of([name], "out") == [Path("out")]
    assert len(folders_of(["nullified.nii", "comrade.nii"], "out")) == 2


def test_on_windows_the_longest_file_has_room_in_its_path(monkeypatch):
    monkeypatch.setattr(scans, "ON_WINDOWS", True)
    longest = max(len(name) for name in ("preprocessed/lesion_any.nii.gz", "heatmap_atlas.nii.gz"))
    longest_start = f".partial-{2**32}-0123abcd-"
    partial = len(f"/{longest_start}result/preprocessed/{longest_start}lesion_any.nii.gz")
    assert longest < partial <= scans.LONGEST_NAME
    room = scans.LONGEST_PATH - scans.LONGEST_NAME - len(os.getcwd()) - 1
    assert folders_of(["a.nii"], room * "x") == [Path(room * "x")]
    with pytest.raises(
        InputError, match=r"characters found, at most 159 expected on Windows.* shorter --output"
    ):
        folders_of(["a.nii"], (room + 1) * "x")


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
