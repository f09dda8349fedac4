"""Costs on pages are those that the command prints: jobs, hours, memory, disk."""

import importlib.util
import re
import sys

import pytest
from repository_paths import ROOT

from patch2loc.estimate.costs import run_costs
from patch2loc.estimate.page import Machine, cost_summary

SCALE = ROOT / "docs/explanation/scale.md"
OPERATIONS = ROOT / "docs/how-to/operations.md"


@pytest.fixture(scope="module")
def gathering():
    """The module benchmarks/rates.py, which writes the tables."""
    paths = list(sys.path)
    sys.path.insert(0, str(ROOT / "benchmarks"))  # as `python benchmarks/rates.py` has it
    spec = importlib.util.spec_from_file_location("gathering_of_rates", ROOT / "benchmarks/rates.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = paths


@pytest.fixture(scope="module")
def paper(gathering):
    stages = run_costs(gathering.planned("config"), "cuda")
    return {stage.name: stage for stage in stages}, cost_summary(stages, Machine(16, 1, 50))


def test_the_tables_on_the_page_about_scale_are_those_of_today(gathering):
    page = SCALE.read_text(encoding="utf-8")
    assert gathering.with_tables(page) == page, "run python benchmarks/rates.py"


def test_a_number_that_was_changed_by_hand_is_noticed(gathering):
    page = SCALE.read_text(encoding="utf-8")
    assert "| 3,527 " in page
    assert gathering.with_tables(page.replace("| 3,527 ", "| 3,520 ")) == page


def test_the_page_about_operations_has_the_same_numbers(paper):
    stages, summary = paper
    page = OPERATIONS.read_text(encoding="utf-8")
    heads, stripped = stages["preprocess whole head"], stages["preprocess stripped head"]
    jobs = re.search(
        r"^\| jobs \| ([\d,]+), of them ([\d,]+) of preprocessing; ([\d,]+) cluster jobs", page, re.MULTILINE
    )
    assert jobs.groups() == (summary["jobs"], f"{heads.jobs + stripped.jobs:,}", summary["cluster jobs"])
    hours = int(re.search(r"^\| time \| preprocessing (\d+) hours of one core", page, re.MULTILINE)[1])
    assert hours == round(heads.core_hours + stripped.core_hours)
    disk, heatmaps = map(
        int, re.search(r"^\| disk \| (\d+) GB .* of them (\d+) GB heatmaps", page, re.MULTILINE).groups()
    )
    scored = sum(stage.disk_mb for name, stage in stages.items() if name.startswith("score "))
    # As a person would say it.
    assert disk == pytest.approx(sum(stage.disk_mb for stage in stages.values()) / 1000, rel=0.05)
    assert heatmaps == pytest.approx(scored / 1000, rel=0.05)
