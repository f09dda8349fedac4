"""Every step of a waterfall is a configuration that can be planned."""

import pytest
import yaml
from repository_paths import ROOT
from whole_runs import planned_run

from patch2loc.configuration.waterfall import START, step_configuration, waterfall_steps

BASES = {
    "demo": ["config/demo.yaml"],
    "demo, quickly": ["config/demo.yaml", "config/quick.yaml"],
    "rows of other methods": ["config/ixi2mm.yaml", "config/ixi2mm/table1.yaml"],
    "variants": ["config/ixi2mm.yaml", "config/ablations.yaml"],
    "patients in the space of SRI24": ["config/ixi2mm.yaml", "config/quick.yaml", "config/ixi2mm/sri24.yaml"],
}


@pytest.mark.parametrize("names", BASES.values(), ids=BASES)
def test_steps_are_planned(names, tmp_path):
    base = planned_run(*(ROOT / name for name in names))
    steps = waterfall_steps(base.config)
    assert steps[0].name == START
    assert len(steps) > 15
    for place, step in ((0, steps[0]), (-1, steps[-1])):
        path = tmp_path / f"{place}.yaml"
        path.write_text(yaml.safe_dump(step_configuration(step, str(tmp_path / "run"))))
        run = planned_run(path)
        assert run.config["methods"] == ["patch2loc"]
        assert run.trainings == base.trainings
        assert run.config["score"]["epsilon"] == (1e-10 if place == 0 else base.config["score"]["epsilon"])
        assert run.results.root == str(tmp_path / "run")
