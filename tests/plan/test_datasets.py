"""Whose scans are trained on and tested, which leak, which are missing: as a configuration and its lists say it."""

import re
import subprocess
import sys

import pytest
from planned_runs import REGISTRY, configuration, dataset, scan_table, subject_list
from repository_paths import ROOT

from patch2loc.data.results import Results
from patch2loc.errors import InputError
from patch2loc.plan import preprocess
from patch2loc.plan.datasets import plan_datasets
from patch2loc.plan.leakage import overlap_notes, refuse_leakage
from patch2loc.plan.plan import make_plan


@pytest.fixture
def scans(tmp_path):
    """Six scans that train, validate or are tested, a to f, with a list."""
    source = scan_table(tmp_path, "scans.csv", {name: f"{name}.nii.gz" for name in "abcdef"})
    roles = "subject,site,fold0\na,N,train\nb,N,train\nc,S,validation\nd,S,test\ne,,test\nf,S,\n"
    return dataset("healthy", source=source, split=subject_list(tmp_path, "roles.csv", roles))


def planned(folder, *, trained="own", **datasets):
    return plan_datasets(
        configuration(
            folder, datasets, training_data={"T1": trained, "T2": "phantom_healthy_t2"}, split="clean"
        )
    )


def test_a_simulated_cohort_is_divided_by_its_order(tmp_path):
    config = configuration(tmp_path)
    config["datasets"]["phantom_healthy_t1"]["source"] |= {"count": 12, "validation": 2, "test": 1}
    cohort = plan_datasets(config)["phantom_healthy_t1"]
    roles = cohort.roles(1)
    assert [name[-3:] for name in roles["test"]] == ["011"]
    assert [name[-3:] for name in roles["validation"]] == ["002", "003"]
    assert len(roles["train"]) == 9
    assert cohort.has_roles
    assert cohort.cohort_name(1, "train") == "train_fold1"
    assert cohort.members("validation_fold1") == roles["validation"]
    assert len(cohort.members("all")) == 12


def test_a_lesion_dataset_without_roles_is_tested_whole(tmp_path):
    tumors = plan_datasets(configuration(tmp_path))["phantom_tumor"]
    assert not tumors.has_roles
    assert tumors.subjects(0) == tumors.subjects(0, "train") == list(tumors.scans)
    assert tumors.cohort_name(0, "test") == "all"


def test_the_labels_of_lesions_are_expected_in_a_whole_dataset(tmp_path, scans):
    source = scan_table(tmp_path, "lesions.csv", {"x": "x.nii.gz", "y": "y.nii.gz"}) | {
        "lesion_labels": [1, 4]
    }
    roles = subject_list(tmp_path, "lesion_roles.csv", "subject,role\nx,validation\ny,test\n")
    datasets = planned(
        tmp_path,
        trained="phantom_healthy_t1",
        own=dataset("lesion", source=source),
        divided=dataset("lesion", source=source, split=roles),
    )
    expected = {name: found.expected_labels for name, found in datasets.items()}
    assert expected["own"] == [1, 4]
    assert expected["divided"] == expected["phantom_tumor"] == []
    assert expected["phantom_healthy_t1"] is None


def test_a_list_gives_the_roles_of_its_scans(tmp_path, scans):
    own = planned(tmp_path, own=scans)["own"]
    assert own.is_training_data
    assert own.roles(0) == {"train": ["a", "b"], "validation": ["c"], "test": ["d", "e"]}
    assert own.subjects("0", "validation") == ["c"]
    assert own.sites == {"a": "N", "b": "N", "c": "S", "d": "S", "f": "S"}


def test_a_list_that_is_not_in_the_folder_is_the_one_of_the_workflow(tmp_path, monkeypatch):
    """As where snakedeploy has copied the configuration, which names the paper's lists, and not the lists."""
    monkeypatch.chdir(tmp_path)
    lists = {"clean": "splits/ixi.csv", "published": "splits/mslub.csv"}
    settings = dataset("lesion", source=scan_table(tmp_path, "scans.csv", {}), split=lists)
    assert planned(tmp_path, trained="phantom_healthy_t1", patients=settings)["patients"].subject_list == str(
        ROOT / "splits/ixi.csv"
    )
    (tmp_path / "splits").mkdir()
    subject_list(tmp_path, "splits/ixi.csv", "subject,role\na,validation\nb,test\n")
    assert (
        planned(tmp_path, trained="phantom_healthy_t1", patients=settings)["patients"].subject_list
        == "splits/ixi.csv"
    )
    settings["split"] = "splits/own.csv"  # in neither
    assert (
        planned(tmp_path, trained="phantom_healthy_t1", patients=settings)["patients"].subject_list
        == "splits/own.csv"
    )


def test_subjects_that_are_left_out_have_no_role(tmp_path, scans):
    own = planned(tmp_path, own=scans | {"leave_out": ["b", "e"]})["own"]
    assert own.roles(0) == {"train": ["a"], "validation": ["c"], "test": ["d"]}
    assert "b" not in own.scans
    assert own.sites["b"] == "N"  # so that tables over the others stay as they are
    with pytest.raises(InputError, match=r"datasets\.own\.leave_out: .*nobody"):
        _ = planned(tmp_path, own=scans | {"leave_out": ["nobody"]})["own"].scans


def test_a_lesion_dataset_with_roles_validates_and_tests(tmp_path):
    source = scan_table(tmp_path, "lesions.csv", {"x": "x.nii.gz", "y": "y.nii.gz"})
    roles = subject_list(tmp_path, "lesion_roles.csv", "subject,role\nx,validation\ny,test\n")
    lesions = planned(
        tmp_path, trained="phantom_healthy_t1", own=dataset("lesion", source=source, split=roles)
    )["own"]
    assert lesions.has_lesion_validation
    assert lesions.roles(3) == {"train": [], "validation": ["x"], "test": ["y"]}
    assert lesions.n_listed(0) == 1


def test_listed_scans_are_counted_with_those_left_out(tmp_path):
    source = scan_table(tmp_path, "lesions.csv", {"x": "x.nii.gz", "y": "y.nii.gz"})
    entry = dataset("lesion", source=source, leave_out=["y"])
    lesions = planned(tmp_path, trained="phantom_healthy_t1", own=entry)["own"]
    assert list(lesions.scans) == ["x"]
    assert lesions.n_listed(0) == 2


def test_training_data_without_a_list_are_refused(tmp_path, scans):
    with pytest.raises(InputError, match=r"datasets\.own: no `split` found"):
        planned(tmp_path, own=scans | {"split": None})["own"].roles(0)
    with pytest.raises(InputError, match=r"0 training and 1 validation scans in fold 0"):
        planned(tmp_path, own=scans | {"leave_out": ["a", "b"]})["own"].roles(0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"role": "lesion"}, "dataset own of role lesion and modality T1 found, a healthy T1 dataset"),
        ({"modality": "T2"}, "dataset own of role healthy and modality T2 found, a healthy T1 dataset"),
    ],
)
def test_training_data_are_healthy_scans_of_their_modality(tmp_path, scans, changes, message):
    with pytest.raises(InputError, match=f"training_data.T1: {message}"):
        planned(tmp_path, own=scans | changes)


def test_a_modality_without_training_data_is_refused(tmp_path):
    config = configuration(tmp_path, training_data={"T1": "phantom_healthy_t1"})
    with pytest.raises(InputError, match=r"datasets\.phantom_healthy_t2: no model for T2"):
        plan_datasets(config)
    unknown = configuration(tmp_path, training_data={"T1": "nowhere", "T2": "phantom_healthy_t2"})
    with pytest.raises(InputError, match="dataset nowhere of role unknown"):
        plan_datasets(unknown)


def test_a_scan_that_trains_in_one_dataset_is_not_tested_in_another(tmp_path, scans):
    other = dataset("lesion", source=scan_table(tmp_path, "other.csv", {"p": "a.nii.gz", "q": "f.nii.gz"}))
    datasets = planned(tmp_path, own=scans, other=other)
    leak = rf"1 scans with .*other: p is tested, .* scan of own as a, {tmp_path}/a\.nii\.gz, in fold 0$"
    with pytest.raises(InputError, match=f"(?s){leak}"):
        refuse_leakage(datasets, [0])
    other["source"] = scan_table(tmp_path, "other.csv", {"p": "d.nii.gz", "q": "f.nii.gz"})
    refuse_leakage(planned(tmp_path, own=scans, other=other), [0])  # tested twice, trained on never


def test_a_scan_that_strokes_are_painted_into_is_the_same_scan(tmp_path, scans):
    rows = "subject,scan,brain,mask,mirrored,seed\np,{},d.nii.gz,d.nii.gz,0,1\n"
    painted = dataset("lesion", source={"kind": "painted", "table": str(tmp_path / "painted.csv")})
    (tmp_path / "painted.csv").write_text(rows.format("c.nii.gz"))
    with pytest.raises(
        InputError, match=r"(?s)1 scans with .*strokes: p is tested, .* of own as c, \S*c\.nii"
    ):
        refuse_leakage(planned(tmp_path, own=scans, strokes=painted), [0])
    (tmp_path / "painted.csv").write_text(rows.format("d.nii.gz"))
    datasets = planned(tmp_path, own=scans, strokes=painted)
    refuse_leakage(datasets, [0])
    painted_scan = datasets["strokes"].scans["p"]["scan"]
    assert painted_scan == tmp_path / "results/raw/strokes/p/T1.nii.gz"
    (tmp_path / "painted.csv").write_text(rows.format("d.nii.gz") + "q,d.nii.gz,d.nii.gz,d.nii.gz,1,2\n")
    refuse_leakage(planned(tmp_path, own=scans, strokes=painted), [0])  # two strokes in one scan, both tested
    painted["split"] = subject_list(tmp_path, "painted_roles.csv", "subject,role\np,test\nq,validation\n")
    with pytest.raises(InputError, match=r"(?s)2 scans with .*strokes: p is tested, .* of strokes as q"):
        refuse_leakage(planned(tmp_path, own=scans, strokes=painted), [0])


def test_the_preprocessing_of_a_painted_scan_is_told_the_scan_it_was_painted_into(tmp_path, scans):
    painted = dataset("lesion", source={"kind": "painted", "table": str(tmp_path / "painted.csv")})
    (tmp_path / "painted.csv").write_text(
        "subject,scan,brain,mask,mirrored,seed\np,d.nii.gz,d.nii.gz,d.nii.gz,0,1\n"
    )
    run = make_plan(configuration(tmp_path, {"own": scans, "strokes": painted}), str(REGISTRY))
    assert preprocess.scan_parts(run, "strokes", "p")["acquired"] == str(tmp_path / "d.nii.gz")
    files = {"scan": "d.nii.gz", "lesion": "lesion_d.nii.gz"}
    assert preprocess.scan_parts(run, "own", "d") == {
        part: str(tmp_path / file) for part, file in files.items()
    }


SPELLINGS = {
    "the path itself": lambda folder: "a.nii.gz",
    "a detour": lambda folder: "../" + folder.name + "/a.nii.gz",
    "an absolute path": lambda folder: str(folder / "a.nii.gz"),
    "a symbolic link": lambda folder: (folder / "x.nii.gz").symlink_to("a.nii.gz") or "x.nii.gz",
    "a linked folder": lambda folder: (folder / "x").symlink_to(folder) or "x/a.nii.gz",
    "a hard link": lambda folder: (folder / "x.nii.gz").hardlink_to(folder / "a.nii.gz") or "x.nii.gz",
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_another_spelling_of_a_training_scan_is_not_tested(name, tmp_path, scans):
    """Neither in another dataset, nor under another name in the list that trains on it."""
    spelling = SPELLINGS[name](tmp_path)
    other = dataset("lesion", source=scan_table(tmp_path, "other.csv", {"a": spelling, "q": "q.nii.gz"}))
    with pytest.raises(InputError, match=r"(?s)1 scans .*other: a is tested, .* scan of own as a, "):
        refuse_leakage(planned(tmp_path, own=scans, other=other), [0])
    refuse_leakage(planned(tmp_path, own=scans, other=other | {"leave_out": ["a"]}), [0])
    files = {subject: f"{subject}.nii.gz" for subject in "abcef"} | {"d": spelling}
    own = scans | {"source": scan_table(tmp_path, "scans.csv", files)}
    with pytest.raises(InputError, match=r"(?s)own: a and d are one scan, \S+.*own: d is tested, .* as a, "):
        refuse_leakage(planned(tmp_path, own=own), [0])
    refuse_leakage(planned(tmp_path, own=own | {"leave_out": ["d"]}), [0])


def test_files_that_are_not_there_yet_are_known_by_their_path(tmp_path, scans):
    table = scan_table(tmp_path, "other.csv", {"p": "a.nii.gz"})
    (tmp_path / "a.nii.gz").unlink()
    (tmp_path / "other.csv").write_text((tmp_path / "other.csv").read_text().replace("a.nii", "x/../a.nii"))
    other = dataset("lesion", source=table)
    with pytest.raises(InputError, match=r"(?s)1 scans .*other: p is tested, .* of own as a, "):
        refuse_leakage(planned(tmp_path, own=scans, other=other), [0])


def test_all_leaks_of_all_datasets_and_folds_are_named_at_once(tmp_path, scans):
    text = "subject,fold0,fold1\na,train,train\nb,train,validation\nc,validation,train\nd,test,test\n"
    own = scans | {"split": subject_list(tmp_path, "roles.csv", text)}
    one = dataset("lesion", source=scan_table(tmp_path, "one.csv", {"p": "a.nii.gz", "q": "c.nii.gz"}))
    two = dataset("unlabeled", source=scan_table(tmp_path, "two.csv", {"r": "b.nii.gz", "s": "d.nii.gz"}))
    with pytest.raises(InputError) as raised:
        refuse_leakage(planned(tmp_path, own=own, one=one, two=two), [0, 1])
    assert re.findall(r"(\w+): (\w) is tested.* as (\w), .*, in fold (.*)", str(raised.value)) == [
        ("one", "p", "a", "0, 1"),
        ("one", "q", "c", "0, 1"),
        ("two", "r", "b", "0, 1"),
    ]
    assert str(raised.value).startswith(
        "datasets: 3 scans with several names or roles found, one expected; put"
    )


def test_a_lesion_scan_that_validates_is_not_tested_under_another_name(tmp_path):
    source = scan_table(tmp_path, "lesions.csv", {"x": "x.nii.gz", "y": "y.nii.gz", "z": "x.nii.gz"})
    roles = subject_list(tmp_path, "lesion_roles.csv", "subject,role\nx,validation\ny,test\nz,test\n")
    own = dataset("lesion", source=source, split=roles)
    with pytest.raises(
        InputError, match=r"(?s)own: x and z are one scan.*own: z is tested, .* of own as x, "
    ):
        refuse_leakage(planned(tmp_path, trained="phantom_healthy_t1", own=own), [0])


def test_published_lists_of_training_data_are_used_and_their_overlap_is_said(tmp_path, scans):
    text = "subject,has_t2,test,train_fold0,val_fold0\na,1,1,1,0\nb,1,0,1,0\nc,1,0,0,1\nd,1,1,0,0\n"
    lists = {"clean": scans["split"], "published": subject_list(tmp_path, "published.csv", text)}
    config = configuration(
        tmp_path,
        {"own": scans | {"split": lists}},
        training_data={"T1": "own", "T2": "phantom_healthy_t2"},
        split="published",
    )
    datasets = plan_datasets(config)
    refuse_leakage(datasets, [0])
    assert datasets["own"].roles(0)["test"] == ["a", "d"]
    assert "own: published subject lists, which overlap (fold 0): 1 test subjects are training" in (
        overlap_notes(datasets, [0])
    )
    assert overlap_notes(plan_datasets(config | {"split": "clean"}), [0]) == ""


def test_what_is_missing_is_said_once_and_for_all(tmp_path, scans):
    config = configuration(tmp_path, {"own": scans}, atlas="sri24")
    make_plan(configuration(tmp_path, {"own": scans}), str(REGISTRY)).data.stop_for_missing()
    (tmp_path / "a.nii.gz").unlink()
    run = make_plan(config, str(REGISTRY))
    with pytest.raises(InputError) as raised:
        preprocess.scan_parts(run, "phantom_tumor", "phantom_tumor_000")
    said = str(raised.value)
    assert said.startswith("Data are missing: of 1 of 5 datasets and the atlas.")
    assert re.search(r"own: 5 of 6 subjects are there, 1 missing: a\n.* the first is \S+/a\.nii\.gz", said)
    assert re.search(r"sri24, the atlas: \S+/sri24/spgr\.nii and ", said)


def test_both_files_of_a_pair_are_needed(tmp_path, scans):
    table = tmp_path / "own.csv"
    table.write_text("subject,modality,scan,brain,lesion\na,T1,a.img.gz,,\n")
    own = {key: value for key, value in scans.items() if key != "split"}
    own |= {"role": "unlabeled", "source": {"kind": "table", "table": str(table), "root": str(tmp_path)}}
    (tmp_path / "a.img.gz").touch()
    (tmp_path / "a.hdr.gz").touch()
    run = make_plan(configuration(tmp_path, {"own": own}), str(REGISTRY))
    assert preprocess.scan_parts(run, "own", "a") == {
        "scan": str(tmp_path / "a.img.gz"),
        "scan_other_half": str(tmp_path / "a.hdr.gz"),
    }
    (tmp_path / "a.hdr.gz").unlink()
    run = make_plan(configuration(tmp_path, {"own": own}), str(REGISTRY))
    with pytest.raises(InputError, match=r"own: none of 1 subjects is there; .* is \S+/a\.hdr\.gz"):
        preprocess.scan_parts(run, "own", "a")


def test_a_dicom_series_is_read_where_it_is_converted_to(tmp_path):
    (tmp_path / "series").mkdir()
    (tmp_path / "t.csv").write_text("subject,modality,scan,brain,lesion\ns,T1,series,,\n")
    own = dataset("unlabeled", source={"kind": "table", "table": "t.csv"})
    own["source"]["table"] = str(tmp_path / "t.csv")
    found = planned(tmp_path, trained="phantom_healthy_t1", own=own)["own"]
    assert found.source_scans["s"]["scan"] == tmp_path / "series"
    assert str(found.scans["s"]["scan"]) == f"{Results(f'{tmp_path}/results').raw('own', 's')}/T1.nii.gz"


def test_preprocessing_has_what_a_dataset_has_of_its_own(tmp_path, scans):
    run_settings = configuration(tmp_path)["preprocess"]
    own = planned(tmp_path, own=scans | {"registration": "rigid"})["own"]
    assert own.preprocessing_parameters == {
        "modality": "T1",
        "settings": run_settings | {"skull_strip": "none", "registration": "rigid"},
        "lesion_labels": None,
        "interpolated_masks": False,
    }
    assert planned(tmp_path, own=scans)["own"].preprocessing["registration"] == run_settings["registration"]
    corrected = scans | {"bias_correction": False}  # a value of its own, not the lack of one
    assert planned(tmp_path, own=corrected)["own"].preprocessing["bias_correction"] is False


def test_planning_loads_no_imaging_and_no_networks():
    command = "import sys, patch2loc.plan.jobs as _; print(*{n.split('.')[0] for n in sys.modules})"
    result = subprocess.run(
        [sys.executable, "-c", command],
        env={"PYTHONPATH": str(ROOT / "workflow/scripts")},
        capture_output=True,
        text=True,
        check=True,
    )
    unwanted = {"torch", "SimpleITK", "matplotlib", "nibabel", "scipy", "snakemake"}
    assert not unwanted & set(result.stdout.split())
