"""A copy of a training scan under another name, which no path tells: planned, and refused before any number."""

import shutil

import pandas as pd
import pytest
import yaml
from workflow_runs import TINY, snakemake

from patch2loc.acquire.phantom import write_subject

pytestmark = pytest.mark.workflow
METRICS = "results/tiny/metrics/thresh/own/fold0.csv"


@pytest.mark.slow
def test_a_copy_of_a_training_scan_is_refused_before_any_number(tmp_path):
    config = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    for name, cohort, index in (("copy", "healthy", 2), ("patient", "wmh", 0)):
        made = tmp_path / "made" / name
        write_subject(made, cohort, index, seed=config["seed"], settings=config["phantom"])
        for part in ("", "_brain", "_lesion"):
            (tmp_path / "data").mkdir(exist_ok=True)
            shutil.copy2(made / f"T1{part}.nii.gz", tmp_path / f"data/{name}{part}.nii.gz")
    rows = [
        f"{name},T1,{name}.nii.gz,{name}_brain.nii.gz,{name}_lesion.nii.gz" for name in ("copy", "patient")
    ]
    (tmp_path / "own.csv").write_text("\n".join(["subject,modality,scan,brain,lesion", *rows, ""]))
    own = {"title": "own", "modality": "T1", "role": "lesion", "skull_strip": "given"}
    own |= {"source": {"kind": "table", "table": "own.csv"}}
    config["datasets"] = {"phantom_healthy_t1": config["datasets"]["phantom_healthy_t1"], "own": own}
    config["training_data"] = {"T1": "phantom_healthy_t1"}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(config))
    result = snakemake(tmp_path, METRICS, config=tmp_path / "own.yaml")
    assert result.returncode
    said = result.stdout + result.stderr
    assert (
        "results/tiny/preprocessed/own/copy is phantom_healthy_002: 1 scans found whose voxels are those"
        in said
    )
    assert "Traceback" not in said
    assert not (tmp_path / "results/tiny/heatmaps/thresh/own").exists()
    assert not (tmp_path / METRICS).exists()
    own["leave_out"] = ["copy"]
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(config))
    result = snakemake(tmp_path, METRICS, config=tmp_path / "own.yaml")
    assert result.returncode == 0, result.stderr[-3000:]
    assert pd.read_csv(tmp_path / METRICS)["subject"].tolist() == ["patient"]
