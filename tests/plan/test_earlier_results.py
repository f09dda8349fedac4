"""Results of other settings or subjects in the folder of a run are told before they are computed anew."""

import pytest
from planned_runs import REGISTRY, configuration, dataset, scan_table, subject_list

from patch2loc.files import write_json
from patch2loc.plan import preprocess
from patch2loc.plan.earlier_results import earlier_results_note
from patch2loc.plan.notes import planning_notes
from patch2loc.plan.plan import make_plan

CLEAN = "subject,fold0\na,train\nb,train\nc,validation\nd,test\n"
PUBLISHED = "subject,has_t2,test,train_fold0,val_fold0\na,1,0,1,0\nb,1,1,1,0\nc,1,0,0,1\nd,1,1,0,0\n"


@pytest.fixture
def planned(tmp_path):
    """Function of changes of the configuration: a run of healthy scans with two lists, whose fold 0 is planned."""
    source = scan_table(tmp_path, "own.csv", {name: f"{name}.nii.gz" for name in "abcd"})
    split = {
        "clean": subject_list(tmp_path, "clean.csv", CLEAN),
        "published": subject_list(tmp_path, "published.csv", PUBLISHED),
    }

    def plan(*, own=None, **changes):
        entry = dataset("healthy", source=source, split=split) | (own or {})
        training_data = {"T1": "own", "T2": "phantom_healthy_t2"}
        config = configuration(tmp_path, {"own": entry}, training_data=training_data, **changes)
        return make_plan(config, str(REGISTRY))

    return plan


def write_results(run):
    """The lists of a run, and the provenance of a preprocessed scan, as the workflow writes them."""
    own = run.datasets["own"]
    for role in ("train", "validation", "test"):
        cohort = {"scans": dict.fromkeys(own.subjects(0, role), "folder"), "left_out": {}}
        write_json(preprocess.cohort(run, "own", 0, role=role), cohort)
    configuration = {"atlas": "a", "grid": run.config["grid"], **own.preprocessing_parameters}
    write_json(
        f"{run.results.preprocessed('own', 'a')}/qc.json.provenance.json", {"configuration": configuration}
    )


def note(run):
    return earlier_results_note(run.results.root, run.datasets, run.folds, run.config["grid"])


def test_results_of_the_same_settings_and_subjects_are_nothing_to_tell(planned):
    assert note(planned()) == ""
    write_results(planned())
    assert note(planned()) == ""
    assert not any("results of other" in each for each in planning_notes(planned()))


def test_other_lists_and_another_preprocessing_are_told_with_the_way_to_keep_both(planned, tmp_path):
    write_results(planned())
    told = note(planned(split="published"))
    assert told.startswith(f"{tmp_path}/results: results of other settings or other subjects found. ")
    assert "`--config results=...`" in told
    assert "\n  own: 1 scans in test_fold0 before, 2 now, 1 of them the same" in told
    assert "train_fold0" not in told
    assert "preprocessed" not in told
    crop = configuration(tmp_path)["preprocess"] | {"crop": "brain"}
    changed = planned(preprocess=crop, grid={"shape": [48, 48, 26], "spacing": 4.0})
    told = note(changed)
    assert "\n  own: preprocessed with crop atlas before, brain now" in told
    assert "\n  own: preprocessed with grid {'shape': [48, 48, 25], 'spacing': 4.0} before" in told
    assert "scans in" not in told
    assert told in planning_notes(changed)


def test_a_scan_that_is_left_out_is_told_only_if_it_was_used(planned):
    write_results(planned())
    left_out = {"leave_out": ["b"]}
    assert "\n  own: 2 scans in train_fold0 before, 1 now, 1 of them the same" in note(planned(own=left_out))
    write_json(f"{planned().results.preprocessed('own', 'b')}/qc.json", {"left_out": "no brain found"})
    assert note(planned(own=left_out)) == ""


def test_files_that_cannot_be_read_are_nothing_to_tell(planned):
    run = planned()
    write_results(run)
    for path in (
        preprocess.cohort(run, "own", 0, role="train"),
        f"{run.results.preprocessed('own', 'a')}/qc.json.provenance.json",
    ):
        with open(path, "w") as file:
            file.write("[")
    assert note(planned(preprocess={"crop": "brain"})) == ""
