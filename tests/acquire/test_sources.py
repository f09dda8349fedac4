from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from repository_paths import ROOT, SHARED

from patch2loc.acquire import sources
from patch2loc.errors import InputError

DATA = SHARED / "data"


def write_volume(path, array, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(array, np.diag([2.0, 1.0, 3.0, 1.0]) if affine is None else affine).to_filename(path)
    return path


@pytest.fixture
def table(tmp_path):
    """A folder of two scans, one with a label map, and the CSV that lists them."""
    labels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4) % 3
    for subject in ("a", "b"):
        write_volume(tmp_path / "data" / f"{subject}.nii.gz", np.full((2, 3, 4), 7, np.int16))
    write_volume(tmp_path / "data" / "labels.nii.gz", labels)
    rows = [
        ("a", "T1", "a.nii.gz", "a.nii.gz", "labels.nii.gz"),
        ("b", "T1", "b.nii.gz", "", ""),
        ("a", "T2", "a2.nii.gz", "", ""),
    ]
    path = tmp_path / "table.csv"
    pd.DataFrame(rows, columns=["subject", "modality", "scan", "brain", "lesion"]).to_csv(path, index=False)
    return {"kind": "table", "modality": "T1", "table": str(path), "root": str(tmp_path / "data")}


def test_table_gives_the_paths_of_its_modality(table, tmp_path):
    assert sources.sources(table) == {
        "a": {
            "scan": tmp_path / "data/a.nii.gz",
            "brain": tmp_path / "data/a.nii.gz",
            "lesion": tmp_path / "data/labels.nii.gz",
        },
        "b": {"scan": tmp_path / "data/b.nii.gz", "brain": None, "lesion": None},
    }
    assert sources.missing(table) == []
    assert sources.missing({**table, "modality": "T2"}) == [tmp_path / "data/a2.nii.gz"]
    with pytest.raises(InputError, match="no scan of modality PD"):
        sources.sources({**table, "modality": "PD"})


def test_table_without_a_root_starts_from_its_own_folder(table, tmp_path):
    del table["root"]
    assert sources.sources(table)["b"]["scan"] == tmp_path / "b.nii.gz"


def test_table_restricted_to_subjects(table, tmp_path):
    (tmp_path / "subjects.csv").write_text("subject\nb\n")
    table["subjects"] = str(tmp_path / "subjects.csv")
    assert list(sources.sources(table)) == ["b"]
    (tmp_path / "subjects.csv").write_text("subject\nb\nc\n")
    with pytest.raises(InputError, match=r"1 subjects .* have no row \(c\)"):
        list(sources.sources(table))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("subject,modality,scan\na,T1,x.nii.gz\n", "brain"),
        ("subject,modality,scan,brain,lesion\na,T1,x.nii,,\na,T1,y.nii,,\n", "more than once"),
        ("subject,modality,scan,brain,lesion\na,T1,,,\n", "has no scan"),
    ],
)
def test_table_with_a_defect_is_refused(table, text, reason):
    Path(table["table"]).write_text(text)
    with pytest.raises(InputError, match=reason):
        sources.sources(table)


def test_folder_fills_patterns_from_the_columns_of_the_list(tmp_path):
    (tmp_path / "subjects.csv").write_text("subject,has_t2,site\ns1,1,R001\ns2,0,R002\n")
    scan = write_volume(tmp_path / "R001/s1/s1_run-7_T2.nii.gz", np.zeros((2, 2, 2), np.int16))
    dataset = {
        "kind": "folder",
        "modality": "T1",
        "root": str(tmp_path),
        "subjects": str(tmp_path / "subjects.csv"),
        "scan": "{site}/{subject}/{subject}_run-*_T2.nii.gz",
        "lesion": "{site}/{subject}/lesion.nii.gz",
    }
    found = sources.sources(dataset)
    assert found["s1"] == {"scan": scan, "brain": None, "lesion": tmp_path / "R001/s1/lesion.nii.gz"}
    assert [path.name for path in sources.missing(dataset)] == [
        "lesion.nii.gz",
        "s2_run-*_T2.nii.gz",
        "lesion.nii.gz",
    ]
    assert [path.name for path in sources.missing({**dataset, "leave_out": ["s2"]})] == ["lesion.nii.gz"]
    assert list(sources.sources({**dataset, "modality": "T2"})) == ["s1"]
    write_volume(tmp_path / "R001/s1/s1_run-8_T2.nii.gz", np.zeros((2, 2, 2), np.int16))
    with pytest.raises(InputError, match="2 files match"):
        sources.sources(dataset)
    with pytest.raises(InputError, match="asks for 'scanner'"):
        sources.sources({**dataset, "scan": "{scanner}.nii.gz"})


def test_folder_without_a_list_finds_its_subjects(tmp_path):
    for subject in ("s2", "s1", "s10"):
        write_volume(tmp_path / f"{subject}/ses-x/{subject}_t1.nii.gz", np.zeros((2, 2, 2), np.int16))
    write_volume(tmp_path / "s3/ses-x/s4_t1.nii.gz", np.zeros((2, 2, 2), np.int16))  # of another subject
    dataset = {"kind": "folder", "name": "own", "modality": "T1", "root": str(tmp_path)}
    dataset |= {"scan": "{subject}/ses-*/{subject}_t1.nii.gz", "lesion": "{subject}/lesion.nii.gz"}
    found = sources.sources(dataset)
    assert list(found) == ["s1", "s10", "s2"]
    assert found["s10"]["scan"] == tmp_path / "s10/ses-x/s10_t1.nii.gz"
    assert [path.parent.name for path in sources.missing(dataset)] == ["s1", "s10", "s2"]
    write_volume(tmp_path / "s1/ses-y/s1_t1.nii.gz", np.zeros((2, 2, 2), np.int16))
    with pytest.raises(InputError, match="2 files match"):
        sources.sources(dataset)
    with pytest.raises(InputError, match=r"asks for site, subject, but without a list"):
        sources.sources({**dataset, "scan": "{site}/{subject}.nii.gz"})
    with pytest.raises(InputError, match="asks for no field"):
        sources.sources({**dataset, "scan": "t1.nii.gz"})
    with pytest.raises(InputError, match=r"no such scan found.*dataset own"):
        sources.sources({**dataset, "scan": "{subject}.nii"})


def test_characters_of_a_pattern_stand_for_themselves(tmp_path):
    for name in ("a+b.1.nii", "a+bx1.nii", "c+b.1.nii"):
        (tmp_path / name).touch()
    dataset = {"kind": "folder", "root": str(tmp_path), "scan": "{subject}+b.1.nii"}
    assert list(sources.sources(dataset)) == ["a", "c"]


def test_a_scan_may_be_a_folder_and_a_mask_may_not(table, tmp_path):
    (tmp_path / "data/b.nii.gz").unlink()
    (tmp_path / "data/b.nii.gz").mkdir()
    (tmp_path / "data/labels.nii.gz").unlink()
    (tmp_path / "data/labels.nii.gz").mkdir()
    assert sources.missing(table) == [tmp_path / "data/labels.nii.gz"]
    found = sources.sources(table)
    assert [sources.is_series(found[subject]["scan"]) for subject in ("a", "b")] == [False, True]


def test_simulated_cohort_needs_no_files(tmp_path):
    dataset = {"kind": "phantom", "modality": "T2", "root": str(tmp_path), "cohort": "tumor", "count": 2}
    assert sources.sources(dataset)["phantom_tumor_001"] == {
        "scan": tmp_path / "phantom_tumor/phantom_tumor_001/T2.nii.gz",
        "brain": tmp_path / "phantom_tumor/phantom_tumor_001/T2_brain.nii.gz",
        "lesion": tmp_path / "phantom_tumor/phantom_tumor_001/T2_lesion.nii.gz",
    }
    assert sources.missing(dataset) == []


def test_painted_strokes_need_what_they_are_made_from(tmp_path):
    (tmp_path / "pairs.csv").write_text(
        "subject,scan,brain,mask,mirrored,seed\npainted_a,a.nii.gz,a_brain.nii.gz,m.nii.gz,1,5\n"
    )
    dataset = {
        "kind": "painted",
        "modality": "T1",
        "table": str(tmp_path / "pairs.csv"),
        "data": str(tmp_path / "data"),
        "root": str(tmp_path / "results"),
    }
    pair = sources.pairs(dataset)["painted_a"]
    assert (pair["seed"], pair["mirrored"], pair["mask"]) == (5, True, tmp_path / "data/m.nii.gz")
    assert sources.sources(dataset)["painted_a"]["lesion"] == tmp_path / "results/painted_a/T1_lesion.nii.gz"
    assert [path.name for path in sources.missing(dataset)] == ["a.nii.gz", "a_brain.nii.gz", "m.nii.gz"]


def test_unknown_kinds_and_absent_keys_are_refused():
    with pytest.raises(
        InputError, match="table, folder, bids, phantom, painted, controlled, recontrasted expected"
    ):
        sources.sources({"kind": "nifti"})
    with pytest.raises(InputError, match="dataset wmh: no `root` found"):
        sources.sources({"kind": "folder", "name": "wmh"})


@pytest.mark.skipif(not DATA.is_dir(), reason="real scans are not here: no ../shared/data")
@pytest.mark.parametrize(
    ("name", "count"),
    [("ixi", 151), ("kirby21", 1), ("mni152", 1), ("colin27", 1), ("brats21", 1), ("mslub", 2), ("tcga", 1)],
)
def test_tables_of_the_real_scans_name_files_that_exist(name, count):
    dataset = {
        "kind": "table",
        "modality": "T1",
        "table": str(ROOT / "config" / "ixi2mm" / f"{name}.csv"),
        "root": str(DATA),
    }
    assert len(list(sources.sources(dataset))) == count
    assert sources.missing(dataset) == []


def test_two_millimeter_table_and_split_list_the_same_subjects():
    table = pd.read_csv(ROOT / "config" / "ixi2mm" / "ixi.csv")
    split = pd.read_csv(ROOT / "splits" / "ixi2mm.csv")
    assert list(table["subject"]) == list(split["subject"])
    painted = pd.read_csv(ROOT / "config" / "ixi2mm" / "painted.csv")
    tested = set(split.loc[split["fold0"] == "test", "subject"])
    assert set(painted["subject"].str.removeprefix("painted_")) <= tested
    assert painted["scan"].isin(table["scan"]).all()
