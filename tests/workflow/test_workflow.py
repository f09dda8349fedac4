"""Results of the whole workflow on a few simulated subjects, through Snakemake, in every rule."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from crates import check_files, entities_of, training_scans
from repository_paths import ROOT
from workflow_runs import TINY, plan, run, snakemake

from patch2loc.models import load_model
from patch2loc.provenance.trace import trace
from patch2loc.tables.table1 import TABLE1_COLUMNS

pytestmark = pytest.mark.workflow


def test_table1_has_every_method_dataset_and_metric(results):
    table = pd.read_csv(results / "tables/table1.csv")
    assert list(table.columns) == TABLE1_COLUMNS
    rows = set(table[["method", "dataset", "metric"]].itertuples(index=False, name=None))
    for method in ("patch2loc", "thresh", "zscore"):
        for dataset in ("phantom_tumor", "phantom_wmh"):
            assert {(method, dataset, m) for m in ("auprc", "best_dice", "auroc", "auroc_healthy")} <= rows
    assert (table["simulated"] == 1).all()
    assert table["published_mean"].isna().all()  # no published number stands beside simulated data
    assert table["mean"].between(0, 1).all()
    assert (results / "tables/table1.md").read_text().count("simulated") >= 2


def test_a_mean_of_table1_is_the_mean_of_its_subjects(results):
    table = pd.read_csv(results / "tables/table1.csv")
    metrics = pd.read_csv(results / "metrics/thresh/phantom_tumor/fold0.csv")
    row = table.query("method == 'thresh' and dataset == 'phantom_tumor' and metric == 'auprc'").iloc[0]
    assert row["mean"] == pytest.approx(metrics["auprc"].mean())
    assert row["prevalence"] == pytest.approx(metrics["prevalence"].mean())


def test_auprc_of_the_files_is_that_of_scikit_learn(results):
    from sklearn.metrics import average_precision_score

    for method in ("patch2loc", "zscore"):
        metrics = pd.read_csv(results / f"metrics/{method}/phantom_tumor/fold0.csv").set_index("subject")
        subject = metrics.index[0]
        folder = results / f"preprocessed/phantom_tumor/{subject}"
        heatmap, mask, lesion, lesion_any = (
            np.asarray(nib.load(path).dataobj)
            for path in (
                results / f"heatmaps/{method}/phantom_tumor/fold0/{subject}.nii.gz",
                folder / "mask.nii.gz",
                folder / "lesion.nii.gz",
                folder / "lesion_any.nii.gz",
            )
        )
        inside = mask > 0
        lost = round(metrics.loc[subject, "lesion_ml_outside"] / 0.064 - (lesion[~inside] > 0).sum())
        for column, truth in {"auprc": lesion > 0, "auprc_any": lesion_any > 0}.items():
            found = average_precision_score(truth[inside], heatmap[inside])
            recall = truth[inside].sum() / (truth.sum() + lost)
            assert metrics.loc[subject, column] == pytest.approx(found * recall, rel=1e-6)
        assert (lesion_any > 0).sum() > (lesion > 0).sum()


def test_healthy_checks_are_those_of_the_patches_of_healthy_test_scans(results):
    table = pd.read_csv(results / "tables/healthy_checks.csv")
    assert set(table["dataset"]) == {"phantom_healthy_t1", "phantom_healthy_t2"}
    assert set(table["method"]) == {"patch2loc"}
    rows = (
        table[table["dataset"] == "phantom_healthy_t1"]
        .set_index(["check", "quantity", "low", "high"])
        .sort_index()
    )
    patches = pd.read_parquet(results / "patches/patch2loc/phantom_healthy_t1/fold0.parquet")
    assert patches["subject"].nunique() == 1
    z = (100 * patches["x"] / 48 - patches["mean_x"]) / np.exp(patches["log_variance_x"] / 2)
    assert rows.loc[("coverage", "x", 0, 0.95), "mean"] == pytest.approx((np.abs(z) < 1.96).mean(), abs=2e-3)
    assert rows.loc[("squared_z", "x"), "mean"].item() == pytest.approx((z**2).mean())
    assert (rows.loc["coverage", "n_patches"] == len(patches)).all()
    # ICBM152's plane, x = 0 mm, lies at 48.96 % of this grid, between voxels 23 and 24.
    right, placed_right = patches["x"] >= 24, patches["mean_x"] > 48.96
    clear = (100 * patches["x"] / 48 - 48.96).abs() >= 10
    other_side = rows.loc[("opposite_side", "share", 10, np.inf), "mean"]
    assert other_side == pytest.approx((right != placed_right)[clear].mean())
    edge = rows.loc[("edge_distance", "score", -np.inf, 0), "mean"]
    folder = results / "preprocessed/phantom_healthy_t1" / patches["subject"].iloc[0]
    mask = np.asarray(nib.load(folder / "mask.nii.gz").dataobj) > 0
    outside = ~mask[tuple(patches[["x", "y", "z"]].to_numpy().T)]
    assert outside.any()
    assert edge == pytest.approx(patches["score"][outside].mean(), rel=1e-5)


def test_a_second_implementation_computes_the_same_numbers(finished, results):
    command = [sys.executable, str(ROOT / "benchmarks/second_implementation.py"), str(TINY)]
    result = subprocess.run(command, cwd=finished, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr[-2000:]
    metrics = [path for path in results.glob("metrics/*/phantom_[tw]*/fold0.csv")]
    scans = sum(len(pd.read_csv(path)) for path in metrics)
    compared = re.search(r"^metrics: auprc +(\d+)", result.stdout, re.MULTILINE)
    assert int(compared[1]) == scans == 5 * 3  # rows, and scans with lesions


def test_nothing_of_a_test_subject_reaches_the_models(results):
    for modality in ("T1", "T2"):
        landmarks = json.loads((results / f"landmarks/{modality}/fold0.json").read_text())
        model = load_model(results / f"models/patch2loc/{modality}/fold0/model.safetensors")
        seen = {*landmarks["subjects"], *model["training_subjects"], *model["validation_subjects"]}
        metrics = pd.read_csv(results / f"metrics/patch2loc/phantom_healthy_{modality.lower()}/fold0.csv")
        assert len(seen) == 5
        assert not seen & set(metrics["subject"])
        for path in model["provenance"]["inputs"]:
            assert not any(subject in path for subject in metrics["subject"])


def test_a_number_is_traced_to_the_simulated_scans(finished, results, monkeypatch):
    monkeypatch.chdir(finished)
    chain = trace("results/tiny/tables/table1.csv")
    assert not any(entry["changed"] for entry in chain)
    files = [entry["file"] for entry in chain]
    assert any(file.endswith("model.safetensors") for file in files)
    inputs = {path for entry in chain for path in entry["inputs"]}
    assert any("phantom_healthy_000" in path for path in inputs)
    model = next(entry for entry in chain if "models/patch2loc/T1" in entry["file"])
    assert model["configuration"]["seed"] == 7
    assert model["configuration"]["widths"] == [4, 8, 8, 16]


def test_the_results_are_an_ro_crate_that_explains_every_table(finished, results, monkeypatch):
    assert check_files(results) > 100
    tables = [f"tables/{path.name}" for path in results.glob("tables/*.csv.provenance.json")]
    assert len(tables) > 5
    for table in tables:
        scans = training_scans(results, table.removesuffix(".provenance.json"))
        assert "preprocessed/phantom_healthy_t2/phantom_healthy_000/" in scans
    assert str(finished) not in (results / "ro-crate-metadata.json").read_text()
    home = f"{Path.home()}/".encode()
    listed = [
        results / unquote(name) for name, entity in entities_of(results).items() if "File" in entity["@type"]
    ]
    assert [path for path in (*listed, finished / "run.log") if home in path.read_bytes()] == []
    assert not re.findall(
        r"^ *(?:host|user):", (finished / "run.log").read_text(), re.MULTILINE | re.IGNORECASE
    )
    monkeypatch.chdir(finished)
    figure, *behind = trace("results/tiny/figures/fig4.png")
    assert not figure["changed"]
    assert any(entry["file"].endswith("model.safetensors") for entry in behind)


def test_the_report_stands_alone(results):
    page = (results / "report.html").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", page)
    assert "simulated" in page
    assert page.count("data:image/png;base64,") == 9 + 6 + 2  # figures, more figures, learning curves
    assert page.count("data:image/") == 9 + 6 + 2 + 15 + 5  # and of every scan, and of those in the viewer
    for number in range(1, 10):
        assert (results / f"figures/fig{number}.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex not found: LaTeX tables were not compiled")
def test_latex_tables_compile_and_fit_their_page(results, tmp_path):
    tables = sorted((results / "tables").glob("*.tex"))
    (tmp_path / "all.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}"
        + "".join(rf"\input{{{path}}}" for path in tables)
        + r"\end{document}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-2000:]
    assert len(tables) == 8
    assert "Float too large" not in result.stdout
    assert "Overfull" not in result.stdout


def test_finished_models_have_no_checkpoints(results):
    assert list((results / "models").rglob("model.safetensors"))
    assert not list((results / "models").rglob("*checkpoint*"))


def test_quality_control_covers_every_scan(results):
    reports = [json.loads(path.read_text()) for path in results.glob("preprocessed/*/*/qc.json")]
    assert len(reports) == 6 + 6 + 2 + 1
    assert all(report["brain_grid_ml"] > 500 for report in reports)


@pytest.mark.thorough
def test_a_fold_is_trained_with_another_seed_on_the_same_subjects(finished, tmp_path):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    result = snakemake(tmp_path, "seeds", "--config", "seeds_of_first_fold=2")
    assert result.returncode == 0, result.stderr[-3000:]
    results = tmp_path / "results/tiny"
    first, second = (
        load_model(results / f"models/patch2loc/T1/{name}/model.safetensors")
        for name in ("fold0", "fold0seed1")
    )
    assert first["training_subjects"] == second["training_subjects"]
    assert first["fold"] == second["fold"] == 0
    seeds = [model["provenance"]["configuration"]["seed"] for model in (first, second)]
    assert seeds == [7, 1007]
    table = pd.read_csv(results / "tables/seeds.csv").set_index(["method", "dataset", "metric"])
    row = table.loc[("patch2loc", "phantom_tumor", "auprc")]
    means = [
        pd.read_csv(results / f"metrics/patch2loc/phantom_tumor/{name}.csv")["auprc"].mean()
        for name in ("fold0", "fold0seed1")
    ]
    assert means[0] != means[1]
    assert (row["n_seeds"], row["n_folds"]) == (2, 1)
    assert row["mean_over_folds"] == pytest.approx(means[0])
    assert row["sd_over_seeds"] == pytest.approx(np.std(means, ddof=1))
    assert set(table.index.get_level_values("method")) == {"patch2loc", "patch2loc_calibrated"}


def test_a_bad_scan_is_left_out_and_the_run_says_so(finished, tmp_path):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    results = tmp_path / "results/tiny"
    (results / "raw/phantom_tumor/phantom_tumor_001/T2.nii.gz").write_text("no scan")
    before = pd.read_csv(results / "metrics/thresh/phantom_tumor/fold0.csv")
    result = run(tmp_path)
    assert result.returncode != 0
    assert "1 of 15 scans were left out" in result.stderr
    assert re.search(r"phantom_tumor, phantom_tumor_001: \S+T2\.nii\.gz: ", result.stderr)
    after = pd.read_csv(results / "metrics/thresh/phantom_tumor/fold0.csv")
    # The other scan's numbers are what they were; the time that it took is not.
    pd.testing.assert_frame_equal(after.drop(columns="seconds"), before.iloc[:1].drop(columns="seconds"))
    table = pd.read_csv(results / "tables/table1.csv").set_index(["method", "dataset", "metric"])
    assert table.loc[("patch2loc", "phantom_tumor", "auprc"), "n_subjects"] == 1
    assert "1 left out" in (results / "report.html").read_text()
    quality = pd.read_csv(results / "tables/quality.csv").set_index("subject")
    assert quality["left_out"].notna().sum() == 1
    left_out = results / "preprocessed/phantom_tumor/phantom_tumor_001"
    found = {path.name for path in left_out.glob("[!.]*")}  # without Snakemake's time stamp
    assert found == {"qc.json", "qc.json.provenance.json"}
    # Said when it is true, after everything else, and last on the terminal of Snakemake alone.
    log = (results / "snakemake.log").read_text()
    assert re.findall(r"^\s*(?:local)?rule (\w+):", log, re.MULTILINE)[-1] == "every_scan_used"
    assert "phantom_tumor, phantom_tumor_001: " in log[-3000:]

    # Accepted as the message says: what does not read `leave_out` is as it was.
    accepted = ["--config", "datasets={phantom_tumor: {leave_out: [phantom_tumor_001]}}"]
    about_the_scan = {"quality", "report_page", "crate", "every_scan_used", "all"}

    def planned(*options):
        result = plan(tmp_path, *options)
        assert result.returncode == 0, result.stderr[-3000:]
        said = result.stdout + result.stderr
        assert ("results of other settings or other subjects found" in said) == (options != tuple(accepted))
        return set(re.findall(r"^\s*(?:local)?rule (\w+):", said, re.MULTILINE))

    assert planned(*accepted) <= about_the_scan
    # Its file may be gone, or mended: nothing is preprocessed that is not used.
    (results / "raw/phantom_tumor/phantom_tumor_001/T2.nii.gz").write_text("another one")
    assert planned(*accepted) <= about_the_scan
    # A scan that was used changes all that follows.
    good = ["--config", "datasets={phantom_tumor: {leave_out: [phantom_tumor_000]}}"]
    assert {"cohort_list", "score", "evaluate"} <= planned(*good)
    result = run(tmp_path, *accepted)
    assert result.returncode == 0, result.stderr[-3000:]
    assert "done: " in result.stdout


def test_snakemakes_own_report_renders(finished):
    result = snakemake(finished, "--report", "snakemake_report.html")
    assert result.returncode == 0, result.stderr[-3000:]
    page = (finished / "snakemake_report.html").read_text()
    assert "fig4" in page
    assert "Quality control" in page


def test_heatmaps_are_carried_back_to_the_scans(finished, results):
    result = snakemake(finished, "native_space")
    assert result.returncode == 0, result.stderr[-3000:]
    subject = "phantom_tumor_000"
    scan = nib.load(results / f"raw/phantom_tumor/{subject}/T2.nii.gz")
    carried = nib.load(results / f"heatmaps_native_space/patch2loc/phantom_tumor/fold0/{subject}.nii.gz")
    brain = np.asarray(nib.load(results / f"raw/phantom_tumor/{subject}/T2_brain.nii.gz").dataobj) > 0
    np.testing.assert_allclose(carried.affine, scan.affine, atol=1e-4)
    inside = np.isfinite(np.asarray(carried.dataobj))
    assert inside[~brain].mean() < 0.02
    assert inside.sum() > 0.3 * brain.sum()  # the grid cuts the brain's top and bottom
