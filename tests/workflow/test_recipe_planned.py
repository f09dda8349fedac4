"""The recipe of the released code, planned on top of the paper's configuration and of the demo's."""

import re
from collections import Counter

import pytest
from paper_replica import paper_configuration, touch_scans, write
from repository_paths import ROOT
from workflow_runs import plan

from patch2loc.configuration.configuration_file import merged, read_configuration
from patch2loc.configuration.released_code import ELEMENTS, value_of

pytestmark = pytest.mark.workflow


def jobs_of(result):
    said = result.stdout + result.stderr
    assert result.returncode == 0, said[-3000:]
    return Counter(re.findall(r"^\s*(?:local)?rule (\w+):", said, re.MULTILINE)), said


def test_it_is_planned_on_the_paper_s_configuration(tmp_path):
    config = paper_configuration(tmp_path, "config/released_code.yaml")
    assert all(value_of(config, element) == element.released for element in ELEMENTS)
    touch_scans(config)
    path = write(config | {"folds": [0]}, tmp_path / "paper.yaml")  # of which the replica has subjects
    jobs, _ = jobs_of(plan(tmp_path, "table1", "table2", config=path))
    assert jobs["train"] == 2 * 3  # modalities, methods
    assert jobs["landmarks"] == 2


def test_it_is_planned_on_the_demo(tmp_path):
    demo = read_configuration(ROOT / "config/demo.yaml")
    config = merged(demo, read_configuration(ROOT / "config/released_code.yaml"))
    jobs, _ = jobs_of(plan(tmp_path, config=write(config, tmp_path / "demo.yaml")))
    assert jobs["train"] == 4 * 2 * 3
    assert {"table1", "table2", "released_code", "fig3"} <= set(jobs)
