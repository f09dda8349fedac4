"""What it takes to add something: each example changes a copy of the workflow, runs it, and names the files it changed.

A new modality has its example in tests/data/test_modalities.py.
"""

import filecmp
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from repository_paths import ROOT
from toy_method import write_toy
from workflow_runs import TINY, copied_workflow, jobs, snakemake

from patch2loc.data.results import PROVENANCE

pytestmark = pytest.mark.workflow
LIBRARY = "workflow/scripts/patch2loc"


@pytest.fixture
def workflow(tmp_path):
    return copied_workflow(tmp_path)


@pytest.fixture
def own(finished, tmp_path):
    """A finished run of one's own."""
    return shutil.copytree(finished, tmp_path / "own", symlinks=True)


def change(path, old, new):
    """Replace a text that is in a file once."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{path}: {text.count(old)} times {old!r}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def changed_files(workflow):
    """Files of the copy that differ from the repository's, or that it does not have."""
    copies = [path for part in ("workflow", "rules", "config") for path in (workflow / part).rglob("*")]
    names = [path.relative_to(workflow) for path in copies if path.is_file() and path.suffix != ".pyc"]
    return {
        str(name)
        for name in names
        if not (ROOT / name).is_file() or not filecmp.cmp(workflow / name, ROOT / name, shallow=False)
    }


def make(folder, workflow, *targets, config=TINY):
    """Make targets by the copy of the workflow."""
    options = ("--cores", "1", "--rerun-triggers", "mtime", "input")
    result = snakemake(folder, *targets, *options, root=workflow, config=config)
    assert result.returncode == 0, result.stderr[-3000:]


def test_a_method_takes_a_folder_of_two_files(own, workflow):
    """And nothing else: rules, schema, second rows, titles and the place in tables follow from its declaration."""
    written = write_toy(workflow / LIBRARY)
    assert {workflow / name for name in changed_files(workflow)} == written
    assert len(written) == 2
    tiny = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    config = own / "toy.yaml"
    config.write_text(yaml.safe_dump(tiny | {"methods": [*tiny["methods"], "toy"]}))
    make(own, workflow, "table1", config=config)
    table = (own / "results/tiny/tables/table1.md").read_text(encoding="utf-8")
    for title in ("Toy, control", "Toy, calibrated, control", "Toy, as published, control"):
        assert f"| {title} " in table


TABLE = '''"""Number of scans."""

from typing import Any

import pandas as pd

from patch2loc.tables.inputs import subjects_in
from patch2loc.tables.made import Made, by_method_and_dataset, settings_of


def make(inputs: Any, params: Any) -> Made:
    """The table of a run."""
    metrics = by_method_and_dataset(inputs.metrics, params)
    rows = [(method, dataset, len(folds[0])) for (method, dataset), folds in metrics.items()]
    table = pd.DataFrame(rows, columns=["method", "dataset", "scans"])
    settings = settings_of(params, "folds")
    return Made(table, subjects=subjects_in(metrics), settings=settings, files=inputs.metrics)
'''
FIGURE = '''"""Prevalence against AUPRC."""

from typing import Any

from matplotlib.figure import Figure

from patch2loc.metrics.names import METRICS
from patch2loc.tables.made import Made, by_method_and_dataset


def make(inputs: Any, params: Any) -> Made:
    """The figure of a run."""
    figure = Figure(figsize=(3, 3))
    axes = figure.subplots()
    for folds in by_method_and_dataset(inputs.metrics, params).values():
        axes.plot(folds[0]["prevalence"], folds[0]["auprc"], "o")
    axes.set_xlabel(METRICS["prevalence"].label_with_unit)
    axes.set_ylabel(METRICS["auprc"].label_with_unit)
    return Made(figure=figure)
'''
OUTPUT = """OUTPUTS = (
    Output(
        "toy",
        "Number of scans.",
        "patch2loc.{module}",
        lambda plan: {{"metrics": metrics_of(plan, lesion(plan), plan.evaluated_methods)}},
        lambda plan: {{"methods": plan.evaluated_methods, "datasets": lesion(plan), "folds": plan.folds}},
        need=LESION,
        kinds=("{kind}",),
    ),
"""


def add_output(workflow, module, kind, code):
    """Add an output: a module, an entry and a caption."""
    (workflow / LIBRARY / f"{module.replace('.', '/')}.py").write_text(code)
    change(workflow / LIBRARY / "plan/outputs.py", "OUTPUTS = (\n", OUTPUT.format(module=module, kind=kind))
    (workflow / "workflow/report/toy.rst").write_text("An example.\n")


def test_a_table_takes_a_module_an_entry_and_a_caption(own, workflow):
    """And nothing else: rule, target, script, place in the report's crate, cost and provenance follow."""
    add_output(workflow, "tables.toy", "markdown", TABLE)
    assert changed_files(workflow) == {
        f"{LIBRARY}/tables/toy.py",
        f"{LIBRARY}/plan/outputs.py",
        "workflow/report/toy.rst",
    }
    assert jobs(own, workflow)["toy"] == 1  # of a whole run
    make(own, workflow, "toy")
    table = own / "results/tiny/tables/toy.csv"
    assert table.read_text().splitlines()[0] == "method,dataset,scans"
    assert len(json.loads(Path(f"{table}{PROVENANCE}").read_text())["inputs"]) == 2 * 5  # datasets, rows


def test_a_figure_takes_a_module_an_entry_and_a_caption(own, workflow):
    add_output(workflow, "figures.toy", "figure", FIGURE)
    assert changed_files(workflow) == {
        f"{LIBRARY}/figures/toy.py",
        f"{LIBRARY}/plan/outputs.py",
        "workflow/report/toy.rst",
    }
    make(own, workflow, "toy")
    assert {path.suffix for path in (own / "results/tiny/figures").glob("toy.*")} >= {".png", ".pdf"}


def test_a_metric_takes_its_name_and_its_computation(own, workflow):
    change(
        workflow / LIBRARY / "metrics/names.py",
        '        Metric("seconds", "time"',
        '        Metric("toy_ml", "brain", unit="ml"),\n        Metric("seconds", "time"',
    )
    change(
        workflow / LIBRARY / "evaluate/subjects.py",
        '                "seconds": seconds[scan.subject],\n',
        '                "toy_ml": float(np.count_nonzero(mask) * voxel_ml),\n'
        '                "seconds": seconds[scan.subject],\n',
    )
    assert changed_files(workflow) == {f"{LIBRARY}/metrics/names.py", f"{LIBRARY}/evaluate/subjects.py"}
    metrics = "results/tiny/metrics/thresh/phantom_wmh/fold0.csv"
    make(own, workflow, metrics, "--forcerun", "evaluate")
    brain_ml = pd.read_csv(own / metrics)["toy_ml"]
    assert brain_ml.between(500, 2500).all()


def test_a_key_takes_its_statement_and_its_use(own, workflow):
    """The schema and the page of keys are made of it; the rule, the script and the method pass it on unseen."""
    change(
        workflow / LIBRARY / "configuration/keys.py",
        "    slice_code: Annotated[\n",
        '    toy: Annotated[float, key("Weight of the loss.", default=1.0, ge=0, le=2)]\n'
        "    slice_code: Annotated[\n",
    )
    training = workflow / LIBRARY / "network/training.py"
    change(training, "    beta: float = BETA\n", "    beta: float = BETA\n    toy: float = 1.0\n")
    change(
        training,
        "return [beta_nll(mean, log_variance, (place - offset) / scale, settings.beta)]",
        "return [settings.toy * beta_nll(mean, log_variance, (place - offset) / scale, settings.beta)]",
    )
    subprocess.run(
        [sys.executable, "-m", "patch2loc.configuration.reference"],
        env={**os.environ, "PYTHONPATH": str(workflow / "workflow/scripts")},
        check=True,
    )
    assert changed_files(workflow) == {
        f"{LIBRARY}/configuration/keys.py",
        f"{LIBRARY}/network/training.py",
        "config/keys.md",  # made of the keys, as the schema
        "workflow/schemas/config.schema.yaml",
    }
    assert "`training.toy`" in (workflow / "config/keys.md").read_text(encoding="utf-8")
    history = "results/tiny/models/patch2loc/T1/fold0/history.csv"
    before = pd.read_csv(own / history)
    make(own, workflow, history, "--forcerun", "train", "--config", "training={toy: 0}")
    assert (pd.read_csv(own / history)["training_loss"] == 0).all()
    assert (before["training_loss"] != 0).all()
    refused = snakemake(own, "-n", "--config", "training={toy: 3}", root=workflow)
    assert "training.toy: 3 found, 2 or less expected" in refused.stdout + refused.stderr
