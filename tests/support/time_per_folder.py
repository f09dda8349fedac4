"""Where the time of the tests goes: seconds by the clock and of processors for each folder of tests, shown at the end.

A plugin of pytest.  Processor seconds are those of the process that tests and of the programs that it started and
waited for: they say what a test costs also where several processes, or other work, share the processors.
"""

import resource
from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePath

import pytest

BEGAN = pytest.StashKey()
ALL_PROCESSES = pytest.StashKey()
NO_TEST = "imports, collection"
of_forks = 0.0  # processor seconds of processes that a server forked for tests


@dataclass
class Cost:
    tests: int = 0
    seconds: float = 0
    processor_seconds: float = 0


def processor_seconds():
    """Processor seconds until now of this process, of its children that have ended and of a server's forks."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in used) + of_forks


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    item.stash[BEGAN] = processor_seconds()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    now = processor_seconds()
    report.processor_seconds = now - item.stash[BEGAN]
    item.stash[BEGAN] = now
    return report


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["processor_seconds"] = processor_seconds()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    ended = getattr(node, "workeroutput", {})  # a worker that crashed has none
    node.config.stash[ALL_PROCESSES] = node.config.stash.get(ALL_PROCESSES, 0) + ended.get(
        "processor_seconds", 0
    )


def pytest_terminal_summary(terminalreporter, config):
    costs = cost_of_folders(report for reports in terminalreporter.stats.values() for report in reports)
    if len(costs) < 2:
        return
    every_process = config.stash.get(ALL_PROCESSES, None) or processor_seconds()
    rest = every_process - sum(cost.processor_seconds for cost in costs.values())
    width = max(map(len, [*costs, NO_TEST]))
    terminalreporter.section("time per folder")
    terminalreporter.line(f"{'':{width}}  tests  seconds  processor seconds")
    for folder, cost in sorted(costs.items(), key=lambda item: -item[1].processor_seconds):
        terminalreporter.line(
            f"{folder:{width}}  {cost.tests:5}  {cost.seconds:7.1f}  {cost.processor_seconds:17.1f}"
        )
    terminalreporter.line(f"{NO_TEST:{width}}  {'':5}  {'':7}  {rest:17.1f}")


def cost_of_folders(reports):
    """{folder: Cost} of reports on tests: on what comes before a test, on itself and on what comes after it."""
    costs = defaultdict(Cost)
    for report in reports:
        if hasattr(report, "processor_seconds"):
            cost = costs[str(PurePath(report.nodeid.partition("::")[0]).parent)]
            cost.tests += report.when == "setup"
            cost.seconds += report.duration
            cost.processor_seconds += report.processor_seconds
    return dict(costs)
