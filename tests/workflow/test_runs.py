"""What a run of the workflow does: what it plans, refuses and does again, and alone in its folder."""

import os
import re
import resource
import shutil
import time

import pandas as pd
import pytest
import yaml
from paper_replica import paper_configuration, touch_scans, write
from repository_paths import ROOT
from workflow_runs import (
    TINY,
    copied_workflow,
    jobs,
    log_of,
    plan,
    run,
    run_alone,
    snakemake,
    start,
    wait_for_the_end,
)

pytestmark = pytest.mark.workflow
# Rules, and the one that comes after them.
READ_FILES_OF_THE_REPOSITORY = {"table1", "table2", "viewer", "report_page", "crate", "every_scan_used"}


def test_a_second_run_does_nothing(finished):
    result = run(finished)
    assert result.returncode == 0
    assert result.stdout.startswith("nothing to do")


@pytest.fixture
def copy_of_the_workflow(tmp_path):
    return copied_workflow(tmp_path)


def test_a_copy_of_the_workflow_reruns_what_reads_files_of_the_repository(finished, copy_of_the_workflow):
    for path in copy_of_the_workflow.rglob("*"):  # as in a clone that was made after the results
        os.utime(path)
    assert jobs(finished, copy_of_the_workflow).keys() <= READ_FILES_OF_THE_REPOSITORY


@pytest.mark.parametrize(
    ("module", "expected", "untouched"),
    [
        ("metrics/ranking.py", {"evaluate", "table1", "report_page"}, {"preprocess", "train", "score"}),
        ("configuration/method_names.py", {"table1"}, {"preprocess", "train", "score", "evaluate"}),
        (
            "methods/thresh/model.py",
            {"score", "evaluate", "table1"},
            {"preprocess", "landmarks", "analyze_patches"},
        ),
        ("figures/kde.py", {"fig3", "fig6"}, {"preprocess", "train", "score", "evaluate"}),
        ("preprocess/bias.py", {"preprocess", "landmarks", "train", "score"}, {"simulate_phantom"}),
    ],
)
def test_an_edited_module_reruns_what_depends_on_it(
    finished, copy_of_the_workflow, module, expected, untouched
):
    with open(copy_of_the_workflow / "workflow/scripts/patch2loc" / module, "a") as stream:
        stream.write("\nEDITED = True\n")
    planned = jobs(finished, copy_of_the_workflow)
    assert expected <= planned.keys()
    assert not untouched & planned.keys()
    if module == "methods/thresh/model.py":
        assert planned["train"] == 2  # thresh on T1 and T2; the other methods' models stay


@pytest.mark.parametrize(
    ("old", "new", "expected", "untouched"),
    [
        ("Declaration(", 'Declaration(title="Rank",', {"table1"}, {"train", "score", "evaluate"}),
        ('"erosion": 3', '"erosion": 2', {"score", "evaluate", "table1"}, {"train", "analyze_patches"}),
        (
            "Declaration(",
            'Declaration(settings=dict.fromkeys(("smoke", "short", "paper"), {"power": 1.0}),',
            {"train", "score", "evaluate", "table1"},
            {"preprocess", "landmarks", "analyze_patches"},
        ),
    ],
)
def test_a_changed_declaration_reruns_what_uses_the_changed_value(
    finished, copy_of_the_workflow, old, new, expected, untouched
):
    path = copy_of_the_workflow / "workflow/scripts/patch2loc/methods/thresh/__init__.py"
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))
    planned = jobs(finished, copy_of_the_workflow)
    assert expected <= planned.keys()
    assert not untouched & planned.keys()
    assert planned.get("train", 2) == 2  # thresh on T1 and T2


def test_edited_prose_reruns_nothing(finished, copy_of_the_workflow):
    for path in ("patch2loc/network/training.py", "train.py"):
        module = copy_of_the_workflow / "workflow/scripts" / path
        text = re.sub(
            r'\A""".*?"""', '"""Other words."""\n\n\n# A comment.', module.read_text(), flags=re.DOTALL
        )
        assert text != module.read_text()
        module.write_text(text)
    assert jobs(finished, copy_of_the_workflow).keys() <= READ_FILES_OF_THE_REPOSITORY


def test_an_edited_script_reruns_its_rules(finished, copy_of_the_workflow):
    with open(copy_of_the_workflow / "workflow/scripts/result.py", "a") as stream:
        stream.write("\nEDITED = True\n")
    planned = jobs(finished, copy_of_the_workflow)
    assert {"fig3", "fig6", "table1", "learning_curve"} <= planned.keys()
    assert not {"preprocess", "train", "score", "evaluate"} & planned.keys()


TOY_MODALITY = """
MODALITIES["PD"] = ModalityRow(
    scan="a proton-density scan",
    spellings=r"pd[ _-]?(w|weighted)?",
    bids_suffix="PDw",
    dicom_words=r"pd",
    other_dicom_words=FLAIR_WORDS,
    order=("white", "csf", "gray"),
    sri24_file="erly.nii",
    simulated_atlas={"csf": 0.86, "gray": 1.0, "white": 0.82},
    pure={"csf": (30, 50), "gray": (88, 100), "white": (10, 30)},
    has_rim_check=False,
)
"""
TOY_CONTRAST = """
CONTRASTS["PD"] = SimulatedContrast(white=600.0, tissues=CONTRASTS["FLAIR"].tissues, iron=0.0)
"""


def test_a_new_modality_takes_a_name_and_a_row_and_how_phantoms_show_it(copy_of_the_workflow, tmp_path):
    """And nothing else, as the check of contrasts knows this one: rules and configuration follow."""
    library = copy_of_the_workflow / "workflow/scripts/patch2loc"
    table, contrasts = library / "data/modalities.py", library / "acquire/phantom/contrast.py"
    named = table.read_text().replace('"FLAIR"]', '"FLAIR", "PD"]', 1)
    table.write_text(named + TOY_MODALITY)
    contrasts.write_text(contrasts.read_text() + TOY_CONTRAST)
    config = in_one_modality("PD", tmp_path / "pd.yaml")
    planned = plan(tmp_path, root=copy_of_the_workflow, config=config)
    assert planned.returncode == 0, planned.stderr[-3000:]
    said = planned.stdout + planned.stderr
    assert "raw/phantom_tumor/phantom_tumor_000/PD_lesion.nii.gz" in said
    assert "models/patch2loc/PD/fold0/model.safetensors" in said


def in_one_modality(modality, path):
    """The small configuration with healthy and lesion phantoms in a modality alone; its path."""
    config = yaml.safe_load(TINY.read_text())
    healthy, lesion = (config["datasets"][name] for name in ("phantom_healthy_t1", "phantom_tumor"))
    config["datasets"] = {
        "phantom_healthy": healthy | {"modality": modality},
        "phantom_tumor": lesion | {"modality": modality},
        "phantom_ms": lesion
        | {"modality": modality, "title": "phantom MS", "skull_strip": "atlas"}
        | {"source": {"kind": "phantom", "cohort": "ms", "count": 1}},
    }
    config["training_data"] = {modality: "phantom_healthy"}
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.slow
def test_a_flair_cohort_goes_through_the_workflow_to_its_report(tmp_path):
    result = run(tmp_path, config=in_one_modality("FLAIR", tmp_path / "flair.yaml"))
    assert result.returncode == 0, result.stderr[-6000:]
    results = tmp_path / "results/tiny"
    table = pd.read_csv(results / "tables/table1.csv")
    assert set(table["modality"]) == {"FLAIR"}
    auprc = table[table["metric"] == "auprc"].set_index(["method", "dataset"])
    # Lesions are bright, as everywhere in FLAIR but in fluid.
    assert (
        auprc.loc[("thresh", "phantom_tumor"), "mean"]
        > 3 * auprc.loc[("thresh", "phantom_tumor"), "prevalence"]
    )
    quality = pd.read_csv(results / "tables/quality.csv")
    assert quality["flags"].isna().all()
    assert (quality["looks_like"] == "FLAIR").all()
    assert (results / "report.html").is_file()
    assert (results / "figures/methods.png").is_file()


def test_another_truth_repeats_the_evaluation_and_nothing_before_it(finished):
    planned = jobs(finished, ROOT, "--config", "truth=any")
    assert {"evaluate", "analyze_patches", "table1", "table2", "fig4", "viewer"} <= planned.keys()
    earlier = {"preprocess", "cohort_list", "landmarks", "train", "score", "score_validation", "calibrate"}
    assert not earlier & planned.keys()


def test_missing_data_stop_the_paper_at_once(tmp_path):
    for part in ("config", "splits"):
        shutil.copytree(ROOT / part, tmp_path / part)
    result, seconds = with_seconds(snakemake, tmp_path, "--dry-run", config=ROOT / "config/config.yaml")
    said = result.stdout + result.stderr
    assert result.returncode != 0
    assert seconds < 15
    for name in ("ixi_t1", "ixi_t2", "brats21", "mslub", "atlas", "wmh", "sri24"):
        expected = r": none of [\d,]+ subjects is there; the first file expected is"
        assert re.search(rf"^{name}({expected}|, the atlas:) data/", said, re.MULTILINE), name
    assert "Traceback" not in said
    assert "Wildcards" not in said
    assert said.count("Data are missing") == 1
    assert "make demo" in said


def test_jobs_run_the_code_beside_the_rules_whatever_else_is_in_the_path(tmp_path, monkeypatch):
    other_clone = tmp_path / "other_clone"
    (other_clone / "patch2loc").mkdir(parents=True)
    for module in ("rule_log.py", "patch2loc/__init__.py"):
        (other_clone / module).write_text("raise RuntimeError('the code of another clone')\n")
    monkeypatch.setenv("PYTHONPATH", str(other_clone))
    scan = "results/tiny/raw/phantom_tumor/phantom_tumor_000/T1.nii.gz"
    result = run(tmp_path, scan)
    assert result.returncode == 0, result.stderr[-4000:]
    assert (tmp_path / scan).is_file()


def with_seconds(function, *arguments, **named):
    """Value of a function, and the processor seconds of the processes that it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    value = function(*arguments, **named)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return value, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


PAPERS_DATA = ("ixi_t1", "ixi_t2", "brats21", "mslub", "atlas", "wmh", "sri24")


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPERS_DATA)
def test_each_missing_dataset_is_told_with_what_to_do_and_no_place_in_our_rules(tmp_path, name):
    config = paper_configuration(tmp_path)
    touch_scans(config)
    root = config["datasets"][name]["source"]["root"] if name in config["datasets"] else name
    shutil.rmtree(tmp_path / "data" / root)
    path = write(config | {"folds": [0]}, tmp_path / "paper.yaml")
    result, seconds = with_seconds(snakemake, tmp_path, "--dry-run", config=path)
    message = (result.stdout + result.stderr).partition("Error: ")[2]
    assert result.returncode != 0
    assert seconds < 10
    lines = message.splitlines()
    first = f"{name}, the atlas: " if name == "sri24" else f"{name}: none of "
    assert lines[0] == f"Data are missing: {'the atlas' if name == 'sri24' else 'of 1 of 6 datasets'}."
    assert lines[2].startswith(first)
    for label in ("  what:  ", "  get:   ", "  put:   "):
        assert any(line.startswith(label) for line in lines), label
    assert ("add --config missing_scans=skip to the command" in message) == (name != "sri24")
    assert not re.search(r"Traceback|Wildcards|Exception|\.smk|WorkflowError", message)
    if name != "sri24":
        planned = plan(tmp_path, "--config", "missing_scans=skip", config=path)
        assert planned.returncode == 0, planned.stderr[-3000:]
        assert f" of {name}" in (planned.stdout + planned.stderr).partition("Not all scans are there")[2]


def test_targets_read_like_a_table_of_contents(tmp_path):
    result = snakemake(tmp_path, "--list-target-rules")
    rules = dict(re.findall(r"^(\w+) \((.+)\)$", result.stdout, re.MULTILINE))
    assert {
        "all",
        "table1",
        "table2",
        *(f"fig{n}" for n in range(1, 10)),
        "models",
        "heatmaps",
    } <= rules.keys()


def test_lesion_datasets_have_their_figures_in_the_papers_order(tmp_path):
    config = yaml.safe_load(TINY.read_text())
    wmh = config["datasets"]["phantom_wmh"]
    config["datasets"]["phantom_wmh"] = {**wmh, "published_name": "WMH"}
    config["datasets"]["phantom_ms"] = {**wmh, "published_name": "MSLUB"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    result = plan(tmp_path, "fig8", "fig9", "fig10", config=tmp_path / "config.yaml")
    said = result.stdout + result.stderr
    shown = dict(re.findall(r"rule (fig\d+):\s+input: \S+/metrics/patch2loc/(\w+)/", said))
    # The one that the paper does not have comes last, though the configuration names it first.
    assert shown == {"fig8": "phantom_ms", "fig9": "phantom_wmh", "fig10": "phantom_tumor"}


def wait_for_rule(process, folder, rule):
    """Wait until a run has begun a rule."""
    while process.poll() is None:
        if re.search(rf"^\s*(?:local)?rule {rule}:", log_of(folder), re.MULTILINE):
            return
        time.sleep(0.05)
    pytest.fail(f"{rule} was never seen")


def test_one_run_at_a_time_and_none_left_behind(tmp_path):
    process = start(tmp_path)
    wait_for_rule(process, tmp_path, "simulate_phantom")
    second = run(tmp_path)
    assert second.returncode != 0
    assert "another run is at work" in second.stderr
    process.kill()  # the parent alone
    process.wait()
    wait_for_the_end(tmp_path)


def tables(folder):
    return {
        path.name: path.read_bytes()
        for path in (folder / "results/tiny/tables").glob("*")
        if not path.name.endswith(".json")
    }


@pytest.mark.slow
def test_the_same_configuration_gives_the_same_tables(finished, tmp_path):
    assert run_alone(tmp_path).returncode == 0
    assert tables(tmp_path) == tables(finished)
