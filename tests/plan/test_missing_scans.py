"""A part of the data: what runs with `missing_scans: skip`, what it says, and what stops it."""

import re

import pandas as pd
import pytest
from paper_replica import paper_configuration, touch_scans
from planned_runs import REGISTRY, configuration, dataset, scan_table, subject_list
from repository_paths import ROOT

from patch2loc.configuration.presets import completed
from patch2loc.errors import InputError
from patch2loc.plan import dataset_groups, preprocess
from patch2loc.plan.notes import missing_note, planning_notes
from patch2loc.plan.plan import make_plan
from patch2loc.plan.protocol import protocol

T2_DATASETS = {"ixi_t2", "brats21", "mslub"}


def planned(config, **changes):
    """The run of the paper's configuration with some keys changed."""
    return make_plan(completed({**config, **changes}), str(REGISTRY))


@pytest.fixture
def paper(tmp_path):
    """The paper's configuration in fold 0, with an empty file of 2 subjects of each lesion dataset and of 6 of IXI."""
    config = paper_configuration(tmp_path)
    touch_scans(config)
    for entry in config["datasets"].values():
        entry["leave_out"] = []
    return config | {"folds": [0]}


def remove(config, dataset):
    """Remove the scans of a dataset."""
    folder = ROOT / config["data"] / config["datasets"][dataset]["source"]["root"]
    for path in folder.rglob("*.nii.gz"):
        path.unlink()


def test_a_run_uses_the_scans_that_are_there_and_says_who_is_not(paper):
    run = planned(paper, missing_scans="skip")
    run.data.stop_for_missing()
    assert {name: len(each.scans) for name, each in run.datasets.items()} == {
        "ixi_t1": 6,
        "ixi_t2": 6,
        "brats21": 2,
        "mslub": 2,
        "atlas": 2,
        "wmh": 2,
    }
    roles = run.datasets["ixi_t1"].roles(0)
    assert {role: len(scans) for role, scans in roles.items()} == {"train": 4, "validation": 1, "test": 1}
    assert dataset_groups.labels_and_counts(run, ["mslub"])["mslub"]["n_listed"] == 30
    [note] = [
        note
        for note in planning_notes(run)
        if note.startswith("Not all scans are there (missing_scans: skip): ")
    ]
    assert "2 of 30 of mslub" in missing_note(run)
    assert note.startswith(missing_note(run))
    assert "  mslub: without patient03, patient04, patient05, patient06, patient07, ... (28)" in note
    assert "Only scans that were there (missing_scans: skip): 6 of 566 of IXI, T1, " in protocol(run)
    assert "2 of 30 of MSLUB, T2" in protocol(run)
    rows = pd.DataFrame(preprocess.passed_over(run))
    assert rows["dataset"].value_counts()["mslub"] == 28
    first = rows[rows["dataset"] == "mslub"].iloc[0]
    assert first["subject"] == "patient03"
    assert [path.rsplit("_", 1)[1] for path in first["files"].split("; ")] == [
        "T2W.nii.gz",
        "brainmask.nii.gz",
        "gt.nii.gz",
    ]


def test_who_is_left_out_is_not_missing(paper):
    paper["datasets"]["mslub"]["leave_out"] = ["patient03"]
    run = planned(paper, missing_scans="skip")
    assert "patient03" not in [row["subject"] for row in preprocess.passed_over(run)]
    assert "2 of 29 of mslub" in missing_note(run)


def test_missing_scans_stop_by_default_and_the_message_says_how_to_go_on(paper):
    run = planned(paper)
    with pytest.raises(InputError) as raised:
        preprocess.scans_of_cohort(run, "brats21", "all")
    said = str(raised.value)
    assert said.startswith("Data are missing: of 6 of 6 datasets.")
    assert (
        "mslub: 2 of 30 subjects are there, 28 missing: patient03, patient04, patient05, patient06, patient07, ..."
        in said
    )
    assert "add --config missing_scans=skip to the command" in said
    assert preprocess.passed_over(run) == []
    assert "missing_scans" not in protocol(run)


@pytest.mark.parametrize("name", ["brats21", "mslub", "atlas", "wmh"])
def test_a_dataset_of_which_nothing_is_there_is_passed_over(paper, name):
    remove(paper, name)
    run = planned(paper, missing_scans="skip")
    run.data.stop_for_missing()
    assert set(run.datasets) == set(paper["datasets"]) - {name}
    assert re.search(rf"\b0 of [\d,]+ of {name}\b", missing_note(run))
    with pytest.raises(InputError, match=f"{name}: none of .* subjects is there"):
        planned(paper).data.stop_for_missing()


@pytest.mark.parametrize(("name", "left"), [("ixi_t2", {"ixi_t1", "atlas", "wmh"}), ("ixi_t1", T2_DATASETS)])
def test_a_modality_without_training_data_is_passed_over(paper, name, left):
    remove(paper, name)
    run = planned(paper, missing_scans="skip")
    run.data.stop_for_missing()
    assert set(run.datasets) == left
    modality = "T2" if name == "ixi_t2" else "T1"
    assert list(run.training_data) == [each for each in ("T1", "T2") if each != modality]
    other = "mslub" if name == "ixi_t2" else "wmh"
    assert re.search(rf"without training data, so not used: .*{other}", missing_note(run))
    assert "Not used, for want of training data: " in protocol(run)


def test_without_training_data_nothing_runs_and_one_sentence_says_so(paper):
    for name in ("ixi_t1", "ixi_t2"):
        remove(paper, name)
    run = planned(paper, missing_scans="skip")  # is planned, so that `snakemake data` gets what is missing
    with pytest.raises(
        InputError, match=r"^missing_scans: skip found, but no scan of the training data is there"
    ):
        run.data.stop_for_missing()
    assert set(run.datasets) == set(paper["datasets"])
    assert preprocess.passed_over(run) == []
    with pytest.raises(InputError, match="not yet: no scan of the training data is there"):
        planned(paper).data.stop_for_missing()


def test_a_fold_without_anybody_to_validate_is_named(paper):
    run = planned(paper | {"folds": [0, 1, 2]}, missing_scans="skip")
    with pytest.raises(InputError) as raised:
        run.data.stop_for_missing()
    said = str(raised.value)
    assert "of ixi_t1 6 of 566 subjects are there, and nobody for validation in fold 1; get more" in said
    assert "take other folds: --config 'folds=[0, 2]'" in said


def test_the_atlas_is_needed_all_the_same(paper, tmp_path):
    for path in (tmp_path / "data/sri24").iterdir():
        path.unlink()
    with pytest.raises(InputError) as raised:
        planned(paper, missing_scans="skip").data.stop_for_missing()
    said = str(raised.value)
    assert said.startswith("Data are missing: the atlas.")
    assert "sri24, the atlas: " in said
    assert "brats21" not in said
    with pytest.raises(InputError, match="of 6 of 6 datasets and the atlas") as raised:
        planned(paper).data.stop_for_missing()
    assert "Complete" not in str(raised.value)
    assert "once the atlas is there" in str(raised.value)


def test_a_stroke_is_painted_where_mask_and_scan_are_there(tmp_path):
    rows = ["subject,scan,brain,mask,mirrored,seed"]
    rows += [f"painted_{name},{name}.nii.gz,{name}_brain.nii.gz,m.nii.gz,0,1" for name in "ab"]
    (tmp_path / "pairs.csv").write_text("\n".join(rows) + "\n")
    for name in ("a.nii.gz", "a_brain.nii.gz", "b.nii.gz", "m.nii.gz"):
        (tmp_path / name).touch()
    strokes = dataset("lesion", source={"kind": "painted", "table": str(tmp_path / "pairs.csv")})
    run = make_plan(configuration(tmp_path, {"strokes": strokes}, missing_scans="skip"), str(REGISTRY))
    assert list(run.datasets["strokes"].scans) == ["painted_a"]
    assert [row["files"] for row in preprocess.passed_over(run)] == [str(tmp_path / "b_brain.nii.gz")]


def test_a_validation_scan_with_lesions_that_is_missing_is_named(tmp_path):
    source = scan_table(tmp_path, "lesions.csv", {"x": "x.nii.gz", "y": "y.nii.gz"})
    roles = subject_list(tmp_path, "roles.csv", "subject,role\nx,validation\ny,test\n")
    (tmp_path / "x.nii.gz").unlink()
    own = dataset("lesion", source=source, split=roles)
    run = make_plan(configuration(tmp_path, {"own": own}, missing_scans="skip"), str(REGISTRY))
    with pytest.raises(
        InputError, match=r"of own 1 of 2 subjects are there, and nobody for validation in fold 0"
    ):
        run.data.stop_for_missing()
