"""Joint datasets: whom they are of, what planning takes for them, what it says and refuses."""

import re
from collections import Counter

import pytest
import yaml
from planned_runs import REGISTRY, configuration, dataset, scan_table, subject_list
from whole_runs import planned_run
from workflow_runs import TINY, plan

from patch2loc.errors import InputError
from patch2loc.plan import dataset_groups, evaluate, preprocess, score
from patch2loc.plan.jobs import job_counts
from patch2loc.plan.notes import planning_notes
from patch2loc.plan.plan import make_plan
from patch2loc.plan.protocol import protocol

TUMOR_T1 = {
    **{
        "title": "phantom tumor",
        "modality": "T1",
        "role": "lesion",
        "simulated": True,
        "skull_strip": "given",
    },
    "source": {"kind": "phantom", "cohort": "tumor", "count": 3},
}
HEALTHY = "phantom_healthy_t2_phantom_healthy_t1_rank_average"
NAMES = ["phantom_tumor", "phantom_tumor_t1"]


def joint(*names, by="rank_average"):
    return {"of": list(names), "by": by}


def run_of(folder, joint_datasets, datasets=None, **changes):
    """A run of tests/tiny.yaml with the T1 scans of its two T2 patients, and of a third one."""
    datasets = {"phantom_tumor_t1": TUMOR_T1, **(datasets or {})}
    return make_plan(configuration(folder, datasets, joint=joint_datasets, **changes), str(REGISTRY))


def dataset_of(folder, name, role, scans, **entry):
    """A dataset of a table of scans, of the modality that its name is in small letters."""
    source = scan_table(folder, f"{name}.csv", {scan: f"{scan}_{name}.nii.gz" for scan in scans})
    table = (folder / f"{name}.csv").read_text().replace(",T1,", f",{name.upper()},")
    (folder / f"{name}.csv").write_text(table)
    return dataset(role, name.upper(), source=source, **entry)


@pytest.fixture
def both(tmp_path):
    return run_of(tmp_path, {"both": joint(*NAMES)}, folds=[0, 1])


def test_the_people_are_those_with_a_scan_in_each_and_the_others_are_counted(both):
    assert list(both.joint) == ["both", HEALTHY]
    patients, healthy = both.joint.values()
    assert patients.subjects(0) == ["phantom_tumor_000", "phantom_tumor_001"]
    assert patients.incomplete == ["phantom_tumor_002"]
    assert healthy.incomplete == []
    labels = dataset_groups.labels_and_counts(both, ["both"])["both"]
    assert labels == {
        "title": "phantom tumor",
        "modality": "T1+T2",
        "role": "lesion",
        "simulated": True,
        "published_name": None,
        "n_listed": 3,
    }
    (note,) = [note for note in planning_notes(both) if note.startswith("joint")]
    assert note == (
        "joint.both: 1 of 3 people are not tested in each of phantom_tumor, phantom_tumor_t1, and are left out: "
        "phantom_tumor_002."
    )
    assert (
        "phantom tumor, T1+T2, average of phantom_tumor and phantom_tumor_t1, truth of phantom_tumor, without 1 of 3 "
        "people, not tested in each; phantom healthy, T1+T2, average of"
    ) in protocol(both)


def test_each_row_is_joined_from_the_heatmaps_and_calibrations_of_each_modality(both, tmp_path):
    results = f"{tmp_path}/results"
    row = "patch2loc_calibrated"
    assert score.combined_heatmaps(both, row, "both", 1) == [
        f"{results}/heatmaps/patch2loc/{name}/fold1" for name in NAMES
    ]
    assert score.combined_calibrations(both, row, "both", 1) == [
        f"{results}/calibration/patch2loc/{modality}/fold1" for modality in ("T2", "T1")
    ]
    assert score.combined_calibrations(both, "zscore", "both", 1) == []
    assert score.heatmaps(both, row, "both", 1) == f"{results}/heatmaps/{row}/both/fold1"
    assert evaluate.models_behind(both, row, "both", 1) == [
        f"{results}/models/patch2loc/{modality}/fold1/model.safetensors" for modality in ("T2", "T1")
    ]
    # Thresholds are of the same people's healthy T1 and T2, who validate in both.
    assert evaluate.healthy_validation_heatmaps(both, row, "both", 1) == (
        f"{results}/heatmaps_validation/{row}/{HEALTHY}/fold1"
    )
    assert score.combined_validation_heatmaps(both, row, HEALTHY, 1) == [
        f"{results}/heatmaps_validation/patch2loc/phantom_healthy_{modality}/fold1"
        for modality in ("t2", "t1")
    ]
    assert evaluate.healthy_heatmaps(both, row, "both", 1) == f"{results}/heatmaps/{row}/{HEALTHY}/fold1"
    assert evaluate.healthy_heatmaps(both, row, HEALTHY, 1) == []
    assert evaluate.needed_calibration(both, row, "both", 1) == []
    assert evaluate.patches(both, "patch2loc", "both", 1) == []
    assert score.cohorts_to_join(both, "both", 1) == [f"{results}/cohorts/{name}/all.json" for name in NAMES]
    assert preprocess.cohort(both, "both", "0seed1", role="test") == f"{results}/cohorts/both/test_fold0.json"
    assert not both.joint["both"].has_lesion_validation


def test_healthy_people_are_joined_by_the_rule_of_the_patients_once(tmp_path):
    controls = {"controls": joint("phantom_healthy_t1", "phantom_healthy_t2", by="rank_fisher")}
    patients = {
        "both": joint(*NAMES),
        "again": joint(*NAMES[::-1]),
        "fisher": joint(*NAMES, by="rank_fisher"),
    }
    run = run_of(tmp_path, patients | controls)
    assert list(run.joint) == ["both", "again", "fisher", "controls", HEALTHY]
    assert [run.all_datasets[name].healthy for name in run.joint] == [
        HEALTHY,
        HEALTHY,
        "controls",
        "controls",
        HEALTHY,
    ]
    assert dataset_groups.lesion_or_joint(run)[3:] == ["both", "again", "fisher"]


def test_a_person_who_trains_in_one_contrast_is_not_tested_in_both(tmp_path):
    """Lists that give a person another role in T2: only who has the role in both validates or is tested."""
    roles = {
        "t1": "a,train\nb,validation\nc,validation\nd,test\ne,test\nf,train\n",
        "t2": "a,train\nb,validation\nc,train\nd,test\ne,train\nf,test\n",
    }
    own = {}
    for name, text in roles.items():
        split = subject_list(tmp_path, f"roles_{name}.csv", f"subject,fold0\n{text}")
        own[name] = dataset_of(tmp_path, name, "healthy", "abcdef", split=split)
    run = run_of(tmp_path, {"own": joint("t1", "t2")}, own, training_data={"T1": "t1", "T2": "t2"}, folds=[0])
    people = run.joint["own"]
    assert {role: people.subjects(0, role) for role in ("train", "validation", "test")} == {
        "train": ["a"],
        "validation": ["b"],
        "test": ["d"],
    }
    assert people.incomplete == ["e", "f"]


def test_the_papers_lists_give_a_person_one_role_in_t1_and_t2():
    """Of IXI, in the cleaned and in the published lists; two of 157 tested people have no T2 scan."""
    for changes in ([], ["split=published"]):
        run = planned_run("config", "both_contrasts", pairs=changes)
        t1, t2 = (run.datasets[f"ixi_{modality}"] for modality in ("t1", "t2"))
        for fold in run.folds:
            for role in ("train", "validation", "test"):
                without_t2 = set(t1.subjects(fold, role)) - set(t2.subjects(fold, role))
                assert set(t2.subjects(fold, role)) <= set(t1.subjects(fold, role))
                assert len(without_t2) <= 4
        healthy = run.joint["ixi_t2_ixi_t1_rank_average"]
        assert (len(healthy.subjects(0)), len(healthy.incomplete)) == (155, 2)
        assert len(run.joint["brats21_both"].subjects(0)) == 1251
        assert len(run.joint["mslub_both"].subjects(0)) == 30


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"a/b": joint(*NAMES)}, r"joint: the name 'a/b' found, letters"),
        ({300 * "x": joint(*NAMES)}, r"joint: the name 'x{80}' found, .* at most 60, no digit"),
        ({"phantom_wmh": joint(*NAMES)}, r"joint: the name 'phantom_wmh' found, .* no dataset's name"),
        (
            {"x": joint("phantom_tumor", "tumour")},
            r"joint\.x\.of: tumour found, names of `datasets` expected: phan",
        ),
        ({"x": joint("phantom_tumor")}, r"joint\.x\.of: phantom_tumor \(T2\) found, at least two datasets"),
        (
            {"x": joint("phantom_wmh", "phantom_tumor_t1")},
            r"phantom_wmh \(T1\), phantom_tumor_t1 \(T1\) found, at least two datasets expected, each of another mod",
        ),
        (
            {"x": joint("phantom_tumor", "phantom_healthy_t1")},
            r"joint\.x\.of: phantom_tumor \(lesion\), phantom_healthy_t1 \(healthy\) found, one role expected",
        ),
        (
            {"x": joint("phantom_tumor", "phantom_wmh")},
            r"joint\.x\.of: phantom_tumor and phantom_wmh found, of cohort tumor and wmh, scans of the same people",
        ),
    ],
)
def test_what_is_not_of_the_same_people_in_two_contrasts_is_refused(declared, message, tmp_path):
    with pytest.raises(InputError, match=message):
        run_of(tmp_path, declared)


def test_scans_without_a_name_in_common_are_refused(tmp_path):
    own = {"t1": dataset_of(tmp_path, "t1", "lesion", "abc"), "t2": dataset_of(tmp_path, "t2", "lesion", "d")}
    with pytest.raises(
        InputError,
        match=r"joint\.x\.of: t1 and t2 found, without a test scan of the same name in fold 0 "
        r"\(t1 has a, b, \.\.\.; t2 has d\), one person with a scan in each expected",
    ):
        run_of(tmp_path, {"x": joint("t1", "t2")}, own)


def test_training_data_of_different_people_have_no_joint_thresholds(tmp_path):
    source = {"kind": "phantom", "cohort": "stroke", "count": 6, "validation": 1, "test": 1}
    others = {"others": dataset("healthy", "T2", simulated=True, source=source)}
    with pytest.raises(
        InputError,
        match=r"joint\.both: training data: others and phantom_healthy_t1 found, of cohort stroke and heal",
    ):
        run_of(
            tmp_path,
            {"both": joint(*NAMES)},
            others,
            training_data={"T1": "phantom_healthy_t1", "T2": "others"},
        )


def test_without_one_contrast_a_joint_dataset_is_left_out_and_said(tmp_path):
    run = run_of(tmp_path, {"both": joint(*NAMES)}, without=["phantom_tumor_t1"])
    assert run.joint == {}
    assert "Joint datasets left out, whose parts this run does not use: both needs phantom_tumor_t1." in (
        planning_notes(run)
    )
    assert "Joint datasets" not in protocol(run)


@pytest.mark.workflow
def test_snakemake_plans_the_jobs_that_are_counted_and_joins_each_row(tmp_path):
    config = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    config["datasets"]["phantom_tumor_t1"] = TUMOR_T1
    config |= {"joint": {"both": {"of": NAMES}}, "methods": ["patch2loc", "ae"], "budget": "smoke"}
    (tmp_path / "both.yaml").write_text(yaml.safe_dump(config))
    result = plan(tmp_path, config=tmp_path / "both.yaml")
    said = result.stdout + result.stderr
    assert result.returncode == 0, said[-3000:]
    planned = Counter(re.findall(r"^\s*(?:local)?rule (\w+):", said, re.MULTILINE))
    run = planned_run(tmp_path / "both.yaml")
    assert planned - Counter({"all": 1}) == Counter(job_counts(run))
    rows = ["patch2loc", "patch2loc_calibrated", "ae", "ae_as_published"]
    assert run.evaluated_methods == rows
    assert (planned["join"], planned["join_validation"], planned["joint_cohort"]) == (2 * 4, 4, 2)
    made = dict(re.findall(r"rule join:\n\s+input: .*\n\s+output: (\S+)(?:.*\n)+?\s+wildcards: (.*)\n", said))
    assert {path for path in made if "/both/" in path} == {
        f"results/tiny/heatmaps/{row}/both/fold0" for row in rows
    }
    for table in ("table1", "comparison", "by_volume", "cases"):
        (inputs,) = re.findall(rf"rule {table}:\n\s+input: (.*)\n", said)
        assert set(re.findall(r"metrics/(\w+)/both/fold0\.csv", inputs)) == set(rows), table
    (thresholds,) = re.findall(r"rule thresholds:\n\s+input: (.*)\n", said)
    assert f"metrics/ae/{HEALTHY}/fold0_thresholds.csv" in thresholds
    assert "score/patch2loc_both" not in said
