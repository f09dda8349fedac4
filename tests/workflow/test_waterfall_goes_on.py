"""A waterfall whose runs are stood in for: what it does after a failure, again, and with another configuration."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml
from repository_paths import ROOT

from patch2loc.configuration.released_code import ELEMENTS
from patch2loc.files import read_csv

STEPS = ["released code", "epsilon", "landmarks", "averaging"]
DATASETS = ("phantom_tumor", "phantom_wmh")
CHANGES = {"results": "results/own", "score": {"epsilon": 0.25}, "training": {"averaging": 0.5}}


@pytest.fixture
def waterfall(monkeypatch):
    """workflow/waterfall.py as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "workflow"))
    description = importlib.util.spec_from_file_location("waterfall", ROOT / "workflow/waterfall.py")
    module = importlib.util.module_from_spec(description)
    description.loader.exec_module(module)
    return module


class Runs:
    """Runs of the workflow: each writes what a step is made of, from its epsilon and its averaging."""

    def __init__(self, fail_at=None):
        self.fail_at, self.configurations = fail_at, []

    def __call__(self, command):
        config = yaml.safe_load(Path(command[2]).read_text(encoding="utf-8"))
        self.configurations.append(config)
        if len(self.configurations) == self.fail_at:
            return subprocess.CompletedProcess(command, 3)
        results = Path(config["results"])
        (results / "tables").mkdir(parents=True, exist_ok=True)
        value = config["score"]["epsilon"] / 2 + config["training"]["averaging"] / 4
        for dataset in DATASETS:
            (results / "metrics/patch2loc" / dataset).mkdir(parents=True, exist_ok=True)
            scans = pd.DataFrame({"subject": ["a", "b"], "auprc": value, "best_dice": [value, 2 * value]})
            scans.to_csv(results / "metrics/patch2loc" / dataset / "fold0.csv", index=False)
        columns = ["dataset", "patches", "quantity", "spearman", "n_subjects", "n_folds"]
        pd.DataFrame(columns=columns).to_csv(results / "tables/table2.csv", index=False)
        return subprocess.CompletedProcess(command, 0)


def called(waterfall, monkeypatch, runs, config):
    """Exit status of the command on a configuration."""
    Path("own.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    others = [element.name for element in ELEMENTS if element.name not in STEPS]
    command = ["waterfall.py", str(ROOT / "tests/tiny.yaml"), "own.yaml", "--without", *others]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr(waterfall, "subprocess", SimpleNamespace(run=runs))
    return waterfall.main()


def test_it_shows_the_steps_that_are_done_and_goes_on_with_the_others(waterfall, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "results/own-waterfall"
    failing = Runs(fail_at=3)
    assert called(waterfall, monkeypatch, failing, CHANGES) == 3
    assert [config["score"]["epsilon"] for config in failing.configurations] == [1e-10, 0.25, 0.25]
    table = read_csv(folder / "waterfall.csv")
    assert list(table["name"].unique()) == STEPS[:2]
    assert "own.yaml, 2 of 4 steps" in (folder / "waterfall.md").read_text(encoding="utf-8")

    rest = Runs()
    assert called(waterfall, monkeypatch, rest, CHANGES) == 0
    assert len(rest.configurations) == 2
    table = read_csv(folder / "waterfall.csv")
    dice = table[(table["measure"] == "best_dice") & (table["dataset"] == DATASETS[0])].set_index("name")
    assert list(dice.index) == STEPS
    assert dice["mean"].tolist() == pytest.approx([0, 0.1875, 0.1875, 0.375], abs=1e-9)
    assert dice["change"].tolist()[1:] == pytest.approx([0.1875, 0, 0.1875], abs=1e-9)
    assert "of 4 steps" not in (folder / "waterfall.md").read_text(encoding="utf-8")
    assert (folder / "waterfall.png").stat().st_size > 10_000


def test_it_does_again_what_another_configuration_concerns(waterfall, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for config, runs in ((CHANGES, 4), (CHANGES, 0), (CHANGES | {"training": {"averaging": 0.75}}, 1)):
        seen = Runs()
        assert called(waterfall, monkeypatch, seen, config) == 0
        assert len(seen.configurations) == runs
