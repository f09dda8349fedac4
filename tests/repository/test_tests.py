"""Tests share code in tests/support alone, and what they cost is told for each folder."""

import re
from types import SimpleNamespace

import pytest
from repository_paths import ROOT
from time_spent import Cost, costs, folder_of, function_of

# Campaigns are programs of their own, which do not find tests/support.
FILES = [
    path
    for path in sorted((ROOT / "tests").rglob("*.py"))
    if path.name != "repository_paths.py" and path.parent.name != "campaigns"
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_test_imports_another_or_counts_folders_to_the_root(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"^\s*(from|import) test_", text, re.MULTILINE)
    assert not re.search(r"Path\(__file__\)(\.resolve\(\))?\.parents\[[23]\]", text)


def test_costs_of_a_folder_are_those_of_its_tests_with_what_comes_before_and_after_them():
    def report(nodeid, when, seconds, processor_seconds):
        return SimpleNamespace(
            nodeid=nodeid, when=when, duration=seconds, processor_seconds=processor_seconds
        )

    reports = [
        report("tests/metrics/test_a.py::test_one[x/y]", "setup", 8, 4),
        report("tests/metrics/test_a.py::test_one[x/y]", "call", 2, 1),
        report("tests/metrics/test_b.py::test_two", "setup", 1, 1),
        report("tests/metrics/test_b.py::test_two", "teardown", 1, 0.5),
        report("tests/test_files.py::test_three", "setup", 0, 0),
        SimpleNamespace(nodeid="tests/test_broken.py"),  # of a file that cannot be imported
    ]
    assert costs(reports, folder_of) == {"tests/metrics": Cost(2, 12, 6.5), "tests": Cost(1, 0, 0)}
    assert costs(reports, function_of)["metrics/test_a.py::test_one"] == Cost(1, 10, 5)
