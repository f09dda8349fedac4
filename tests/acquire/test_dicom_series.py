import os

import pytest
from dicom_series import write_series

from patch2loc.acquire.dicom_series import age_years, chosen_series, series_below
from patch2loc.errors import InputError


@pytest.mark.parametrize(
    ("text", "years"),
    [("045Y", 45), ("006M", 0.5), ("52W", 52 * 7 / 365.25), ("7d", 7 / 365.25), ("", None), ("old", None)],
)
def test_ages_of_dicom_are_years(text, years):
    assert age_years(text) == pytest.approx(years) if years else age_years(text) is None


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study as an archive exports it: some series in one folder, one in a folder below, and another file."""
    folder = tmp_path_factory.mktemp("study")
    write_series(folder, 1, "localizer", slices=3)
    write_series(folder, 2, "t1_mprage_sag")
    write_series(folder, 3, "t2_tse_dark-fluid")
    write_series(folder, 4, "ep2d_diff")
    write_series(folder / "later", 10, "T2 TSE tra", age="")
    (folder / "notes.txt").write_text("no scan")
    return folder


def test_every_series_is_found_with_what_it_says_of_itself(study, capfd):
    (study / "empty").mkdir()
    found = series_below(study)
    assert capfd.readouterr().err == ""  # ITK warns of a folder without a series
    assert [(series.number, series.images, series.age) for series in found] == [
        ("1", 3, 45.0),
        ("2", 12, 45.0),
        ("3", 12, 45.0),
        ("4", 12, 45.0),
        ("10", 12, None),
    ]
    assert [one.path.name for one in found[1].slices] == [f"2_{index:03d}.dcm" for index in range(12)]
    assert str(found[1]) == "2: t1_mprage_sag, 12 images"


@pytest.mark.parametrize(
    ("modality", "number", "chosen"), [("T1", None, "2"), ("T2", None, "10"), ("T1", "4", "4")]
)
def test_the_only_series_of_the_modality_is_chosen_or_the_one_that_is_named(study, modality, number, chosen):
    series, count = chosen_series(study, modality, number)
    assert (series.number, count) == (chosen, 5)


def test_several_series_that_could_be_meant_are_listed(study, tmp_path):
    write_series(tmp_path, 1, "t1_mprage")
    write_series(tmp_path, 2, "t1_mprage_km")
    with pytest.raises(InputError) as error:
        chosen_series(tmp_path, "T1")
    assert "2 MR series found, 2 clearly T1, one expected (1: t1_mprage, 12 images; 2: t1_mprage_km," in str(
        error.value
    )
    with pytest.raises(InputError, match=r"5 MR series found, 0 of number 7, one expected .*\(--series\)"):
        chosen_series(study, "T1", "7")


def test_the_only_series_is_chosen_whatever_it_is_called(tmp_path):
    write_series(tmp_path, 1, "head")
    assert chosen_series(tmp_path, "T2")[0].description == "head"


def test_a_folder_without_a_series_of_mr_is_refused(tmp_path):
    with pytest.raises(InputError, match="no DICOM file found, a NIfTI file or a folder"):
        chosen_series(tmp_path, "T1")
    write_series(tmp_path, 1, "head", kind="CT")
    with pytest.raises(InputError, match="1 series of CT found"):
        chosen_series(tmp_path, "T1")


def test_two_reconstructions_under_one_number_are_chosen_by_their_uid(tmp_path):
    for name in ("plain", "normalized"):
        write_series(tmp_path / name, 4, "t1", tags={"0020|000e": f"1.2.{len(name)}"})
    with pytest.raises(InputError) as error:
        chosen_series(tmp_path, "T1", "4")
    for name in ("plain", "normalized"):
        assert f"4: t1, 12 images (UID 1.2.{len(name)}, in {tmp_path}/{name})" in str(error.value)
        assert chosen_series(tmp_path, "T1", f"1.2.{len(name)}")[0].folder.name == name


def test_a_name_that_is_not_utf_8_is_read(tmp_path):
    folder = tmp_path / os.fsdecode(b"study-\xe9")
    assert [
        series.images for series in series_below(write_series(tmp_path / "a", 1, "t1").rename(folder))
    ] == [12]


@pytest.mark.parametrize(("text", "named"), [("Gadovist", True), ("NONE", False), ("", False)])
def test_a_contrast_agent_is_one_that_the_header_names(tmp_path, text, named):
    write_series(tmp_path, 1, "t1", slices=1, tags={"0018|0010": text})
    assert series_below(tmp_path)[0].contrast_agent is named
