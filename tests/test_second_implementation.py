"""The second implementation agrees with the library on a small scored run, and finds a number that was changed."""

import importlib.util
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from repository_paths import ROOT
from scored_results import GRID, scored_results

from patch2loc.data.results import Results
from patch2loc.data.volumes import read, read_mask, write
from patch2loc.evaluate.subjects import evaluate_subject
from patch2loc.files import write_csv
from patch2loc.metrics.summary import summarize
from patch2loc.score.calibration import read_calibration
from patch2loc.tables.comparison import comparison_table
from patch2loc.tables.inputs import read_printed
from patch2loc.tables.table1 import table1

SEED, FOLDS = 5, (0, 1)
DATASETS = {"tumors": {"title": "tumors", "modality": "T1", "simulated": True, "published_name": None}}
ROWS = ("patch2loc", "patch2loc_calibrated", "ae", "ae_as_published", "zscore")


@pytest.fixture(scope="module")
def second():
    path = ROOT / "benchmarks/second_implementation.py"
    specification = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Heatmaps of two folds, metrics and tables, by the library."""
    folder = tmp_path_factory.mktemp("scored")
    results = Results(str(folder))
    (dataset,) = (made for made in scored_results(folder) if made.name == "tumors")
    make_other_heatmaps(results, dataset.scans)
    metrics = {}
    for row in ROWS:
        metrics[row, "tumors"] = [
            pd.DataFrame([evaluated(results, row, scan, fold) for scan in dataset.scans]) for fold in FOLDS
        ]
        for fold, table in zip(FOLDS, metrics[row, "tumors"], strict=True):
            write_csv(results.metrics(row, "tumors", fold), table)
    printed = read_printed(ROOT / "config/published/table1.csv")
    summaries = {key: summarize(folds, SEED) for key, folds in metrics.items()}
    write_csv(results.table("table1"), table1(summaries, DATASETS, printed))
    write_csv(results.table("comparison"), comparison_table(metrics, DATASETS, SEED))
    return results


def make_other_heatmaps(results, scans):
    """A second fold of every method, and a method with scores that tie and a rim of 0 as published."""
    calibration = read_calibration(results.calibration("patch2loc", "T1", 0))
    for name, volume in calibration._asdict().items():
        write(f"{results.calibration('patch2loc', 'T1', 1)}/{name}.nii.gz", volume + 0.1, GRID.affine)
    for number, scan in enumerate(scans):
        random = np.random.default_rng(number)
        for method in ("patch2loc", "zscore"):
            heatmap = read(f"{results.heatmaps(method, 'tumors', 0)}/{scan.subject}.nii.gz")[0]
            noisy = heatmap + random.normal(0, 0.5, heatmap.shape)
            write(f"{results.heatmaps(method, 'tumors', 1)}/{scan.subject}.nii.gz", noisy, GRID.affine)
        for fold in FOLDS:
            tied = np.round(read(f"{results.heatmaps('zscore', 'tumors', fold)}/{scan.subject}.nii.gz")[0])
            write(f"{results.heatmaps('ae', 'tumors', fold)}/{scan.subject}.nii.gz", tied, GRID.affine)
            rim = np.where(np.isfinite(tied) & (tied < 2), 0, tied)
            folder = f"{results.heatmaps('ae', 'tumors', fold)}/as_published"
            write(f"{folder}/{scan.subject}.nii.gz", rim, GRID.affine)


def evaluated(results, row, scan, fold):
    method, _, ending = row.partition("_")
    folder = results.heatmaps(method, "tumors", fold) + ("/as_published" if ending == "as_published" else "")
    heatmap = read(f"{folder}/{scan.subject}.nii.gz")[0]
    if ending == "calibrated":
        heatmap = read_calibration(results.calibration(method, "T1", fold)).apply(heatmap)
    by_half, by_any = (
        evaluate_subject(
            heatmap,
            read_mask(scan.mask_path),
            read_mask(scan.truth_path(truth)),
            GRID.spacing**3 / 1000,
            lost_ml=scan.lost_lesion().ml,
        )
        for truth in ("half", "any")
    )
    any_columns = {f"{metric}_any": by_any[metric] for metric in ("auprc", "best_dice", "prevalence")}
    return {"subject": scan.subject, **by_half, **any_columns, "auroc_healthy": 0.5}


def run(second, results, monkeypatch, folder, *options):
    configuration = {
        "results": results.root,
        "seed": SEED,
        "folds": list(FOLDS),
        "grid": {"spacing": GRID.spacing},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(configuration))
    monkeypatch.setattr(sys, "argv", ["second_implementation.py", str(folder / "run.yaml"), *options])
    return second.main()


def test_a_run_of_the_library_is_confirmed(second, results, monkeypatch, tmp_path, capsys):
    assert run(second, results, monkeypatch, tmp_path) == 0
    printed = capsys.readouterr().out
    # Five rows of six scans in two folds, by two truths; six metrics of each row; ten pairs and two measures.
    counts = [line.split()[-2] for line in printed.splitlines() if "auprc" in line or "ci_low" in line]
    assert counts == ["60", "60", "30", "20"]
    families = pd.read_csv(results.table("comparison"))["family"].value_counts()
    assert families.to_dict() == {"exploratory": 18, "primary": 2}


CHANGED = {
    "metrics": ("auprc", lambda results: results.metrics("ae", "tumors", 1)),
    "table1": ("ci_high", lambda results: results.table("table1")),
    "comparison": ("p_holm", lambda results: results.table("comparison")),
}


@pytest.mark.parametrize("table", CHANGED)
def test_a_number_that_was_changed_is_found(second, results, monkeypatch, tmp_path, capsys, table):
    column, path_of = CHANGED[table]
    path = path_of(results)
    before = pd.read_csv(path)
    changed = before.copy()
    changed.loc[changed[column].first_valid_index(), column] += 1e-6
    try:
        write_csv(path, changed)
        assert run(second, results, monkeypatch, tmp_path, "--scans", "6") == 1
    finally:
        write_csv(path, before)
    assert f"\n{table}: {column}, " in capsys.readouterr().out


def test_a_pair_that_is_left_out_is_found(second, results, monkeypatch, tmp_path, capsys):
    path = results.table("comparison")
    before = pd.read_csv(path)
    try:
        write_csv(path, before.iloc[1:])
        assert run(second, results, monkeypatch, tmp_path, "--methods", "zscore") == 1
    finally:
        write_csv(path, before)
    assert "comparison: pairs, tumors best_dice patch2loc patch2loc_calibrated" in capsys.readouterr().out


def test_a_missing_number_is_no_small_difference(second):
    assert second.Deviation("a", "b", np.nan, 0.1).size == np.inf
    assert second.Deviation("a", "b", np.nan, np.nan).size == 0
    assert second.Deviation("a", "b", "primary", "exploratory").size == np.inf
    assert second.report([]) == 1
