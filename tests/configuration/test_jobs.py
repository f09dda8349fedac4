"""What the jobs of a run do, for its crate: from outlines of rules, without the workflow's engine."""

from pathlib import Path

from planned_runs import REGISTRY, configuration

from patch2loc.configuration.jobs import RuleOutline, jobs_of, run_jobs, scan_jobs
from patch2loc.configuration.run import plan_run


def outline(name, inputs=(), outputs=("results/{method}/{fold}",), code="hash"):
    return RuleOutline(name, code, list(inputs), list(outputs))


def test_a_job_for_every_combination_of_wildcards():
    jobs = list(
        jobs_of(outline("score", ["models/{method}"]), "Heatmaps.", {"method": ["a", "b"], "fold": [0, 1]})
    )
    assert [job["outputs"] for job in jobs] == [
        ["results/a/0"],
        ["results/a/1"],
        ["results/b/0"],
        ["results/b/1"],
    ]
    assert jobs[2] == {
        "rule": "score",
        "about": "Heatmaps.",
        "code": "hash",
        "inputs": ["models/b"],
        "outputs": ["results/b/0"],
    }


def test_inputs_and_code_may_be_functions_of_the_wildcards():
    inputs = [
        lambda wildcards: f"one/{wildcards.method}",
        lambda wildcards: ["two/{fold}", Path("three")],
        lambda wildcards: [],
    ]
    rule = outline("score", inputs, code=lambda wildcards: f"hash of {wildcards.method}")
    (job,) = jobs_of(rule, "", {"method": ["a"], "fold": [3]})
    assert job["inputs"] == ["one/a", "two/3", "three"]
    assert job["code"] == "hash of a"


def test_a_file_of_the_repository_is_named_by_its_path_there():
    rule = outline(
        "table1", ["/cache/tmp1/file/x/rules/../config/published/table1.csv"], ["tables/table1.csv"]
    )
    (job,) = jobs_of(rule, "Table 1.", {})
    assert job["inputs"] == ["config/published/table1.csv"]


def test_the_jobs_of_scans_are_a_dataset_at_a_time(tmp_path):
    run = plan_run(configuration(tmp_path), str(REGISTRY))
    jobs = [job for job in scan_jobs(run, outline) if "phantom_tumor" in "".join(job["outputs"])]
    results = f"{tmp_path}/results"
    assert [(job["rule"], job["inputs"], job["outputs"]) for job in jobs[:3]] == [
        ("simulate_phantom", [], [f"{results}/raw/phantom_tumor"]),
        ("preprocess", [f"{results}/raw/phantom_tumor"], [f"{results}/preprocessed/phantom_tumor"]),
        (
            "cohort_list",
            [f"{results}/preprocessed/phantom_tumor"],
            [f"{results}/cohorts/phantom_tumor/all.json"],
        ),
    ]


def test_the_jobs_of_a_run_come_in_the_order_of_the_stages(tmp_path):
    run = plan_run(configuration(tmp_path), str(REGISTRY))
    jobs = list(run_jobs(run, lambda name: outline(name, outputs=["o"])))
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
    assert about["table1"] == run.outputs.all["table1"].about
    assert all(about.values())
