"""Where the time of the tests goes, shown at the end: for each folder, for what is no test, and for the dearest tests.

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
DEAREST = 20  # tests that are shown
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
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    folders = costs(reports, folder_of)
    if len(folders) < 2:
        return
    every_process = config.stash.get(ALL_PROCESSES, None) or processor_seconds()
    rest = every_process - sum(cost.processor_seconds for cost in folders.values())
    terminalreporter.section("where the time goes")
    terminalreporter.line("tests  seconds  processor seconds")
    for name, cost in dearest_first(folders):
        terminalreporter.line(_line(name, cost))
    terminalreporter.line(f"{'':13}  {rest:17.1f}  {NO_TEST}")
    terminalreporter.line("")
    for name, cost in dearest_first(costs(reports, function_of))[:DEAREST]:
        terminalreporter.line(_line(name, cost))


def _line(name, cost):
    return f"{cost.tests:5}  {cost.seconds:7.1f}  {cost.processor_seconds:17.1f}  {name}"


def folder_of(nodeid):
    """Folder of a test."""
    return str(PurePath(nodeid.partition("::")[0]).parent)


def function_of(nodeid):
    """A test without its parameters."""
    return nodeid.partition("[")[0].removeprefix("tests/")


def dearest_first(named):
    """Pairs of {name: Cost} by processor seconds."""
    return sorted(named.items(), key=lambda item: -item[1].processor_seconds)


def costs(reports, place):
    """{place: Cost} of reports on tests: on what comes before a test, on itself and on what comes after it."""
    found = defaultdict(Cost)
    for report in reports:
        if hasattr(report, "processor_seconds"):
            cost = found[place(report.nodeid)]
            cost.tests += report.when == "setup"
            cost.seconds += report.duration
            cost.processor_seconds += report.processor_seconds
    return dict(found)
