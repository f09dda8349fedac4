"""Scans that a run fetches: planned without a network, fetched once, and named when they cannot be had."""

import hashlib
import re
import shutil

import pytest
import replica
import yaml
from repository_paths import ROOT
from workflow_runs import TINY, plan, run

pytestmark = pytest.mark.workflow


@pytest.mark.parametrize(("name", "scans"), [("ixi2mm", 329), ("model_t1", 173)])
def test_the_shipped_configurations_plan_with_an_empty_folder(tmp_path, monkeypatch, name, scans):
    monkeypatch.delenv("PATCH2LOC_MIRROR", raising=False)
    for part in ("config", "splits"):
        (tmp_path / part).symlink_to(ROOT / part)
    config = ROOT / f"config/{name}.yaml"
    result = plan(tmp_path, "--quiet", "rules", config=config)
    assert result.returncode == 0, result.stderr[-3000:]
    said = result.stdout + result.stderr
    assert re.search(r"^fetch_scans\s+1$", said, re.MULTILINE)
    assert f"{scans} scans of" in said
    assert not (tmp_path / "data").exists()


@pytest.fixture
def workflow(tmp_path):
    """A copy of the workflow with a table of two scans, which are public in a folder; and a configuration of them."""
    (tmp_path / "workflow").mkdir()
    for part in ("Snakefile", "CITATION.cff", "rules", "workflow", "config", "envs", "profiles"):
        source = ROOT / part
        target = tmp_path / "workflow" / part
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)
    public = tmp_path / "public"
    public.mkdir()
    lines = ["source,path,url,bytes,checksum,step"]
    for seed, name in enumerate(("t1", "lesion")):
        content = replica.scan(seed)
        (public / f"{name}.nii.gz").write_bytes(content)
        checksum = f"sha256:{hashlib.sha256(content).hexdigest()}"
        url = (public / f"{name}.nii.gz").as_uri()
        lines.append(f"kirby21_113,study/{name}.nii.gz,{url},{len(content)},{checksum},")
    (tmp_path / "workflow/config/scan_files.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "study.csv").write_text(
        "subject,modality,scan,brain,lesion\ns1,T1,study/t1.nii.gz,,study/lesion.nii.gz\n"
    )
    config = yaml.safe_load(TINY.read_text())
    source = {"kind": "table", "table": str(tmp_path / "study.csv"), "registry": "kirby21"}
    config["datasets"]["study"] = {
        "title": "study",
        "modality": "T1",
        "role": "lesion",
        "skull_strip": "none",
        "source": source,
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


def test_a_run_fetches_its_scans_and_refuses_a_damaged_one(workflow):
    options = {"root": workflow / "workflow", "config": workflow / "study.yaml"}
    lesion = workflow / "public/lesion.nii.gz"
    right = lesion.read_bytes()
    lesion.write_bytes(right[:-20] + bytes([right[-20] ^ 1]) + right[-19:])
    refused = run(workflow, "fetch_scans", **options)
    assert refused.returncode != 0
    assert "InputError: 1 of 2 scans could not be fetched; the other 1 are kept" in refused.stderr
    assert "study/lesion.nii.gz, of Kirby 21, T1 and T2 of one healthy subject" in refused.stderr
    assert re.search(
        r"sha256 [0-9a-f]{64} found, \d+ bytes, sha256 [0-9a-f]{64} expected, twice the same: the source has another "
        "file than is known here; get them from https://",
        refused.stderr,
    )
    assert "--config 'without=[study]'" in refused.stderr
    assert not list((workflow / "data/study").glob("*"))
    lesion.write_bytes(right)
    fetched = run(workflow, "data", **options)
    assert fetched.returncode == 0, fetched.stderr
    assert (workflow / "data/study/lesion.nii.gz").read_bytes() == right
    assert (workflow / "data/study/t1.nii.gz").read_bytes() == (workflow / "public/t1.nii.gz").read_bytes()
    shutil.rmtree(workflow / "public")
    again = plan(workflow, "--quiet", "rules", **options)
    assert again.returncode == 0, again.stderr[-3000:]
    said = again.stdout + again.stderr
    assert re.search(r"^preprocess\s+\d+$", said, re.MULTILINE)
    assert "fetch_scans" not in said
