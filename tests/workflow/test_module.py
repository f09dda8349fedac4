"""The workflow as a part of another one: imported by `module:`, run in another folder under another configuration."""

import sys

import forks
import pandas as pd
import pytest
from repository_paths import ROOT

pytestmark = pytest.mark.workflow
SNAKEFILE = f"""
configfile: "{ROOT}/tests/tiny.yaml"


module patch2loc:
    snakefile:
        "{ROOT}/workflow/Snakefile"
    config:
        config


use rule * from patch2loc as patch2loc_*


rule mean_brain:
    input:
        expand("results/tiny/preprocessed/phantom_tumor/phantom_tumor_{{number:03d}}", number=range(2)),
    output:
        "brains.csv",
    run:
        import json
        from pathlib import Path

        brains = [json.loads(Path(folder, "qc.json").read_text())["brain_grid_ml"] for folder in input]
        Path(output[0]).write_text("milliliters\\n" + "\\n".join(map(str, brains)) + "\\n")
"""


@pytest.fixture
def other(tmp_path):
    """A folder with a Snakefile that imports this workflow and adds a rule of its own."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    return tmp_path


def snakemake(folder, *arguments):
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
    result = forks.run(command, folder)
    assert result.returncode == 0, result.stderr[-4000:]
    return result.stdout + result.stderr


def test_the_whole_workflow_is_planned_from_elsewhere(other):
    plan = snakemake(other, "--dry-run", "patch2loc_all")
    for rule in ("preprocess", "train", "score", "table1", "fig4", "report_page"):
        assert f"patch2loc_{rule}" in plan


def test_another_workflow_has_scripts_of_its_own_before_this_one(other):
    own = 'rule own:\n    output:\n        "own.txt",\n    script:\n        "scripts/own.py"\n\n\n'
    (other / "Snakefile").write_text(own + SNAKEFILE)
    (other / "scripts").mkdir()
    (other / "scripts/own.py").touch()
    plan = snakemake(other, "--dry-run", "own.txt", "patch2loc_table1")
    assert "own" in plan
    assert "patch2loc_table1" in plan


@pytest.mark.thorough
def test_a_rule_of_another_workflow_takes_what_this_one_makes(other):
    snakemake(other, "mean_brain")
    volumes = pd.read_csv(other / "brains.csv")["milliliters"]
    assert len(volumes) == 2
    assert volumes.between(500, 2500).all()
    assert not (other / "results/tiny/models").exists()
