"""Time of a run on machines, and the page that tells its cost."""

import re

import pytest

from patch2loc.estimate.costs import Stage
from patch2loc.estimate.page import (
    Machine,
    cost_page,
    cost_summary,
    hours_in_words,
    hours_on_cluster,
    hours_on_machine,
    markdown,
    seconds_in_words,
    size_in_words,
)
from patch2loc.estimate.rates import Rate


def rate(work, device="cpu", status="measured"):
    return Rate(
        work, "scan", device, 2.0, 600.0, None, 4.4, status, "benchmarks/x.csv", "2026-11-22", "a machine"
    )


def stage(name, phase=1, jobs=10, *, core_hours=0.0, gpu_hours=0.0, longest=0.0, threads=1, **more):
    given = {
        "cluster_jobs": jobs,
        "memory_mb": None,
        "gpu_memory_mb": None,
        "disk_mb": 0.0,
        "rates": (),
        "unknown": (),
    }
    hours = {"core_hours": core_hours, "gpu_hours": gpu_hours, "longest_hours": longest, "threads": threads}
    return Stage(name=name, phase=phase, jobs=jobs, **given | hours | more)


def test_cores_share_the_work_and_phases_follow_each_other():
    work = [stage("a", 1, core_hours=8, longest=0.1), stage("b", 2, core_hours=4, longest=0.1)]
    assert hours_on_machine(work, Machine(4, 0, 50)) == 3
    assert hours_on_cluster(work, 2) == 6


def test_a_gpu_and_the_cores_beside_it_work_at_the_same_time():
    work = [
        stage("train x", 3, core_hours=10, gpu_hours=10, longest=1),
        stage("evaluate", 3, core_hours=30, longest=1),
    ]
    assert hours_on_machine(work, Machine(16, 1, 50)) == 10
    assert hours_on_machine(work, Machine(16, 4, 50)) == 2.5
    assert hours_on_machine(work, Machine(2, 4, 50)) == 20
    # On a cluster each job has a GPU; in the end the longest ones remain, one after the other.
    assert hours_on_cluster(work, 10) == 4
    assert hours_on_cluster(work, 1000) == 2


def test_a_job_is_not_divided_further_than_its_threads():
    work = [stage("train x", 3, jobs=1, core_hours=80, longest=80, threads=8)]
    assert hours_on_machine(work, Machine(64, 0, 50)) == 10
    assert hours_on_machine(work, Machine(4, 0, 50)) == 20
    assert hours_on_cluster(work, 50) == 10


def test_trainings_of_several_methods_do_not_wait_for_each_other():
    work = [
        stage(f"train {name}", 3, core_hours=hours, longest=hours) for name, hours in (("a", 5), ("b", 3))
    ]
    assert hours_on_cluster(work, 50) == 5


def test_the_page_says_what_was_never_measured_and_what_is_not_counted():
    known = stage("score a", 3, core_hours=1, rates=(rate("score a"),), disk_mb=4400, memory_mb=600)
    data = stage("data", 0, 0)
    machine = Machine(16, 1, 50)
    page = cost_page([known], data, machine, "Two scans.")
    assert "Two scans." in page
    assert "nobody has run the paper's configuration as a whole" in page
    assert "No rate of a GPU has been measured" not in page
    assert "Not counted" not in page
    assert re.search(
        r"\| score a +\| 2 s of a core a scan +\| measured 2026-11-22 on a machine: benchmarks/x.csv", page
    )
    on_gpu = stage("train a", 3, gpu_hours=1, core_hours=1, rates=(rate("train a", "cuda", "estimated"),))
    outside = stage("train mine.distance", 3, unknown=("train mine.distance",))
    page = cost_page([known, on_gpu, outside], data._replace(jobs=3, disk_mb=9000), machine, "Two scans.")
    assert "No rate of a GPU has been measured: those are estimates." in page
    assert "Not counted, as nobody has measured or estimated it: train mine.distance." in page
    assert re.search(r"\| \(before: data\) +\| 3 ", page)
    assert re.search(r"\| all +\| 30 +\| 2\.0 +\| 1\.0 ", page)
    measured = on_gpu._replace(rates=(rate("train a", "cuda"),))
    assert "No rate of a GPU" not in cost_page([measured], data, machine, "")


def test_the_summary_is_of_all_stages():
    work = [stage("a", core_hours=300, longest=0.1, disk_mb=2000, memory_mb=700), stage("b", 2, disk_mb=500)]
    assert cost_summary(work, Machine(2, 0, 50)) == {
        "jobs": "20",
        "cluster jobs": "20",
        "hours of a core": "300",
        "hours of a GPU": "-",
        "time on 2 cores": "6 days",
        "time on a cluster, 50 jobs at once": "6.0 hours",
        "memory of the largest job": "700 MB",
        "memory of a GPU": "-",
        "disk": "2.5 GB",
    }


@pytest.mark.parametrize(
    ("words", "value", "expected"),
    [
        (hours_in_words, 0, "-"),
        (hours_in_words, 0.01, "< 0.1"),
        (hours_in_words, 1.25, "1.2"),
        (hours_in_words, 3598.2, "3,598"),
        (size_in_words, None, "-"),
        (size_in_words, 630, "630 MB"),
        (size_in_words, 1830, "1.8 GB"),
        (size_in_words, 888_000, "888 GB"),
        (size_in_words, 1_200_000, "1.2 TB"),
        (seconds_in_words, 9.0, "9 s"),
        (seconds_in_words, 0.00237, "2.4 ms"),
        (seconds_in_words, 0.0002223, "0.22 ms"),
    ],
)
def test_numbers_in_words(words, value, expected):
    assert words(value) == expected


def test_a_table_is_as_wide_as_its_cells():
    assert markdown(("a", "long"), [("1", "2"), ("three", "4")]) == (
        "| a     | long |\n|-------|------|\n| 1     | 2    |\n| three | 4    |"
    )
