"""Jobs of a run as they are counted without Snakemake: as many of each rule as Snakemake plans."""

import csv
import re

import pytest
from planned_runs import REGISTRY, configuration, dataset, scan_table
from repository_paths import ROOT
from whole_runs import planned_run
from workflow_runs import plan

from patch2loc.configuration.job_sizes import job_counts, job_sizes
from patch2loc.configuration.run import plan_run

GATHERING = ("all", "total")


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


def test_a_combination_and_answers_have_their_jobs(tmp_path):
    patients = dataset(
        "unlabeled", source=scan_table(tmp_path, "patients.csv", {"one": "1.nii", "two": "2.nii"})
    )
    both = {"both": {"of": ["patch2loc_calibrated", "zscore"], "by": "rank_fisher"}}
    run = plan_run(configuration(tmp_path, {"patients": patients}, combinations=both), str(REGISTRY))
    sizes = job_sizes(run)
    assert (sizes["patient"], sizes["detector"], sizes["patients"]) == ([1, 1], [1], [1])
    assert sizes["combine"] == sizes["score"]
    assert sizes["score"].count(2) >= 1
    assert job_counts(run)["combine"] == len(run.datasets) * len(run.trainings)
