"""A study in one BIDS root: who is chosen, drawn and passed over, and what is said of it before a run."""

from types import SimpleNamespace

import pytest
from planned_runs import REGISTRY, configuration, dataset
from studies import CONFIGURATION, write_study

from patch2loc.configuration.check import check_configuration
from patch2loc.errors import InputError
from patch2loc.plan import detector
from patch2loc.plan.datasets import plan_datasets
from patch2loc.plan.leakage import refuse_leakage
from patch2loc.plan.notes import planning_notes
from patch2loc.plan.outputs import Outputs
from patch2loc.plan.plan import make_plan
from patch2loc.plan.selection_notes import selection_notes

DRAWN = {"validation": 10, "test": 20, "seed": 1}


def study(folder, entries, *, folds=(0,), **written):
    """Datasets of a study below a folder, {name: its entry without the source}."""
    write_study(folder / "study", **written)
    datasets = {
        name: dataset(
            entry.pop("role"), source={"kind": "bids", "root": "study", **entry.pop("source", {})}, **entry
        )
        for name, entry in entries.items()
    }
    training_data = {"T1": "controls", "T2": "phantom_healthy_t2"}
    return configuration(folder, datasets, training_data=training_data, folds=list(folds))


def planned(folder, entries, **written):
    return plan_datasets(study(folder, entries, **written))


def controls(**entry):
    return {"role": "healthy", "where": {"group": "control"}, "split": DRAWN, **entry}


def patients(**entry):
    return {"role": "unlabeled", "where": {"group": "patient"}, **entry}


def test_patients_and_controls_of_one_root_are_told_apart_by_participants_tsv(tmp_path):
    datasets = planned(tmp_path, {"controls": controls(), "patients": patients()})
    assert list(datasets["patients"].scans) == [f"sub-{index:03d}" for index in range(1, 21)]
    roles = datasets["controls"].roles(0)
    assert {role: len(scans) for role, scans in roles.items()} == {"train": 70, "validation": 10, "test": 20}
    assert not {scan for scans in roles.values() for scan in scans} & set(datasets["patients"].scans)
    refuse_leakage(datasets, [0])
    assert datasets["controls"].n_listed(0) == 20
    sites = datasets["controls"].sites
    assert sum(sites[scan] == "N" for scan in roles["test"]) in (6, 7)  # a third of the people
    assert datasets["patients"].ages["sub-001"] == 21
    assert "sub-010" not in datasets["patients"].ages  # n/a


def test_the_roles_are_written_in_the_form_of_a_list(tmp_path):
    config = study(tmp_path, {"controls": controls()}, folds=(0, 1))
    own = plan_datasets(config)["controls"]
    rows = own.subject_roles
    assert [row["subject"] for row in rows] == sorted(own.scans)
    assert rows[0].keys() == {"subject", "fold0", "fold1"}
    lines = [",".join(row.values()) for row in rows]
    (tmp_path / "list.csv").write_text("\n".join(["subject,fold0,fold1", *lines]))
    config["datasets"]["controls"] |= {"where": {}, "split": str(tmp_path / "list.csv")}
    listed = plan_datasets(config)["controls"]
    assert [listed.roles(fold) for fold in (0, 1)] == [own.roles(fold) for fold in (0, 1)]


def test_all_sessions_of_a_person_have_one_role_and_leaving_one_out_moves_nobody(tmp_path):
    entries = {"controls": controls(split={"validation": 2, "test": 4, "seed": 3})}
    write_study(tmp_path / "study", patients=0, controls=12)
    for index in range(1, 13, 2):
        name = f"sub-{index:03d}"
        (tmp_path / "study" / name / "anat" / f"{name}_T1w.nii.gz").unlink()
        for session in ("ses-1", "ses-2"):
            path = tmp_path / "study" / name / session / "anat" / f"{name}_{session}_T1w.nii.gz"
            path.parent.mkdir(parents=True)
            path.touch()
    config = study(tmp_path, entries, patients=0, controls=0)
    write_participants = tmp_path / "study" / "participants.tsv"
    write_participants.write_text(
        "participant_id\tgroup\n" + "".join(f"{index:03d}\tcontrol\n" for index in range(1, 13))
    )  # without sub-
    own = plan_datasets(config)["controls"]
    assert len(own.scans) == 18
    roles = own.roles(0)
    people = {role: {scan.split("_")[0] for scan in scans} for role, scans in roles.items()}
    assert {role: len(names) for role, names in people.items()} == {"train": 6, "validation": 2, "test": 4}
    assert sum(map(len, roles.values())) == 18
    left_out = roles["train"][0]
    config["datasets"]["controls"]["leave_out"] = [left_out]
    fewer = plan_datasets(config)["controls"].roles(0)
    assert fewer == {**roles, "train": [scan for scan in roles["train"] if scan != left_out]}


def test_two_modalities_of_one_root_take_their_own_images(tmp_path):
    without = [(f"sub-{index:03d}", "T2w") for index in (30, 40, 50)]
    config = study(
        tmp_path,
        {
            "controls": controls(),
            "controls_t2": controls(modality="T2"),
            "patients_t2": patients(modality="T2"),
        },
        suffixes=("T1w", "T2w"),
        without_scan=without,
    )
    config["training_data"]["T2"] = "controls_t2"
    datasets = plan_datasets(config)
    t1, t2 = datasets["controls"], datasets["controls_t2"]
    assert (len(t1.scans), len(t2.scans)) == (100, 97)
    assert {paths["scan"].name[-10:] for paths in t2.scans.values()} == {"T2w.nii.gz"}
    refuse_leakage(datasets, [0])
    assert len(set(t1.roles(0)["test"]) & set(t2.roles(0)["test"])) >= 15  # nearly the same people
    notes = selection_notes(t2)
    assert (
        "3 of 100 chosen participants have no T2 image, and are passed over (sub-030, sub-040, sub-050)"
        in notes[0]
    )
    assert selection_notes(t1) == [
        "controls: split drawn by seed 1, in fold 0 70 training subjects, 10 validation subjects, 20 test subjects; "
        "tables/subject_roles.csv will say who"
    ]


def test_people_without_a_row_are_named(tmp_path):
    config = study(tmp_path, {"controls": controls(), "patients": patients()})
    for name in ("sub-new", "sub-other"):
        path = tmp_path / "study" / name / "anat" / f"{name}_T1w.nii.gz"
        path.parent.mkdir(parents=True)
        path.touch()
    [note] = selection_notes(plan_datasets(config)["patients"])
    assert "2 of 122 folders sub-* have no row in" in note
    assert "(sub-new, sub-other)" in note


def test_rows_of_another_modality_are_counted_before_the_run(tmp_path):
    rows = "".join(
        f"s{number},{name},{number}.nii,,\n" for number, name in enumerate(["T1", "SWI", "PD", "SWI"])
    )
    (tmp_path / "scans.csv").write_text(f"subject,modality,scan,brain,lesion\n{rows}")
    source = {"kind": "table", "table": str(tmp_path / "scans.csv")}
    own = SimpleNamespace(name="own", kind="table", source=source, subject_table=None, drawn_split=None)
    assert selection_notes(own) == [
        f"own: 2 rows of {tmp_path}/scans.csv not read, whose modality is SWI.",
        f"own: 1 row of {tmp_path}/scans.csv not read, whose modality is PD.",
    ]


def test_participants_tsv_may_be_a_list_and_a_list_must_have_its_scans(tmp_path):
    table = str(tmp_path / "study" / "participants.tsv")
    entries = {"controls": controls(), "others": {"role": "unlabeled", "split": table, "where": {"sex": "F"}}}
    config = study(tmp_path, entries, without_scan=[("sub-003", "T1w")])
    others = plan_datasets(config)["others"]
    assert len(others.scans) == 59
    (tmp_path / "list.csv").write_text("subject,group\n002,a\n003,a\n004,b\n")
    config["datasets"]["others"] |= {"split": str(tmp_path / "list.csv"), "where": {"group": "a"}}
    with pytest.raises(InputError, match=r"1 listed subjects have no image T1w \(sub-003\)"):
        _ = plan_datasets(config)["others"].scans
    config["datasets"]["others"]["where"] = {"group": "b"}
    assert list(plan_datasets(config)["others"].scans) == ["sub-004"]


def test_a_person_who_trains_is_not_tested_in_another_session(tmp_path):
    entries = {
        "controls": controls(source={"scan": "ses-1_T1w"}, split={"validation": 1, "test": 1, "seed": 1}),
        "later": {"role": "healthy", "source": {"scan": "ses-2_T1w"}},
    }
    for index in range(1, 5):
        for session in ("ses-1", "ses-2"):
            name = f"sub-{index:03d}"
            path = tmp_path / "study" / name / session / "anat" / f"{name}_{session}_T1w.nii.gz"
            path.parent.mkdir(parents=True)
            path.touch()
    config = study(tmp_path, entries, patients=0, controls=4, suffixes=())
    datasets = plan_datasets(config)
    [tested] = datasets["controls"].roles(0)["test"]
    with pytest.raises(InputError, match="3 scans with several names or roles") as raised:
        refuse_leakage(datasets, [0])
    assert "is tested, and of the person of sub-" in str(raised.value)
    assert tested.split("_")[0] not in str(raised.value)
    config["datasets"]["later"]["leave_out"] = [
        scan for scan in datasets["later"].scans if scan.split("_")[0] != tested.split("_")[0]
    ]
    refuse_leakage(plan_datasets(config), [0])


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (
            patients(where={"group": "patients"}),
            r"no patients found .*control \(100\), patient \(20\)",
        ),
        (
            patients(where={"diagnosis": "x"}),
            "no column diagnosis found, .*one of subject, participant_id, age, sex",
        ),
        (
            patients(source={"root": "study/sub-001"}),
            r"own\.where: no table of the subjects found, .*sub-001/part",
        ),
    ],
)
def test_a_condition_on_what_there_is_not_is_refused(tmp_path, entry, said):
    config = study(tmp_path, {"controls": controls(), "own": {**entry}})
    with pytest.raises(InputError, match=said):
        _ = plan_datasets(config)["own"].scans


def test_too_few_people_are_refused_with_the_key(tmp_path):
    config = study(tmp_path, {"controls": controls(split={"validation": 50, "test": 60, "seed": 1})})
    with pytest.raises(
        InputError, match=r"^datasets\.controls\.split: 100 people found, at least 111 expected"
    ):
        plan_datasets(config)["controls"].roles(0)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (patients(split=DRAWN), "role unlabeled"),
        (controls(source={"kind": "phantom", "cohort": "healthy", "count": 20}), "kind phantom"),
    ],
)
def test_only_healthy_people_are_drawn(tmp_path, entry, said):
    own = dataset(entry.pop("role"), **{"source": {"kind": "bids", "root": "study"}, **entry})
    config = configuration(tmp_path, {"own": own})
    with pytest.raises(
        InputError, match=rf"datasets\.own\.split: numbers of people found for (?:the )?{said}"
    ):
        check_configuration(config)


def test_the_study_is_configured_in_ten_lines():
    assert len(CONFIGURATION.strip().splitlines()) <= 10


def test_own_scans_on_a_grid_that_cuts_the_brain_are_noted(tmp_path):
    config = study(tmp_path, {"controls": controls(), "patients": patients()})
    run = make_plan(config, str(REGISTRY))
    assert config["grid"]["shape"] == [48, 48, 25]
    [note] = [note for note in planning_notes(run) if note.startswith("grid.shape")]
    assert (
        "cut off a part of the brain of controls, patients; `grid: {shape: whole-brain}` ([48, 56, 40])"
        in note
    )
    config["grid"] = {"shape": [48, 56, 40], "spacing": 4.0}
    assert not [
        note for note in planning_notes(make_plan(config, str(REGISTRY))) if note.startswith("grid.shape")
    ]


def test_patients_get_answers_where_a_detector_is_made(tmp_path):
    config = study(tmp_path, {"controls": controls(), "patients": patients()})
    run = make_plan(config, str(REGISTRY))
    assert Outputs(run).tables[2] == "patients"  # after tables 1 and 2, as tiny.yaml has lesions
    assert (
        detector.detector(run, "patients")
        == f"{tmp_path}/results/models/detector/T1/fold0/detector.safetensors"
    )
    about = detector.about_detector(run, "T1")
    assert about == {"title": "own", "simulated": False, "ages": [21, 69]}
    assert detector.controls_of_detectors(run, ["patients"]) == {
        "T1": "validation scans of own in fold 0, which nothing was trained on"
    }
    config["detector"] = {**config["detector"], "healthy": ["validation", "test"]}
    parts = detector.parts_of_detector(make_plan(config, str(REGISTRY)), "T1", 0)
    assert [path.rpartition("/")[2] for path in parts["healthy"]] == [
        "validation_fold0.json",
        "test_fold0.json",
    ]
    config["methods"] = ["patch2loc"]
    run = make_plan(config, str(REGISTRY))
    assert "patients" not in Outputs(run).tables
    assert any(note.startswith("patients: heatmaps, but no answers") for note in planning_notes(run))
