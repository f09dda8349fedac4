"""The paper's scans as others preprocessed them: config/preprocessed.yaml on their tree, planned and run."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from paper_replica import paper_configuration, small, write
from preprocessed_tree import WHOLE, write_preprocessed_tree
from repository_paths import ROOT
from whole_runs import planned_run
from workflow_runs import run

from patch2loc.data import volumes
from patch2loc.errors import InputError
from patch2loc.models import load_model
from patch2loc.plan import preprocess

pytestmark = pytest.mark.workflow
PREPROCESSED = "config/preprocessed.yaml"


def shipped(name):
    return yaml.safe_load((ROOT / "config" / name).read_text(encoding="utf-8"))


def test_it_is_the_papers_configuration_but_for_where_scans_are_and_what_is_done_to_them():
    paper, tree = shipped("config.yaml"), shipped("preprocessed.yaml")
    own = {"results", "preprocess", "datasets"}
    assert {key: value for key, value in paper.items() if key not in own} == {
        key: value for key, value in tree.items() if key not in own
    }
    assert (
        paper["preprocess"] | {"registration": "translation", "bias_correction": False} == tree["preprocess"]
    )
    assert list(paper["datasets"]) == list(tree["datasets"])
    for name, dataset in paper["datasets"].items():
        assert dataset | {"skull_strip": "given", "source": None} == tree["datasets"][name] | {"source": None}


def tree_of_names():
    """Files of every subject that the lists of the two repositories name, as these lists write them."""
    for subject, has_t2 in pd.read_csv(ROOT / "splits/ixi.csv")[["subject", "has_t2"]].itertuples(
        index=False
    ):
        yield f"Train/ixi/mask/{subject}_mask.nii.gz"
        yield f"Train/ixi/t1/{subject}_t1.nii.gz"
        if has_t2:
            yield f"Train/ixi/t2/{subject}_t2.nii.gz"
    lists = {
        "Brats21": ("brats21", "", "t2"),
        "MSLUB": ("mslub", "", "t2"),
        "ATLAS_v2": ("atlas", "_ses-1_space-MNI152NLin2009aSym", "t1"),
        "WMH": ("wmh", "", "t1"),
    }
    for folder, (name, end, scan) in lists.items():
        for subject in pd.read_csv(ROOT / f"splits/{name}.csv")["subject"]:
            for part in (scan, "mask", "seg"):
                yield f"Test/{folder}/{part}/{subject}{end}_{part}.nii.gz"


def test_the_shipped_configuration_finds_every_file_of_their_tree(tmp_path, monkeypatch):
    for name in [*tree_of_names(), "sri24/spgr.nii", "sri24/late.nii"]:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    planned = planned_run(ROOT / PREPROCESSED)
    scans = [(name, subject) for name, dataset in planned.datasets.items() for subject in dataset.scans]
    healthy = pd.read_csv(ROOT / "splits/ixi.csv")["has_t2"]
    assert len(scans) == len(healthy) + healthy.sum() + 1251 + 30 + 655 + 60
    # The inputs of each job of preprocessing; an InputError if any of them were missing.
    assert all(set(preprocess.scan_parts(planned, *scan)) >= {"scan", "brain"} for scan in scans)
    (tmp_path / "data/Test/WMH/mask").rename(tmp_path / "data/Test/WMH/masks")
    with pytest.raises(InputError, match=r"wmh: none of 60 subjects is there"):
        preprocess.scan_parts(planned_run(ROOT / PREPROCESSED), "brats21", scans[-1][1])


@pytest.mark.slow
def test_their_scans_pass_unchanged_to_table1(tmp_path):
    few = {"train": 2, "validation": 1, "test": 1}
    config = small(paper_configuration(tmp_path, PREPROCESSED, healthy_scans=few, lesion_scans=1))
    given = write_preprocessed_tree(config)
    result = run(tmp_path, "table1", config=write(config, tmp_path / "tree.yaml"))
    assert result.returncode == 0, result.stderr[-6000:]
    results = tmp_path / "results"
    crop = tuple(
        slice((whole - size) // 2, (whole - size) // 2 + size)
        for whole, size in zip(WHOLE, config["grid"]["shape"], strict=True)
    )
    for (name, subject), arrays in given.items():
        folder = results / "preprocessed" / name / subject
        modality = config["datasets"][name]["modality"]
        volume, mask, lesion, lesion_any = (
            volumes.read(folder / f"{part}.nii.gz")[0] for part in (modality, "mask", "lesion", "lesion_any")
        )
        on_grid = {part: array[crop] for part, array in arrays.items()}
        brain = on_grid["brain"] >= 0.5
        np.testing.assert_array_equal(mask > 0, brain, f"{name} {subject}")
        np.testing.assert_allclose(volume, np.where(brain, on_grid["scan"], 0), rtol=1e-5, atol=1e-3)
        np.testing.assert_array_equal(lesion > 0, on_grid["lesion"] >= 0.5)
        np.testing.assert_array_equal(lesion_any > 0, on_grid["lesion"] > 1e-6)
        if config["datasets"][name]["role"] == "lesion":
            assert 0 < (lesion > 0).sum() < (lesion_any > 0).sum()
        qc = json.loads((folder / "qc.json").read_text())
        assert (qc["registration"], qc["bias_correction"]) == ("translation", False)
        assert qc["bias_field_ratio"] == 1
        assert qc["scale"] == [1, 1, 1]
        assert qc["atlas_dice"] > 0.9
    table = pd.read_csv(results / "tables/table1.csv").query("method == 'patch2loc' and metric == 'auprc'")
    assert set(table["dataset"]) == {"brats21", "mslub", "atlas", "wmh"}
    assert table[["mean", "published_mean"]].notna().all(axis=None)
    for modality in ("T1", "T2"):
        preprocess = load_model(results / f"models/patch2loc/{modality}/fold0/model.safetensors")[
            "preprocess"
        ]
        assert (preprocess["registration"], preprocess["bias_correction"]) == ("translation", False)
