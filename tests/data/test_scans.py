import numpy as np
import pytest
from intensity_normalization.normalizers.population.nyul import NyulNormalizer

from patch2loc.data.scans import (
    LANDMARK_PERCENTILES,
    Scan,
    check_lesions,
    read_cohort,
    refuse_fitted_scans,
    write_cohort,
)
from patch2loc.errors import InputError
from patch2loc.files import read_json, write_json
from patch2loc.preprocess.scan import write_left_out
from patch2loc.tables.quality import check_every_scan_is_used, quality_table

REPORT = {
    "atlas_dice": 0.9,
    "scale": [1.0, 1.1, 1.2],
    "lesion": {"source_ml": 4.0, "labels": [1, 2, 4]},
    "flags": ["a", "b"],
}


def written(folder, subject, reason=None, **changes):
    if reason:
        write_left_out(folder / subject, "T1", reason)
    else:
        lesion = REPORT["lesion"] | changes.pop("lesion", {})
        report = REPORT | {"content": f"content of {subject}", "lesion": lesion} | changes
        write_json(folder / subject / "qc.json", report)
    return Scan(subject, folder / subject, "T1")


def test_scans_that_were_left_out_are_not_used(tmp_path):
    scans = [written(tmp_path, "good"), written(tmp_path, "bad", "no brain found")]
    path = tmp_path / "test_fold0.json"
    write_cohort(path, scans)
    assert read_cohort(path) == scans[:1]
    assert read_json(path)["left_out"] == {"bad": "no brain found"}
    assert read_json(path)["contents"] == {"good": "content of good"}
    write_cohort(path, [])
    assert read_cohort(path) == []
    write_cohort(path, scans[1:])
    with pytest.raises(
        InputError, match=r"none of the 1 T1 scans could be preprocessed.*bad: no brain found"
    ):
        read_cohort(path)


def test_a_scan_under_two_names_is_refused_in_a_cohort_and_all_pairs_are_named(tmp_path):
    contents = {"a": "1", "b": "2", "c": "1", "d": "3", "e": "2", "f": "4"}
    scans = [written(tmp_path, subject, content=content) for subject, content in contents.items()]
    with pytest.raises(InputError, match=r"/a and \S+/c; \S+/b and \S+/e: 2 scans .* `leave_out` of their"):
        write_cohort(tmp_path / "all.json", scans)
    assert not (tmp_path / "all.json").exists()
    write_cohort(tmp_path / "all.json", [*scans[:2], *scans[3:4]])
    bad = [written(tmp_path, subject, "no brain found") for subject in "gh"]
    write_cohort(tmp_path / "all.json", [scans[0], *bad])  # two that were left out have no content


def test_strokes_painted_into_one_scan_are_several_scans_of_one_content(tmp_path):
    scans = [written(tmp_path, name, content=name, acquired_content="real") for name in "ab"]
    write_cohort(tmp_path / "all.json", scans)
    assert read_json(tmp_path / "all.json")["contents"] == {"a": "real", "b": "real"}
    with pytest.raises(
        InputError, match=r"/a is x; \S+/b is x: 2 scans found whose voxels are those of training"
    ):
        refuse_fitted_scans(scans, {"w": "other", "x": "real"}, "training scans")


def test_a_scan_with_two_roles_is_known_by_its_content(tmp_path):
    scans = [written(tmp_path, name, content=name) for name in "ab"]
    refuse_fitted_scans(scans, {"a": "c", "b": "d"}, "training scans")
    refuse_fitted_scans(scans, {}, "training scans")
    # A subject of two roles by its dataset's own lists, and of the same name in another dataset.
    refuse_fitted_scans(scans, {"a": "a"}, "training scans", same_dataset=True)
    with pytest.raises(InputError, match=r"/a is a: 1 scans found"):
        refuse_fitted_scans(scans, {"a": "a"}, "training scans")
    with pytest.raises(InputError, match=r"/b is a: 1 scans found"):
        refuse_fitted_scans(scans, {"a": "b"}, "training scans", same_dataset=True)
    with pytest.raises(InputError, match=r"/a is c: 1 scans found"):
        refuse_fitted_scans(scans, {"a": "a", "c": "a"}, "training scans", same_dataset=True)


def test_the_quality_table_flags_scans_of_the_same_voxels(tmp_path):
    contents = {"d/a": "1", "d/b": "2", "e/c": "3", "f/x": "1"}
    scans = [
        (name[0], written(tmp_path / name[0], name[2], content=content)) for name, content in contents.items()
    ]
    table = quality_table(scans)
    same = [flags.removeprefix("a; b") for flags in table["flags"]]
    assert same == ["; the same voxels as x of f", "", "", "; the same voxels as a of d"]
    assert "content" not in table


def test_a_cohort_with_lesions_has_each_label_in_some_scan(tmp_path):
    scans = [
        written(tmp_path, "a", lesion={"labels": [1, 2]}),
        written(tmp_path, "b", lesion={"labels": [2, 3]}),
        written(tmp_path, "healthy", lesion={"labels": [], "source_ml": 0.0}),
        written(tmp_path, "bad", "no brain found"),
    ]
    check_lesions("own", scans, [])
    check_lesions("own", scans, [1, 3])
    check_lesions("own", scans[3:], [7])  # which `read_cohort` says
    message = (
        r"datasets\.own\.source\.lesion_labels: 4 found, a label that is in no lesion file of the 3 scans "
        r"\(labels in them: 1 in 1, 2 in 2, 3 in 1\); correct the labels, or leave out"
    )
    with pytest.raises(InputError, match=message):
        check_lesions("own", scans, [1, 4])
    with pytest.raises(
        InputError, match=r"datasets\.own: no lesion in any of 1 scans found \(labels in them: none"
    ):
        check_lesions("own", scans[2:], [])
    others = [written(tmp_path, "c", lesion={"labels": [5], "source_ml": 0.0})]
    with pytest.raises(
        InputError, match=r"no lesion in any of 1 scans found \(labels in them: 5 in 1\), one at lea"
    ):
        check_lesions("own", others, [])


def test_the_quality_table_holds_every_scan_and_number(tmp_path):
    scans = [("d", written(tmp_path, "good")), ("e", written(tmp_path, "bad", "no brain found"))]
    table = quality_table(scans).set_index("subject")
    assert table.loc["good", ["dataset", "flags", "left_out"]].tolist() == ["d", "a; b", ""]
    assert table.loc["good", ["scale_x", "scale_y", "scale_z"]].tolist() == [1.0, 1.1, 1.2]
    assert table.loc["good", "lesion_source_ml"] == 4
    assert table.loc["good", "lesion_labels"] == "1 2 4"
    assert np.isnan(table.loc["bad", "atlas_dice"])
    with pytest.raises(
        InputError, match=r"quality\.csv: 1 of 2 scans were left out(.|\n)*e, bad: no brain found"
    ):
        check_every_scan_is_used(table.reset_index(), "quality.csv")
    check_every_scan_is_used(table.reset_index().iloc[:1], "quality.csv")


def test_a_scan_unlike_its_cohort_is_an_outlier(tmp_path):
    scans = []
    for number in range(12):
        numbers = {
            "atlas_dice": 0.95 + 0.001 * (number % 5),
            "voxel_mm": [1.0, 1.0, 5.0 if number == 3 else 1.0],
        }
        numbers |= {
            "brain_source_ml": 1400.0 + 10 * number,
            "lesion": {"source_ml": 100.0 if number == 4 else 0.1},
        }
        if number == 2:
            numbers["atlas_dice"] = 0.93  # 0.022 from the median, 5 robust deviations being 0.007
        if number == 5:
            numbers["brain_source_ml"] = 1000.0
            numbers["atlas_dice"] = 0.946  # 0.006: within them
        folder = tmp_path / f"s{number}"
        write_json(folder / "qc.json", {**numbers, "flags": []})
        scans.append(("d", Scan(f"s{number}", folder, "T1")))
    table = quality_table(scans).set_index("subject")
    assert table.loc["s2", "outlier"] == "atlas_dice"
    assert table.loc["s5", "outlier"] == "brain_source_ml"
    assert (table.drop(["s2", "s5"])["outlier"] == "").all()
    assert (quality_table(scans[:9])["outlier"] == "").all()


def test_the_landmarks_percentiles_are_those_of_the_library():
    assert tuple(NyulNormalizer().percentiles) == LANDMARK_PERCENTILES
