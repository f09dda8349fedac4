"""Configurations on the command line, as somebody tries them who wants less than the whole paper."""

import re
import sys

import forks
import pytest
from paper_replica import paper_configuration, touch_scans, write
from repository_paths import ROOT
from workflow_runs import TINY

pytestmark = pytest.mark.workflow


@pytest.fixture
def paper(tmp_path):
    """A folder with the paper's configuration at its place, and empty files of a few of its scans."""
    config = paper_configuration(tmp_path)
    touch_scans(config)
    (tmp_path / "config").mkdir()
    write(config, tmp_path / "config/config.yaml")
    return tmp_path


def planned_models(folder, *options):
    """What a dry run of the models says, and the trainings that it plans."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--snakefile", ROOT / "Snakefile"]
    return models_in(forks.run([*command, "models", "--cores", "1", *options], folder))


def models_in(result):
    said = result.stdout + result.stderr
    return said, set(re.findall(r"models/(\w+/T\d/fold\d)/model.safetensors", said))


def trainings(*folds):
    return {
        f"{method}/{modality}/fold{fold}"
        for method in ("patch2loc", "thresh", "zscore")
        for modality in ("T1", "T2")
        for fold in folds
    }


OVERLAY = """
folds: [0]
training: {patches: 60000}
datasets: {mslub: {title: Some of MSLUB, split: null, leave_out: []}}
"""
# What somebody tries; the text that the plan has besides the trainings of the first fold.
SMALLER = {
    "values": [
        "--config",
        "folds=[0]",
        "training={patches: 60000}",
        "datasets={mslub: {split: null, leave_out: []}}",
    ],
    "a file": ["--configfile", "overlay.yaml"],
    "two files": ["--configfile", "config/config.yaml", "overlay.yaml"],
    "files and values": [
        "--configfile",
        "later.yaml",
        "overlay.yaml",
        "--config",
        "training={patches: 60000}",
    ],
}


@pytest.mark.parametrize("name", SMALLER)
def test_less_than_the_paper_is_planned_from_where_one_would_try_it(name, paper):
    (paper / "overlay.yaml").write_text(OVERLAY)
    (paper / "later.yaml").write_text("folds: [1]\ntraining: {batch: 512}\n")
    said, planned = planned_models(paper, *SMALLER[name])
    assert planned == trainings(0), said[-3000:]


def test_a_number_in_quotes_is_refused_in_a_file_and_on_the_command_line(paper):
    (paper / "overlay.yaml").write_text("folds: [0]\ntraining: {patches: '60000'}\n")
    message = 'training.patches: "60000" found, a whole number expected'
    assert message in planned_models(paper, "--configfile", "overlay.yaml")[0]
    said, planned = planned_models(
        paper, "--configfile", "overlay.yaml", "--config", "training={patches: 60000}"
    )
    assert planned == trainings(0), said[-3000:]
    said, _ = planned_models(paper, "--config", "training={patches: '60000'}")
    assert message in said


def test_a_whole_configuration_takes_nothing_from_the_papers(paper):
    (paper / "own.yaml").write_text("results: own\ndatasets: {}\ntraining_data: {}\n")
    said, _ = planned_models(paper, "--configfile", "own.yaml")
    assert "atlas: no such key found" in said


def test_the_runner_takes_several_configurations_and_values(paper):
    (paper / "overlay.yaml").write_text("training: {patches: 60000}\n")
    command = [sys.executable, str(ROOT / "workflow/run.py"), "config/config.yaml", "overlay.yaml", "models"]
    command += ["--cores", "1", "--config", "folds=[0]", "datasets={mslub: {split: null, leave_out: []}}"]
    command += ["--snakemake", "--dry-run"]
    said, planned = models_in(forks.run(command, paper))
    assert planned == trainings(0), said[-3000:]


def test_values_reach_the_processes_of_jobs(tmp_path):
    """Jobs of a group run in a Snakemake of their own, which is given the command line anew."""
    values = ["datasets={phantom_wmh: {leave_out: []}, phantom_tumor: {title: 'a, \"b\": [c]'}}", "folds=[0]"]
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "1"]
    command += ["--configfile", str(TINY), "--groups", "preprocess=one", "--config", *values]
    target = "results/tiny/cohorts/phantom_tumor/all.json"
    result = forks.run([*command, "--", target], tmp_path)
    assert result.returncode == 0, (result.stdout + result.stderr)[-3000:]
    assert (tmp_path / target).exists()
