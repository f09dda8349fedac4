"""The whole workflow on a few simulated subjects, through Snakemake, in every rule."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import psutil
import pytest
import yaml

from patch2loc.models import load_model
from patch2loc.provenance import trace
from patch2loc.tables import TABLE1_COLUMNS

ROOT = Path(__file__).parents[1]
TINY = ROOT / "tests/tiny.yaml"
pytestmark = pytest.mark.workflow


def run(folder, *arguments, root=ROOT):
    command = [sys.executable, str(root / "workflow/run.py"), str(TINY), "--cores", "2", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def snakemake(folder, *arguments, root=ROOT, config=TINY):
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(root / "Snakefile")]
    command += ["--configfile", str(config), "--workflow-profile", str(root / "profiles/default")]
    command += ["--cores", "2", *arguments]
    # Another version of the package in the way, as an installed one would be.
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts")}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workflow")
    result = run(folder)
    assert result.returncode == 0, result.stderr[-6000:]
    assert str(folder / "results/tiny/report.html") in result.stdout
    return folder


@pytest.fixture(scope="module")
def results(finished):
    return finished / "results/tiny"


def test_table1_has_every_method_dataset_and_metric(results):
    table = pd.read_csv(results / "tables/table1.csv")
    assert list(table.columns) == TABLE1_COLUMNS
    rows = set(table[["method", "dataset", "metric"]].itertuples(index=False, name=None))
    for method in ("patch2loc", "thresh", "zscore"):
        for dataset in ("phantom_tumour", "phantom_wmh"):
            assert {(method, dataset, m) for m in ("auprc", "best_dice", "auroc", "auroc_healthy")} <= rows
    assert (table["simulated"] == 1).all()
    assert table["published_mean"].isna().all()  # no published number stands beside simulated data
    assert table["mean"].between(0, 1).all()
    assert (results / "tables/table1.md").read_text().count("simulated") >= 2


def test_a_mean_of_table1_is_the_mean_of_its_subjects(results):
    table = pd.read_csv(results / "tables/table1.csv")
    metrics = pd.read_csv(results / "metrics/thresh/phantom_tumour/fold0.csv")
    row = table.query("method == 'thresh' and dataset == 'phantom_tumour' and metric == 'auprc'").iloc[0]
    assert row["mean"] == pytest.approx(metrics["auprc"].mean())
    assert row["prevalence"] == pytest.approx(metrics["prevalence"].mean())


def test_auprc_of_the_files_is_that_of_scikit_learn(results):
    from sklearn.metrics import average_precision_score

    for method in ("patch2loc", "zscore"):
        metrics = pd.read_csv(results / f"metrics/{method}/phantom_tumour/fold0.csv").set_index("subject")
        subject = metrics.index[0]
        folder = results / f"preprocessed/phantom_tumour/{subject}"
        heatmap, mask, lesion = (
            np.asarray(nib.load(path).dataobj)
            for path in (
                results / f"heatmaps/{method}/phantom_tumour/fold0/{subject}.nii.gz",
                folder / "mask.nii.gz",
                folder / "lesion.nii.gz",
            )
        )
        inside = mask > 0
        missed = (lesion[~inside] > 0).sum() + round(
            metrics.loc[subject, "lesion_ml_outside"] / 0.064 - (lesion[~inside] > 0).sum()
        )
        found = average_precision_score(lesion[inside] > 0, heatmap[inside])
        recall = (lesion[inside] > 0).sum() / ((lesion[inside] > 0).sum() + missed)
        assert metrics.loc[subject, "auprc"] == pytest.approx(found * recall, rel=1e-6)


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


def test_the_report_stands_alone(results):
    page = (results / "report.html").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", page)
    assert "simulated" in page
    assert page.count("data:image/png;base64,") == 6 + 2  # figures and learning curves
    assert page.count("data:image/") == 6 + 2 + 15  # and a thumbnail of every scan
    for number in range(2, 8):
        assert (results / f"figures/fig{number}.pdf").read_bytes().startswith(b"%PDF")


def test_quality_control_covers_every_scan(results):
    reports = [json.loads(path.read_text()) for path in results.glob("preprocessed/*/*/qc.json")]
    assert len(reports) == 6 + 6 + 2 + 1
    assert all(report["brain_grid_ml"] > 500 for report in reports)


def test_a_bad_scan_is_left_out_and_the_run_says_so(finished, tmp_path):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    results = tmp_path / "results/tiny"
    (results / "raw/phantom_tumour/phantom_tumour_001/T2.nii.gz").write_text("no scan")
    before = pd.read_csv(results / "metrics/thresh/phantom_tumour/fold0.csv")
    result = run(tmp_path)
    assert result.returncode != 0
    assert "1 of 15 scans were left out" in result.stderr
    assert re.search(r"phantom_tumour, phantom_tumour_001: \S+T2\.nii\.gz: ", result.stderr)
    after = pd.read_csv(results / "metrics/thresh/phantom_tumour/fold0.csv")
    # The other scan's numbers are what they were; the time that it took is not.
    pd.testing.assert_frame_equal(after.drop(columns="seconds"), before.iloc[:1].drop(columns="seconds"))
    table = pd.read_csv(results / "tables/table1.csv").set_index(["method", "dataset", "metric"])
    assert table.loc[("patch2loc", "phantom_tumour", "auprc"), "n_subjects"] == 1
    assert "1 left out" in (results / "report.html").read_text()
    quality = pd.read_csv(results / "tables/quality.csv").set_index("subject")
    assert quality["left_out"].notna().sum() == 1
    left_out = results / "preprocessed/phantom_tumour/phantom_tumour_001"
    assert [path.name for path in left_out.glob("[!.]*")] == ["qc.json"]  # and Snakemake's time stamp


def test_a_second_run_does_nothing(finished):
    result = run(finished)
    assert result.returncode == 0
    assert result.stdout.startswith("nothing to do")


def jobs(folder, root):
    """Rules that a dry run would run, with their counts."""
    result = snakemake(folder, "--dry-run", root=root)
    assert result.returncode == 0, result.stderr[-3000:]
    said = result.stdout + result.stderr
    rules = re.findall(r"^\s*(?:local)?rule (\w+):", said, re.MULTILINE)  # indented in a group
    assert rules or "Nothing to be done" in said
    return Counter(rule for rule in rules if rule != "all")


@pytest.fixture
def copy_of_the_workflow(tmp_path):
    for part in ("Snakefile", "rules", "workflow", "config", "envs", "profiles", "tests"):
        source = ROOT / part
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, tmp_path / part)
    return tmp_path


@pytest.mark.parametrize(
    ("module", "expected", "untouched"),
    [
        ("metrics.py", {"evaluate", "table1", "report_page"}, {"preprocess", "train", "score"}),
        (
            "methods/thresh.py",
            {"score", "evaluate", "table1"},
            {"preprocess", "landmarks", "analyse_patches"},
        ),
        ("figures/kde.py", {"fig3", "fig6"}, {"preprocess", "train", "score", "evaluate"}),
        ("preprocess/bias.py", {"preprocess", "landmarks", "train", "score"}, {"simulate_phantom"}),
    ],
)
def test_an_edited_module_reruns_what_depends_on_it(
    finished, copy_of_the_workflow, module, expected, untouched
):
    # These read files of the repository, which the copy has elsewhere.
    assert jobs(finished, copy_of_the_workflow).keys() <= {"table1", "table2", "report_page"}
    with open(copy_of_the_workflow / "workflow/scripts/patch2loc" / module, "a") as stream:
        stream.write("\n# edited\n")
    planned = jobs(finished, copy_of_the_workflow)
    assert expected <= planned.keys()
    assert not untouched & planned.keys()
    if module == "methods/thresh.py":
        assert planned["train"] == 2  # thresh on T1 and T2; the other methods' models stay


def test_snakemakes_own_report_renders(finished):
    result = snakemake(finished, "--report", "snakemake_report.html")
    assert result.returncode == 0, result.stderr[-3000:]
    page = (finished / "snakemake_report.html").read_text()
    assert "fig4" in page
    assert "Quality control" in page


def test_heatmaps_are_carried_back_to_the_scans(finished, results):
    result = snakemake(finished, "scan_space")
    assert result.returncode == 0, result.stderr[-3000:]
    subject = "phantom_tumour_000"
    scan = nib.load(results / f"raw/phantom_tumour/{subject}/T2.nii.gz")
    carried = nib.load(results / f"heatmaps_scan_space/patch2loc/phantom_tumour/fold0/{subject}.nii.gz")
    brain = np.asarray(nib.load(results / f"raw/phantom_tumour/{subject}/T2_brain.nii.gz").dataobj) > 0
    np.testing.assert_allclose(carried.affine, scan.affine, atol=1e-4)
    inside = np.isfinite(np.asarray(carried.dataobj))
    assert inside[~brain].mean() < 0.02
    assert inside.sum() > 0.3 * brain.sum()  # the grid cuts the brain's top and bottom


def test_missing_data_stop_the_paper_at_once(tmp_path):
    for part in ("config", "splits"):
        shutil.copytree(ROOT / part, tmp_path / part)
    start = time.monotonic()
    result = snakemake(tmp_path, "--dry-run", config=ROOT / "config/config.yaml")
    said = result.stdout + result.stderr
    assert result.returncode != 0
    assert time.monotonic() - start < 30
    for name in ("ixi_t1", "ixi_t2", "brats21", "mslub", "atlas", "wmh", "sri24"):
        assert re.search(rf"^\s+{name}: \d+ files missing, the first is data/", said, re.MULTILINE), name
    assert said.count("Data are missing") == 1
    assert "make demo" in said


def test_targets_read_like_a_table_of_contents(tmp_path):
    result = snakemake(tmp_path, "--list-target-rules")
    rules = dict(re.findall(r"^(\w+) \((.+)\)$", result.stdout, re.MULTILINE))
    assert {
        "all",
        "table1",
        "table2",
        *(f"fig{n}" for n in range(2, 8)),
        "models",
        "heatmaps",
    } <= rules.keys()


def test_unknown_keys_are_refused(tmp_path):
    config = yaml.safe_load(TINY.read_text())
    config["learnig_rate"] = 1
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    result = snakemake(tmp_path, "--dry-run", config=tmp_path / "config.yaml")
    assert result.returncode != 0
    assert "learnig_rate" in result.stdout + result.stderr


def start(folder):
    """A run with a parent, as make is one; both in a process group of their own."""
    command = [sys.executable, str(ROOT / "workflow/run.py"), str(TINY), "--cores", "2"]
    return subprocess.Popen(
        ["sh", "-c", f"{shlex.join(command)}; true"],
        cwd=folder,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for_rule(process, folder, rule):
    """Wait until a run has begun a rule."""
    log = folder / "results/tiny/snakemake.log"
    while process.poll() is None:
        if log.exists() and re.search(rf"^\s*(?:local)?rule {rule}:", log.read_text(), re.MULTILINE):
            return
        time.sleep(0.05)
    pytest.fail(f"{rule} was never seen")


def at_work_in(folder):
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == folder:
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_one_run_at_a_time_and_none_left_behind(tmp_path):
    process = start(tmp_path)
    wait_for_rule(process, tmp_path, "simulate_phantom")
    second = run(tmp_path)
    assert second.returncode != 0
    assert "another run is at work" in second.stderr
    process.kill()  # the parent alone
    process.wait()
    deadline = time.monotonic() + 20
    while at_work_in(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not at_work_in(tmp_path)


def tables(folder):
    return {
        path.name: path.read_bytes()
        for path in (folder / "results/tiny/tables").glob("*")
        if not path.name.endswith(".json")
    }


STAGES = [
    "simulate_phantom",
    "preprocess",
    "landmarks",
    "train",
    "score",
    "evaluate",
    "table1",
    "report_page",
]


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["group", "parent"])
def test_kills_in_every_stage_change_no_table(finished, tmp_path, victim):
    for stage in STAGES:
        (tmp_path / "results/tiny/snakemake.log").unlink(missing_ok=True)
        process = start(tmp_path)
        wait_for_rule(process, tmp_path, stage)
        time.sleep(1.5 if stage in ("train", "score") else 0.5)
        if victim == "group":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        time.sleep(1)
    result = run(tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    assert tables(tmp_path) == tables(finished)


@pytest.mark.slow
def test_the_same_configuration_gives_the_same_tables(finished, tmp_path):
    assert run(tmp_path).returncode == 0
    assert tables(tmp_path) == tables(finished)
