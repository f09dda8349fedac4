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
    assert [file.name for file in found[1].files] == [f"2_{index:03d}.dcm" for index in range(12)]
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
