"""The target `parts`: a training and its cohorts are all that it takes, and nothing else takes it."""

import re
from collections import Counter

import pytest
from workflow_runs import plan

pytestmark = pytest.mark.workflow


def rules_of(result):
    assert result.returncode == 0, result.stderr[-3000:]
    return Counter(re.findall(r"^\s*(?:local)?rule (\w+):", result.stdout + result.stderr, re.MULTILINE))


def test_parts_need_a_model_and_no_heatmap(tmp_path):
    rules = rules_of(plan(tmp_path, "parts"))
    assert (rules["parts"], rules["analyze_parts"]) == (1, 4)  # labeled datasets
    assert (rules["train"], rules["landmarks"]) == (2, 2)  # patch2loc of T1 and T2
    assert not {"score", "score_validation", "evaluate", "report_page", "crate"} & set(rules)


def test_parts_are_of_every_training(tmp_path):
    rules = rules_of(plan(tmp_path, "parts", "--config", "seeds_of_first_fold=3"))
    assert (rules["parts"], rules["analyze_parts"], rules["train"]) == (1, 3 * 4, 3 * 2)


def test_a_whole_run_makes_no_parts(tmp_path):
    assert not {"parts", "analyze_parts"} & set(rules_of(plan(tmp_path)))


def test_strides_that_leave_out_brain_are_refused(tmp_path):
    result = plan(tmp_path, "parts", "--config", "parts={strides: [1, 5]}")
    assert result.returncode != 0
    assert "parts.strides: 5 found, at most 4 expected" in result.stdout + result.stderr
