import inspect
from pathlib import Path

import numpy as np
import pytest

from patch2loc.data.volumes import Grid
from patch2loc.own_scan.answer import CONSEQUENCES
from patch2loc.own_scan.warnings import (
    FEWEST_HEALTHY,
    LIKELY_ERRORS,
    OUTSIDE_GRID,
    coarse,
    doubtful_contrast,
    few_healthy,
    hard_to_locate,
    not_recognized,
    of_model,
    off_the_grid,
    other_age,
    other_preprocessing,
    poor_quality,
    trained_on_scan,
    trained_on_simulated,
)
from patch2loc.preprocess import plausibility, quality
from patch2loc.preprocess.modality import check_modality
from patch2loc.preprocess.version import PREPROCESSING_VERSION
from patch2loc.score.reference import Cohort

HEALTHY = np.array([1.8, 2.0, 2.0, 2.2, 2.6])  # percent of the grid
COHORT = Cohort("healthy adults", False, 100, ["one"], ages=[19.0, 86.0], largest_voxel_mm=1.2)
CONTENT = 64 * "a"
SCAN = Path("scans", "scan.nii.gz")


def test_a_model_of_simulated_scans_is_told_of():
    assert trained_on_simulated(False) is None
    warning = trained_on_simulated(True)
    assert warning.name == "simulated"
    assert "means nothing" in warning.message
    assert warning.message.endswith(f". {CONSEQUENCES[warning.likely_error]}")


@pytest.mark.parametrize(
    "model", [{"simulated": True}, {"reference": {"cohort": {"simulated": True}}, "simulated": False}]
)
def test_either_place_of_a_model_tells_that_its_scans_are_simulated(model):
    assert [warning.name for warning in of_model(model, CONTENT, SCAN)] == ["simulated"]
    assert of_model({}, CONTENT, SCAN) == []


def test_a_scan_of_the_training_is_known_by_its_content():
    assert trained_on_scan({"sub-01": 64 * "b"}, CONTENT) is None
    assert "as sub-02: " in trained_on_scan({"sub-01": 64 * "b", "sub-02": CONTENT}, CONTENT).message


@pytest.mark.parametrize(
    ("path", "subject", "warned"),
    [
        ("IXI-T1/IXI012-HH-1211-T1.nii.gz", "IXI012-HH-1211", True),
        ("IXI012-HH-1211/T1.nii", "IXI012-HH-1211", True),
        ("IXI012-HH-1211/anat/T1.nii", "IXI012-HH-1211", False),
        ("IXI-T1/IXI012-HH-12119-T1.nii.gz", "IXI012-HH-1211", False),
        ("other/sub-00001_T1w.nii.gz", "sub-00001", False),  # another dataset's
        ("other/p01_T1w.nii.gz", "p01", False),
    ],
)
def test_another_copy_of_a_scan_of_the_training_may_be_known_by_its_name(path, subject, warned):
    """The training scans may be coarser copies of the published ones, whose content is another."""
    found = of_model({"contents": {subject: 64 * "b"}}, CONTENT, Path(path))
    assert [warning.name for warning in found] == ["known_name"] * warned
    by_content = of_model({"contents": {subject: CONTENT}}, CONTENT, Path(path))
    assert [warning.name for warning in by_content] == ["known_scan"]


def test_only_another_version_of_preprocessing_is_told_of():
    assert other_preprocessing(None) is None  # a model from before there were versions
    assert other_preprocessing(PREPROCESSING_VERSION) is None
    assert f"({PREPROCESSING_VERSION + 1}, " in other_preprocessing(PREPROCESSING_VERSION + 1).message


@pytest.mark.parametrize(
    ("best_eighth", "contrast_in_doubt", "recognized"),
    [(2.99, False, True), (3.01, False, False), (1.0, True, False)],
)
def test_a_scan_is_not_judged_where_no_part_is_recognized_or_its_contrast_is_doubtful(
    best_eighth, contrast_in_doubt, recognized
):
    """The limit is 1.5 times the median of 2.0."""
    warning = not_recognized(best_eighth, HEALTHY, contrast_in_doubt=contrast_in_doubt)
    assert (warning is None) == recognized


@pytest.mark.parametrize(
    ("error", "healthy", "warned"),
    [
        (2.85, HEALTHY, False),  # hardly worse than the worst of five, as one in six healthy scans is
        (2.87, HEALTHY, True),
        (
            3.1,
            np.append(HEALTHY, 9.0),
            False,
        ),  # one of the healthy is an outlier: 1.5 times their median of 2.1 counts
        (3.2, np.append(HEALTHY, 9.0), True),
    ],
)
def test_a_scan_that_is_located_worse_than_healthy_ones_is_unlike_them(error, healthy, warned):
    found = hard_to_locate(error, healthy)
    assert (found is not None) == warned
    if warned:
        assert f"location error {error:.2f} %" in found.message
        assert f"{healthy.max():.2f} % (greatest)" in found.message


def test_a_doubtful_contrast_is_told_with_its_likeliest_name():
    assert doubtful_contrast(2.0, "T1", "T1") is None
    found = [doubtful_contrast(*each, "T1").message for each in ((-1.5, "FLAIR"), (1.5, "T1"), (None, None))]
    assert found == [
        f"this may not be a T1-weighted scan ({reason}); check the sequence. {CONSEQUENCES['both']}"
        for reason in (
            "it looks like a FLAIR scan; log odds of T1 -1.5",
            "log odds of T1 1.5, too low to be sure",
            "too little of the brain is on the grid to tell",
        )
    ]


@pytest.mark.parametrize(
    ("voxel_mm", "largest", "warned"),
    [
        ([1, 1, 1.79], 1.2, False),
        ([1, 1, 1.82], 1.2, True),
        ([1, 1, 3.000001], 2.0, False),  # as a header stores 3 mm
        ([5.5, 0.9, 0.9], 1.2, True),
        ([5.5, 0.9, 0.9], None, False),
    ],
)
def test_a_scan_coarser_than_the_training_is_told_of(voxel_mm, largest, warned):
    assert (coarse(voxel_mm, largest) is not None) == warned


@pytest.mark.parametrize(
    ("age", "warned"), [(None, False), (19, False), (86, False), (18.9, True), (87, True)]
)
def test_an_age_that_the_training_had_none_of_is_told_of(age, warned):
    assert (other_age(age, COHORT) is not None) == warned
    assert other_age(age, Cohort("ages unknown", False, 100, [])) is None


def test_a_share_of_the_brain_that_nobody_looked_at_is_told_of():
    assert off_the_grid(OUTSIDE_GRID) is None
    assert off_the_grid(0.127).message.startswith("12.7 % of the brain lies outside")


def test_a_percentile_needs_healthy_scans():
    assert few_healthy(FEWEST_HEALTHY) is None
    assert few_healthy(1).message.startswith("1 healthy scan to compare")


def test_flags_of_quality_control_are_warnings_but_for_those_of_the_contrast():
    rng = np.random.default_rng(0)
    shape = (12, 12, 12)
    flat = {"modality": "T1", "atlas_contrast": "T1", "grid": Grid(shape, 4.0, (0.0, 0.0, 0.0))}
    noise = rng.normal(100, 10, shape).astype(np.float32)
    everywhere = np.ones(shape, bool)
    _, flags = check_modality(noise, everywhere, atlas_on_grid=noise, **flat)
    _, other_flags = check_modality(noise, ~everywhere, atlas_on_grid=noise, **flat)
    contrast = [*flags, *other_flags]
    assert len(contrast) == 2
    (warning,) = poor_quality(["brain of 700 ml, 900 to 2000 expected", *contrast])
    assert warning.message.startswith("brain of 700 ml, 900 to 2000 expected; look at preprocessed/qc.png. ")


@pytest.mark.parametrize("words", LIKELY_ERRORS)
def test_a_flag_of_one_likely_error_names_that_error_alone(words):
    assert any(words in inspect.getsource(module) for module in (plausibility, quality))
    (warning,) = poor_quality([f"{words} 8 of something, at most 5 expected"])
    assert warning.likely_error == LIKELY_ERRORS[words] != "both"
    assert poor_quality(["brain of 700 ml, 900 to 2000 expected"])[0].likely_error == "both"
