"""One's own scans by configuration alone: a BIDS dataset, a folder and a table, planned and run."""

import re
import shutil
from collections import Counter

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml
from repository_paths import ROOT
from workflow_runs import plan, snakemake

from patch2loc.acquire.phantom import write_subject
from patch2loc.files import read_csv

TINY = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text(encoding="utf-8"))
TRAINING = TINY["datasets"]["phantom_healthy_t1"]
pytestmark = pytest.mark.workflow


def write(folder, config):
    (folder / "own.yaml").write_text(yaml.safe_dump(config))
    return folder / "own.yaml"


def planned(folder, config, *targets):
    """Jobs of a dry run: {rule: count}, and what it said."""
    result = plan(folder, *targets, config=write(folder, config))
    said = result.stdout + result.stderr
    assert result.returncode == 0, said[-3000:]
    return Counter(re.findall(r"^\s*(?:local)?rule (\w+):", said, re.MULTILINE)), said


def refused(folder, config):
    result = plan(folder, config=write(folder, config))
    assert result.returncode != 0
    return result.stdout + result.stderr


def made(folder, config, *targets):
    """Run to targets."""
    # The profile's long span costs short runs a minute.
    options = ("--max-jobs-per-timespan", "100/1s")
    result = snakemake(folder, *options, *targets, config=write(folder, config))
    assert result.returncode == 0, (result.stdout + result.stderr)[-5000:]


def configuration(**datasets):
    config = {**TINY, "methods": ["patch2loc"], "training_data": {"T1": "training"}}
    return config | {"datasets": {"training": TRAINING, **datasets}}


def dataset(role, skull_strip="none", split=None, **source):
    described = {"title": "own", "modality": "T1", "role": role, "skull_strip": skull_strip, "source": source}
    return described | ({"split": split} if split else {})


BIDS = {"kind": "bids", "root": "bids", "brain": "desc-brain_mask", "lesion": "label-lesion_mask"}
BIDS_STEMS = ("sub-01/ses-1/anat/sub-01_ses-1", "sub-01/ses-2/anat/sub-01_ses-2", "sub-02/anat/sub-02")
FOLDER = {"kind": "folder", "root": "clinic", "scan": "{subject}/t1_*.nii.gz"}
TABLE = {"kind": "table", "table": "other.csv"}


@pytest.fixture
def scans(tmp_path):
    """The files of a BIDS dataset (3 scans), a folder (2, one of them DICOM) and a table (1), all empty."""
    files = [f"bids/{stem}_T1w.nii.gz" for stem in BIDS_STEMS]
    for mask in ("desc-brain_mask", "label-lesion_mask"):
        files += [f"bids/derivatives/manual/{stem}_{mask}.nii.gz" for stem in BIDS_STEMS]
    files += ["clinic/a/t1_2020.nii.gz", "clinic/b/t1_2021.nii.gz/1.dcm", "other/x.nii.gz"]
    for name in files:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "other.csv").write_text("subject,modality,scan,brain,lesion\nx,T1,other/x.nii.gz,,\n")
    return tmp_path


def test_each_kind_and_role_is_planned(scans):
    config = configuration(
        bids=dataset("lesion", "given", **BIDS),
        folder=dataset("unlabeled", **FOLDER),
        table=dataset("healthy", **TABLE),
    )
    jobs, said = planned(scans, config)
    assert jobs["preprocess"] == 6 + 3 + 2 + 1
    assert jobs["convert_dicom"] == 1
    assert jobs["train"] == 1
    assert jobs["score"] == 4  # training data's test scans, lesion, healthy and unlabeled scans
    assert jobs["score_validation"] == 1
    assert jobs["evaluate"] == 3 * 2  # all but the unlabeled, the score as it is and calibrated
    assert jobs["table1"] == jobs["subject_lists"] == jobs["report_page"] == 1
    evaluated = set(re.findall(r"metrics/patch2loc/(\w+)/fold0.csv", said))
    assert evaluated == {"training", "bids", "table"}
    assert "results/tiny/preprocessed/bids/sub-01_ses-2" in said
    assert "results/tiny/raw/folder/b/T1.nii.gz" in said


def test_without_lesions_there_are_heatmaps_a_report_and_false_positives(scans):
    jobs, _ = planned(scans, configuration(folder=dataset("unlabeled", **FOLDER)))
    assert jobs["score"] == 2
    assert jobs["report_page"] == 1
    assert {rule for rule in jobs if re.fullmatch(r"fig\d", rule)} == {"fig5", "fig7"}
    assert jobs["thresholds"] == 1
    assert not {"table1", "table2", "cases", "comparison", "by_volume", "released_code"} & jobs.keys()


def test_a_list_of_participants_says_who_trains(scans):
    (scans / "own.csv").write_text("subject,fold0\nsub-01,train\nsub-02,validation\nsub-03,test\n")
    path = scans / "data/bids/sub-03/anat/sub-03_T1w.nii.gz"
    config = configuration(own=dataset("healthy", split="own.csv", kind="bids", root="bids"))
    config["training_data"]["T1"] = "own"
    assert "1 listed subjects have no image T1w (sub-03)" in refused(scans, config)
    path.parent.mkdir(parents=True)
    path.touch()
    jobs, said = planned(scans, config, "results/tiny/landmarks/T1/fold0.json")
    preprocessed = re.findall(r"wildcards: dataset=own, subject=([^,\s]+)", said)
    assert set(preprocessed) == {"sub-01_ses-1", "sub-01_ses-2"}
    assert jobs["preprocess"] == 2


LISTS = {
    "clean.csv": "subject,fold0\na,train\nb,validation\nc,test\n",
    "published.csv": "subject,has_t2,test,train_fold0,val_fold0\na,1,1,1,0\nb,1,0,0,1\nc,1,1,0,0\n",
}


def test_published_lists_are_chosen_by_one_key_and_say_what_overlaps(scans):
    for name, text in LISTS.items():
        (scans / name).write_text(text)
    for subject in "abc":
        (scans / f"data/{subject}.nii.gz").touch()
    lists = {"clean": "clean.csv", "published": "published.csv"}
    config = configuration(own=dataset("healthy", split=lists, kind="folder", scan="{subject}.nii.gz"))
    config["training_data"]["T1"] = "own"
    note = "own: published subject lists, which overlap (fold 0): 1 test subjects are training subjects."
    jobs, said = planned(scans, config)
    assert note not in said
    assert jobs["preprocess"] == 6 + 3
    _, said = planned(scans, config | {"split": "published"})
    assert note in said
    config["datasets"]["own"]["split"] = "published.csv"
    assert "set `split: published`" in refused(scans, config)
    made(scans, config | {"split": "published"}, "subject_lists")
    table = pd.read_csv(scans / "results/tiny/tables/subject_lists.csv").set_index("dataset")
    assert table.loc["own", ["split", "train", "test", "test_in_training"]].tolist() == ["published", 1, 2, 1]
    assert table.loc["training", "test_in_training"] == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "subject,fold0,fold1\na,train,test\nb,validation,train\nc,test,train\n",
            "in training or validation",
        ),
        ("subject\na\nb\nc\n", "0 training and 0 validation scans in fold 0"),
    ],
)
def test_a_list_with_a_defect_stops_the_run(scans, text, reason):
    (scans / "own.csv").write_text(text)
    config = configuration(own=dataset("healthy", split="own.csv", kind="folder", scan="{subject}.nii.gz"))
    config["training_data"]["T1"] = "own"
    assert reason in refused(scans, config)


def test_training_data_without_a_list_or_of_another_role_are_refused(scans):
    config = configuration(folder=dataset("healthy", **FOLDER))
    config["training_data"]["T1"] = "folder"
    assert "no `split` found" in refused(scans, config)
    config["datasets"]["folder"]["role"] = "unlabeled"
    assert "a healthy T1 dataset expected" in refused(scans, config)


def test_a_scan_that_trains_is_not_tested_in_another_dataset(scans):
    for subject in "abc":
        (scans / f"data/{subject}.nii.gz").touch()
    (scans / "own.csv").write_text(LISTS["clean.csv"])
    (scans / "other.csv").write_text("subject,modality,scan,brain,lesion\nx,T1,b.nii.gz,,\ny,T1,c.nii.gz,,\n")
    config = configuration(
        own=dataset("healthy", split="own.csv", kind="folder", scan="{subject}.nii.gz"),
        table=dataset("lesion", **TABLE),
    )
    config["training_data"]["T1"] = "own"
    leak = "table: x is tested, and a training or validation scan of own as b, data/b.nii.gz, in fold 0"
    assert leak in refused(scans, config)


def test_a_folder_that_is_not_there_is_named(scans):
    shutil.rmtree(scans / "data/clinic")
    said = refused(scans, configuration(folder=dataset("unlabeled", **FOLDER)))
    assert "no such scan found" in said
    assert "dataset folder" in said


def place(folder, cohort, count, names):
    """Simulated scans under names of one's own: {part: pattern with {index}}."""
    for index in range(count):
        made = folder / f"{cohort}_{index}"
        write_subject(made, cohort, index, seed=7, settings=TINY["phantom"])
        for part, pattern in names.items():
            path = folder / "data" / pattern.format(index=index)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(made / f"T1{part}.nii.gz", path)


@pytest.mark.slow
def test_a_bids_dataset_a_folder_and_a_table_run_to_heatmaps(tmp_path):
    stem = "sub-{index}/ses-1/anat/sub-{index}_ses-1"
    masks = f"bids/derivatives/manual/{stem}"
    place(
        tmp_path,
        "tumor",
        1,
        {
            "": f"bids/{stem}_T1w.nii.gz",
            "_brain": f"{masks}_desc-brain_mask.nii.gz",
            "_lesion": f"{masks}_label-lesion_mask.nii.gz",
        },
    )
    place(
        tmp_path,
        "stroke",
        1,
        {"": "clinic/00{index}/t1_2020.nii.gz", "_brain": "clinic/00{index}/brain.nii.gz"},
    )
    place(tmp_path, "healthy", 3, {"": "other/x{index}.nii.gz", "_brain": "other/x{index}_brain.nii.gz"})
    # Names that a table's reader could take for numbers, or for nothing.
    names = ["007", "1e5", "NA"]
    rows = [f"{name},T1,x{index}.nii.gz,x{index}_brain.nii.gz," for index, name in enumerate(names)]
    (tmp_path / "other.csv").write_text("\n".join(["subject,modality,scan,brain,lesion", *rows, ""]))
    (tmp_path / "list.csv").write_text("subject,fold0\n007,train\n1e5,validation\nNA,test\n")
    config = configuration(
        bids=dataset("lesion", "given", **BIDS),
        folder=dataset("unlabeled", "given", **FOLDER, brain="{subject}/brain.nii.gz"),
        table=dataset("healthy", "given", "list.csv", **TABLE, root="other"),
    )
    config["training_data"]["T1"] = "table"
    del config["datasets"]["training"]
    made(tmp_path, config, "all", "native_space")
    results = tmp_path / "results/tiny"
    for name, subject in (("bids", "sub-0_ses-1"), ("folder", "000"), ("table", "NA")):
        (path,) = (results / f"heatmaps/patch2loc/{name}/fold0").glob("*.nii.gz")
        assert path.name == f"{subject}.nii.gz"
        (mask,) = (results / f"preprocessed/{name}/{subject}").glob("*mask.nii.gz")
        inside = np.asarray(nib.load(mask).dataobj) > 0
        assert inside.any()
        np.testing.assert_array_equal(np.isfinite(nib.load(path).get_fdata()), inside)
    metrics = pd.read_csv(results / "metrics/patch2loc/bids/fold0.csv")
    assert metrics["subject"].tolist() == ["sub-0_ses-1"]
    assert (metrics["lesion_ml"] > 0).all()
    assert not (results / "metrics/patch2loc/folder").exists()
    assert (results / "heatmaps_native_space/patch2loc/folder/fold0/000.nii.gz").is_file()
    domain_shift = read_csv(results / "tables/domain_shift.csv")
    assert set(domain_shift["subject"]) == {"sub-0_ses-1", "000", "NA"}
    assert any("NA" in path.name for path in (results / "report").rglob("*"))
