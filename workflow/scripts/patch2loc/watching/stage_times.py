"""Where the time of a run went: the jobs of each rule, by Snakemake's log and benchmark files."""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

RULE = re.compile(r"^\s*(?:local)?(?:rule|checkpoint) (\w+):")  # the line that begins a job in the log
BENCHMARK = re.compile(r"^\s+benchmark: (.+)$")
THREADS = re.compile(r"^\s+threads: (\d+)$")  # in the log where there are several
LEAST_SHARE = 0.01  # of a rule with a line of its own


class Job(NamedTuple):
    """A job as the log has it."""

    rule: str
    threads: int


def started_jobs(log: Iterable[str]) -> dict[Path, Job]:
    """Jobs of a run by their benchmark files; those that were tried again are there once.

    Args:
        log: Lines of Snakemake's output.
    """
    jobs: dict[Path, Job] = {}
    rule, path = "", None
    for line in log:
        if match := RULE.match(line):
            rule, path = match[1], None
        elif match := BENCHMARK.match(line):
            path = Path(match[1])
            jobs[path] = Job(rule, 1)
        elif (match := THREADS.match(line)) and path:
            jobs[path] = Job(rule, int(match[1]))
    return jobs


def core_seconds(jobs: Mapping[Path, Job], began: float) -> dict[str, list[float]]:
    """Seconds of each finished job times its cores, by rule.

    Args:
        jobs: From `started_jobs`.
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
