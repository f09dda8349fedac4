"""Where the time of a run went, by benchmark files."""

import os

from patch2loc.watching.stage_times import Job, core_seconds, stage_table


def write_benchmark(path, seconds, written):
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:10\tNA\n")
    os.utime(path, (written, written))


def test_seconds_of_this_run_by_rule_with_the_cores_of_a_job(tmp_path):
    jobs = {
        tmp_path / "train/T1.tsv": Job("train", 4),
        tmp_path / "preprocess/a b.tsv": Job("preprocess", 1),
        tmp_path / "preprocess/old.tsv": Job("preprocess", 1),
        tmp_path / "preprocess/failed.tsv": Job("preprocess", 1),
    }
    write_benchmark(tmp_path / "train/T1.tsv", 10.5, written=1000)
    write_benchmark(tmp_path / "preprocess/a b.tsv", 2.0, written=1001)
    write_benchmark(tmp_path / "preprocess/old.tsv", 99.0, written=999)  # left by an earlier run
    write_benchmark(tmp_path / "preprocess/unknown.tsv", 99.0, written=1001)  # of no job of this run
    assert core_seconds(jobs, began=1000) == {"train": [42.0], "preprocess": [2.0]}


def test_the_table_begins_with_the_longest_and_sums_up_the_small():
    table = stage_table({"quality": [0.2], "train": [70.0, 10.0], "crate": [0.1, 0.1], "score": [19.6]})
    assert table.splitlines() == [
        "rule            jobs  core-seconds  share",
        "train              2            80    80%",
        "score              1            20    20%",
        "2 other rules      3             0     0%",
        "all                6           100   100%",
    ]
    assert stage_table({}) == ""
