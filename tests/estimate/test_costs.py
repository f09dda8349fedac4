"""Costs of a run: products of its plan and of rates, whatever the data."""

import math

import pytest
from planned_runs import REGISTRY, configuration
from repository_paths import ROOT
from whole_runs import planned_run

from patch2loc.estimate.costs import data_costs, run_costs, scan_counts
from patch2loc.estimate.rates import required_rate
from patch2loc.plan.jobs import jobs
from patch2loc.plan.plan import make_plan


@pytest.fixture(scope="module")
def paper():
    return planned_run("config")


@pytest.fixture(scope="module")
def table1():
    return planned_run("config", "table1")


def stages(run, device="cpu"):
    return {stage.name: stage for stage in run_costs(run, device)}


def test_hours_are_products_of_counts_and_rates(paper):
    found = stages(paper)
    start = required_rate("start job").seconds
    heads = found["preprocess whole head"]
    assert heads.jobs == 566 + 562 + 30 + 655 + 60
    per_scan = required_rate("preprocess whole head")
    assert heads.core_hours == pytest.approx(heads.jobs * (per_scan.seconds + start) / 3600)
    assert heads.disk_mb == pytest.approx(heads.jobs * per_scan.disk_mb)
    assert heads.cluster_jobs == math.ceil(heads.jobs / 8)
    assert found["preprocess stripped head"].jobs == 1251
    training = found["train patch2loc"]
    seconds = 121_440_000 * required_rate("train location network").seconds
    # The scans that it reads, and its start, add little.
    assert training.core_hours == pytest.approx(10 * seconds / 3600, rel=0.002)
    assert training.core_hours > 10 * seconds / 3600
    assert (training.jobs, training.threads, training.gpu_hours) == (10, 8, 0)
    evaluated = found["evaluate"]
    scans = 5 * (157 + 155 + 1996) * 5  # folds, scans, rows
    # Each job compares with the healthy test scans and about as many validation scans of a fold.
    healthy = (157 + 155) / 2 + (36 + 35) / 2
    compared = healthy * required_rate("compare with healthy scan").seconds
    seconds = scans * required_rate("evaluate").seconds + 150 * (start + compared)
    assert evaluated.core_hours == pytest.approx(seconds / 3600, rel=0.01)


def test_on_a_gpu_networks_take_its_hours_and_nothing_else_does(paper):
    found = stages(paper, "cuda")
    assert {name for name, stage in found.items() if stage.gpu_hours} == {
        "train patch2loc",
        "score patch2loc",
    }
    assert found["score patch2loc"].gpu_memory_mb
    assert found["evaluate"] == stages(paper)["evaluate"]
    assert found["score patch2loc"].longest_hours < stages(paper)["score patch2loc"].longest_hours


def test_of_every_row_of_table_1_there_is_a_rate(table1):
    for device in ("cpu", "cuda"):
        found = stages(table1, device)
        assert [stage.unknown for stage in found.values() if stage.unknown] == []
        assert len([name for name in found if name.startswith("train ")]) == 13
    ae, start = found["train ae"], required_rate("start job").seconds
    slices, scans = (
        19200 * 32,
        max(job.scans for job in jobs(table1) if job.rule == "train") * required_rate("read scan").seconds,
    )
    seconds = slices * required_rate("train ae", "cuda").seconds + scans + start
    assert ae.longest_hours == pytest.approx(seconds / 3600)
    # Its batch is of scans of 50 slices.
    svae = 10000 * 8 * required_rate("train svae", "cuda").seconds
    assert found["train svae"].longest_hours == pytest.approx((svae + scans + start) / 3600)


def test_a_small_network_has_its_own_rate_and_a_coarse_grid_less_work(tmp_path):
    def costs(**changes):
        return stages(make_plan(configuration(tmp_path, methods=["ae"], **changes), str(REGISTRY)))[
            "score ae"
        ]

    fine = {"grid": {"shape": [192, 192, 100], "spacing": 1.0}}
    coarse = {"grid": {"shape": [96, 96, 50], "spacing": 2.0}}
    small = costs(budget="smoke", **fine)
    assert "score ae (small)" in [rate.work for rate in small.rates]
    paper = costs(budget="paper", **fine)
    assert "score ae" in [rate.work for rate in paper.rates]
    # The slices are the same, of 2 mm; what is done on the grid is an eighth.
    on_grid = required_rate("finish heatmap").seconds + required_rate("filter as published").seconds
    network = required_rate("score ae").seconds
    start = small.jobs * required_rate("start job").seconds
    on_fine = paper.core_hours * 3600 - start
    on_coarse = costs(budget="paper", **coarse).core_hours * 3600 - start
    assert on_fine / on_coarse == pytest.approx((network + on_grid) / (network + on_grid / 8))


def test_work_without_a_rate_is_named_and_not_counted(tmp_path):
    run = make_plan(configuration(tmp_path, methods=["patch2loc", "mine.distance"]), str(REGISTRY))
    found = stages(run)
    assert found["train mine.distance"].unknown == ("train mine.distance",)
    assert found["score mine.distance"].unknown == ("score mine.distance",)
    assert found["train patch2loc"].unknown == ()


@pytest.mark.skipif((ROOT / "data").exists(), reason="there are scans in the folder data of this clone")
def test_scans_are_counted_by_the_lists_and_it_is_said_that_they_are_not_there(paper, monkeypatch, tmp_path):
    said = scan_counts(paper)
    assert said.startswith("3,124 scans (ixi_t1 566, ixi_t2 562, brats21 1,251, mslub 30, atlas 655, wmh 60)")
    assert said.endswith("3,124 of them, counted by the lists of subjects, are not below data.")
    assert "counted" not in scan_counts(make_plan(configuration(tmp_path), str(REGISTRY)))


def test_data_come_before_the_run(paper, tmp_path):
    data = data_costs(paper)
    assert data.jobs == len({"ixi", "brats21", "mslub", "atlas", "wmh"})
    assert data.disk_mb == pytest.approx(3124 * required_rate("unpack").disk_mb)
    assert data_costs(make_plan(configuration(tmp_path), str(REGISTRY))).jobs == 0
