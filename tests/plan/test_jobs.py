"""Jobs of a run: as many of each rule as Snakemake plans, how large they are, and what the crate says of them."""

import csv
import re
from collections import Counter

import pytest
import yaml
from planned_runs import REGISTRY, configuration, dataset, scan_table
from repository_paths import ROOT
from whole_runs import planned_run
from workflow_runs import TINY, plan

from patch2loc.plan.jobs import (
    RuleOutline,
    Wildcards,
    crate_jobs,
    job_counts,
    jobs,
    rule_inputs,
)
from patch2loc.plan.outputs import Outputs
from patch2loc.plan.plan import make_plan

GATHERING = ("all", "total")
# Everything that a run may have beside methods and folds, at once.
MORE = {
    "folds": [0, 1],
    "seeds_of_first_fold": 2,
    "methods": ["patch2loc", "ae", "thresh", "zscore"],
    "budget": "smoke",
    "variants": {"beta0": {"method": "patch2loc", "training": {"beta": 0}}},
    "combinations": {
        "mixed": {"of": ["patch2loc_calibrated", "zscore"], "by": "rank_fisher"},
        "varied": {"of": ["patch2loc", "patch2loc-beta0"], "by": "rank_average"},
    },
}


def outline(name, inputs=(), outputs=("results/{method}/{fold}",), code="hash"):
    return RuleOutline(name, code, list(inputs), list(outputs))


@pytest.mark.parametrize(
    ("names", "table"), [(["config"], "plan_paper"), (["config", "table1"], "plan_table1")]
)
def test_the_papers_jobs_are_those_that_snakemake_planned_with_all_files_there(names, table):
    with (ROOT / f"benchmarks/{table}.csv").open(encoding="utf-8") as stream:
        planned = {row["rule"]: int(row["jobs"]) for row in csv.DictReader(stream)}
    counted = job_counts(planned_run(*names))
    assert counted == {rule: count for rule, count in planned.items() if rule not in GATHERING}
    assert sum(counted.values()) + 1 == planned["total"]


@pytest.mark.workflow
@pytest.mark.parametrize("name", ["tests/tiny.yaml", "tests/slurm/small.yaml", "config/demo.yaml"])
def test_jobs_are_those_that_snakemake_plans(name, tmp_path):
    result = plan(tmp_path, "--quiet", "rules", config=ROOT / name)
    planned = dict(re.findall(r"^(\w+) +(\d+)$", result.stdout + result.stderr, re.MULTILINE))
    counted = job_counts(planned_run(ROOT / name))
    assert counted == {rule: int(count) for rule, count in planned.items() if rule not in GATHERING}


@pytest.mark.workflow
def test_variants_seeds_combinations_and_answers_have_the_jobs_that_snakemake_plans(tmp_path):
    config = yaml.safe_load(TINY.read_text(encoding="utf-8")) | MORE
    for name in ("phantom_healthy_t1", "phantom_healthy_t2"):
        config["datasets"][name]["source"]["count"] = 9
    source = {"kind": "phantom", "cohort": "stroke", "count": 2}
    config["datasets"]["patients"] = config["datasets"]["phantom_tumor"] | {
        "role": "unlabeled",
        "source": source,
    }
    path = tmp_path / "more.yaml"
    path.write_text(yaml.safe_dump(config))
    result = plan(tmp_path, config=path)
    said = result.stdout + result.stderr
    planned = Counter(re.findall(r"^\s*(?:local)?rule (\w+):", said, re.MULTILINE))
    counts = job_counts(planned_run(path))
    assert planned - Counter({"all": 1}) == Counter(counts)
    models = plan(tmp_path, "models", config=path).stdout.count("\nrule train:")
    assert models == counts["train"]


def test_jobs_are_as_large_as_the_scans_that_they_take(tmp_path):
    patients = dataset(
        "unlabeled", source=scan_table(tmp_path, "patients.csv", {"one": "1.nii", "two": "2.nii"})
    )
    run = make_plan(configuration(tmp_path, {"patients": patients}, methods=["zscore"]), str(REGISTRY))
    sizes: dict[str, list[int]] = {}
    for job in jobs(run):
        sizes.setdefault(job.rule, []).append(job.scans)
    # Two healthy datasets, tumors, one lesion of white matter, patients.
    assert sizes["score"] == [1, 1, 2, 1, 2]
    assert sizes["train"] == [4, 4]
    assert sizes["score_validation"] == [1, 1]
    assert sizes["preprocess"] == [1] * (6 + 6 + 2 + 1 + 2)


def test_a_series_of_dicom_files_is_converted(tmp_path):
    source = scan_table(tmp_path, "own.csv", {"series": "series", "image": "image.nii.gz"})
    (tmp_path / "series").unlink()
    (tmp_path / "series").mkdir()
    run = make_plan(configuration(tmp_path, {"own": dataset("lesion", source=source)}), str(REGISTRY))
    converted = [job.wildcards for job in jobs(run) if job.rule == "convert_dicom"]
    assert converted == [Wildcards(dataset="own", modality="T1", subject="series")]


def test_inputs_may_be_patterns_functions_or_files_of_the_repository():
    inputs = [
        "models/{method}",
        lambda wildcards: f"one/{wildcards.method}",
        lambda wildcards: ["two/{fold}", "three"],
        lambda wildcards: [],
        "/cache/tmp1/file/x/rules/../config/published/table1.csv",
    ]
    taken = list(rule_inputs(outline("train", inputs), Wildcards(method="a", fold=3)))
    assert taken == ["models/a", "one/a", "two/3", "three", "config/published/table1.csv"]


def test_the_crate_has_the_jobs_of_scans_a_dataset_at_a_time(tmp_path):
    run = make_plan(configuration(tmp_path), str(REGISTRY))
    results = f"{tmp_path}/results"
    patterns = {
        "simulate_phantom": [f"{results}/raw/phantom_{{cohort}}/{{subject}}/T1.nii.gz"],
        "preprocess": [f"{results}/preprocessed/{{dataset}}/{{subject}}"],
        "cohort_list": [f"{results}/cohorts/{{dataset}}/{{cohort}}.json"],
    }
    jobs = crate_jobs(run, lambda name: outline(name, outputs=patterns.get(name, ["o"])))
    described = [(job["rule"], job["inputs"], job["outputs"]) for job in jobs]
    tumors = [job for job in described if "phantom_tumor" in "".join(job[2])]
    assert tumors == [
        ("simulate_phantom", [], [f"{results}/raw/phantom_tumor"]),
        ("preprocess", [f"{results}/raw/phantom_tumor"], [f"{results}/preprocessed/phantom_tumor"]),
        (
            "cohort_list",
            [f"{results}/preprocessed/phantom_tumor"],
            [f"{results}/cohorts/phantom_tumor/all.json"],
        ),
    ]


def test_the_jobs_of_a_run_come_in_the_order_of_the_stages(tmp_path):
    run = make_plan(configuration(tmp_path), str(REGISTRY))
    jobs = list(crate_jobs(run, lambda name: outline(name, outputs=["o"])))
    rules = list(dict.fromkeys(job["rule"] for job in jobs))
    expected = ["simulate_phantom", "preprocess", "cohort_list", "landmarks", "train", "score"]
    expected += ["score_validation", "analyze_patches", "calibrate", "evaluate", "table1"]
    assert rules[: len(expected)] == expected  # no combination in this run
    assert rules[-3:] == ["learning_curve", "viewer", "report_page"]
    for name in ("domain_shift", "healthy_checks"):
        assert rules.count(name) == 1  # a table and a figure of one rule
    counts = {name: sum(job["rule"] == name for job in jobs) for name in rules}
    assert (counts["train"], counts["score"], counts["evaluate"]) == (3 * 2, 3 * 4, 5 * 4)
    about = {job["rule"]: job["about"] for job in jobs}
    assert about["table1"] == Outputs(run).all["table1"].about
    assert all(about.values())
