"""Where the time of a run went: the jobs of each rule, by their benchmark files."""

import csv
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

LEAST_SHARE = 0.01  # of a rule with a line of its own


class Job(NamedTuple):
    """A job that has begun: its rule, and the cores that it takes."""

    rule: str
    threads: int


def core_seconds(jobs: Mapping[Path, Job], began: float) -> dict[str, list[float]]:
    """Seconds of each finished job times its cores, by rule.

    Args:
        jobs: Jobs of the run, by their benchmark files.
        began: When the run began, by the clock of the results' file system; older files are of earlier runs.
    """
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    for path, job in jobs.items():
        with suppress(OSError):  # a job that failed has none
            if path.stat().st_mtime >= began:
                with path.open(encoding="utf-8", newline="") as stream:
                    seconds[job.rule] += [
                        float(row["s"]) * job.threads for row in csv.DictReader(stream, delimiter="\t")
                    ]
    return dict(seconds)


def stage_table(seconds: Mapping[str, list[float]]) -> str:
    """Rules with their jobs, core-seconds and share of all, longest first; small ones share a line. "" without jobs."""
    total = sum(map(sum, seconds.values()))
    if not total:
        return ""
    rows = [
        (rule, len(each), sum(each)) for rule, each in sorted(seconds.items(), key=lambda item: -sum(item[1]))
    ]
    shown = [row for row in rows if row[2] >= LEAST_SHARE * total]
    if others := rows[len(shown) :]:
        name = f"{len(others)} other rule{'s' * (len(others) > 1)}"
        shown.append((name, sum(row[1] for row in others), sum(row[2] for row in others)))
    shown.append(("all", sum(row[1] for row in rows), total))
    width = max(len(row[0]) for row in shown)
    lines = [f"{'rule':<{width}}   jobs  core-seconds  share"]
    lines += [f"{rule:<{width}}  {jobs:5d}  {time:12.0f}  {time / total:5.0%}" for rule, jobs, time in shown]
    return "\n".join(lines)
