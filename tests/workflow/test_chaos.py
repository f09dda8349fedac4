"""Kills at random moments of random rules: the same command then ends with the same files and the same tables.

    KILLS=100 CHAOS_SEED=3 CHAOS_CSV=kills.csv python -m pytest -m chaos -s

kills every rule at least once, training and scoring more often, and writes a row for each kill.
"""

import math
import os
import random
import re
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from itertools import cycle, islice
from pathlib import Path

import pandas as pd
import psutil
import pytest
from killed_runs import RESULTS, mismatches
from workflow_runs import end_all, log_of, start, wait_for_the_end

pytestmark = pytest.mark.workflow

KILLS = int(os.environ.get("KILLS", "50"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
# Once every rule has its kill, the others go here.
LONGEST = [
    "train",
    "score",
    "train",
    "score",
    "preprocess",
    "score_validation",
    "evaluate",
    "simulate_phantom",
]
VICTIMS = {
    "everything": "all processes at once, as when the machine goes down",
    "parent": "the shell that started the run; the run notices, and ends",
    "runner": "run.py; Snakemake and its jobs go on alone until the same command ends them",
    "scheduler": "Snakemake; run.py ends its jobs",
    "worker": "the process of one job; Snakemake goes on with the others",
}
ROUNDS = 5


@dataclass
class Job:
    """A job of a run, from Snakemake's log; times in seconds."""

    rule: str
    log: str
    began: float
    took: float | None = None  # None until it is done


def jobs_of(text):
    """Jobs that Snakemake's log speaks of, by their number, and how many jobs of each rule it means to do."""
    jobs, planned, now, rule, log = {}, Counter(), 0, None, ""
    for line in text.splitlines():
        if match := re.fullmatch(r"\[(\w{3} \w{3} .+ \d{4})\]", line):
            now = datetime.strptime(match[1], "%a %b %d %H:%M:%S %Y").timestamp()
        elif match := re.fullmatch(r"(?:local)?rule (\w+):", line):
            rule, log = match[1], ""
        elif rule and (match := re.fullmatch(r"    log: (\S+)", line)):
            log = match[1]
        elif rule and (match := re.fullmatch(r"    jobid: (\d+)", line)):
            jobs[match[1]] = Job(rule, log, now)
            rule = None  # an error repeats the number of its job
        elif (match := re.match(r"Finished jobid: (\d+)\b", line)) and match[1] in jobs:
            jobs[match[1]].took = max(now - jobs[match[1]].began, 1.0)
        elif not jobs and (match := re.fullmatch(r"(\w+) +(\d+)", line)):
            planned[match[1]] = int(match[2])
    return jobs, planned


def kill(process, folder, victim, job):
    """Kill in a run; returns whether there was anything to kill."""
    try:
        runner = psutil.Process(process.pid).children()[0]
        scheduler = runner.children()[0]
        if victim == "everything":
            end_all(folder)
        elif victim == "parent":
            process.kill()
            wait_for_the_end(folder)
        elif victim == "runner":
            runner.kill()
        elif victim == "scheduler":
            scheduler.kill()
        else:
            worker_of(scheduler, job).kill()
    except (psutil.Error, IndexError):
        return False
    return True


def worker_of(scheduler, job):
    """The process that does a job: its script, which Snakemake wrote, names the log of the job."""
    for worker in scheduler.children():
        try:
            if job.log in Path(worker.cmdline()[1]).read_text(errors="replace"):
                return worker
        except (psutil.Error, OSError, IndexError):
            continue
    raise IndexError


class Campaign:
    """Kills that are owed to rules, and those that were done."""

    def __init__(self, owed, took, seed):
        """owed: kills by rule.  took: seconds that jobs take, by their log."""
        self.owed, self.took, self.random = Counter(owed), took, random.Random(seed)
        self.done, self.counts = [], Counter()

    def run(self, folder, *targets):
        """Start the same command again and again, until nothing is owed and a run has ended by itself."""
        for _ in range(ROUNDS):
            while (status := self._one_run(folder, targets)) != 0:
                assert status is None, (folder / "said").read_text()
            if not +self.owed:
                return
            shutil.rmtree(folder / "results")
            shutil.rmtree(folder / ".snakemake")
        pytest.fail(f"rules that never ran: {+self.owed}")

    def _one_run(self, folder, targets):
        """Kill what is owed in one run.  Returns its exit status, None if it failed after a kill."""
        process, moments, before = start(folder, *targets), {}, len(self.done)
        while process.poll() is None:
            jobs, planned = jobs_of(log_of(folder))
            for number in jobs.keys() - moments.keys():
                moments[number] = self._moment(jobs[number], jobs, moments, planned)
            number = min(moments, key=moments.get, default=None)
            if (
                number
                and moments[number] < math.inf
                and (moments[number] <= time.monotonic() or jobs[number].took)
            ):
                moments[number] = math.inf
                self._kill(process, folder, jobs[number])
            time.sleep(0.03)
        return None if process.returncode and len(self.done) > before else process.returncode

    def _moment(self, job, jobs, moments, planned):
        """When to kill in a job that was just begun: at random before its end, or never.

        Kills of a rule are spread over its jobs: each is as likely as another to be killed in.
        """
        left = planned[job.rule] - sum(jobs[number].rule == job.rule for number in moments)
        if self.random.random() * left >= self.owed[job.rule]:
            return math.inf
        return time.monotonic() + self.random.uniform(0, self.took.get(job.log, 1))

    def _kill(self, process, folder, job):
        if not self.owed[job.rule]:
            return
        # Every kind equally often, also a job's own process where that is there already and still.
        for victim in sorted(VICTIMS, key=lambda victim: (self.counts[victim], self.random.random())):
            if kill(process, folder, victim, job):
                self.owed[job.rule] -= 1
                self.counts[victim] += 1
                seconds = round(time.time() - job.began, 1)
                self.done.append({"rule": job.rule, "victim": victim, "seconds": seconds})
                return


@pytest.fixture(scope="module")
def reference(finished):
    """Jobs of a run that nothing happened to."""
    jobs, _ = jobs_of((finished / "run.log").read_text())
    assert all(job.took for job in jobs.values())
    return jobs


@pytest.mark.thorough
def test_kills_late_in_a_run_change_no_table(finished, reference, tmp_path):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True, symlinks=True)
    results = tmp_path / RESULTS
    for gone in ("models/patch2loc/T1", "heatmaps/patch2loc/phantom_wmh", "metrics/patch2loc/phantom_wmh"):
        shutil.rmtree(results / gone)
    (results / "tables/table1.csv").unlink()
    owed = {"train": 1, "score": 1, "evaluate": 1}
    campaign = Campaign(owed, {job.log: min(job.took, 4) for job in reference.values()}, SEED)
    campaign.run(tmp_path, "table1")
    assert {done["rule"] for done in campaign.done} == owed.keys()
    assert mismatches(tmp_path, finished) == []


@pytest.mark.chaos
@pytest.mark.slow
def test_kills_in_every_rule_change_no_table(finished, reference, tmp_path, capsys):
    rules = {job.rule for job in reference.values() if job.log}
    owed = Counter(rules) + Counter(islice(cycle(LONGEST), max(0, KILLS - len(rules))))
    campaign = Campaign(owed, {job.log: job.took for job in reference.values()}, SEED)
    began = time.monotonic()
    campaign.run(tmp_path)
    wrong = mismatches(tmp_path, finished)
    kills = pd.DataFrame(campaign.done)
    with capsys.disabled():
        print(f"\n{pd.crosstab(kills['rule'], kills['victim'], margins=True, margins_name='all')}")
        minutes = (time.monotonic() - began) / 60
        print(f"{len(kills)} kills, seed {SEED}, {minutes:.0f} minutes, mismatches: {len(wrong)}")
    if "CHAOS_CSV" in os.environ:
        kills.to_csv(os.environ["CHAOS_CSV"], index_label="kill")
    assert wrong == []
    assert set(kills["rule"]) == rules
    assert len(kills) >= KILLS
