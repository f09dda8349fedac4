"""Table 1 of the paper's configuration: all rows planned, and computed on a replica of the data."""

import re
from collections import Counter

import pandas as pd
import pytest
from paper_replica import paper_configuration, simulate_scans, small, touch_scans, write
from workflow_runs import plan, run

pytestmark = pytest.mark.workflow
PRINTED = ["thresh", "vae", "svae", "ae", "dae", "ra", "phanes", "fae", "ddpm", "pddpm", "cddpm", "patch2loc"]
SECOND_ROWS = [f"{name}_as_published" for name in PRINTED[:-1]] + ["patch2loc_calibrated"]


def planned(folder, config):
    """A dry run of Table 1: jobs by rule, and what was said."""
    path = write(config, folder / "table1.yaml")
    result = plan(folder, "table1", config=path)
    said = result.stdout + result.stderr
    assert result.returncode == 0, said[-3000:]
    return Counter(re.findall(r"^\s*(?:local)?rule (\w+):", said, re.MULTILINE)), said


def test_all_rows_are_planned_with_their_weights_and_a_fallback_is_told_before(tmp_path):
    config = paper_configuration(tmp_path, "config/table1.yaml")
    assert config["budget"] == "paper"
    touch_scans(config)
    weights = [tmp_path / path for path in config["pretrained"].values()]
    for path in weights:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    jobs, said = planned(tmp_path, config | {"folds": [0]})
    assert jobs["train"] == 13 * 2  # of each modality
    assert jobs["evaluate"] == 4 * (13 + len(SECOND_ROWS))
    evaluated = set(re.findall(r"metrics/(\w+)/mslub/fold0.csv", said))
    assert evaluated == {*PRINTED, *SECOND_ROWS, "zscore"}
    assert "fallback" not in said
    for path in weights:
        assert str(path.relative_to(tmp_path)) in said  # an input of the trainings
    _, said = planned(tmp_path, config | {"folds": [0], "pretrained": {}})
    warning = said[said.index("Note: These methods will be trained in their fallback") :]
    assert "  fae: resnet18_imagenet\n" in warning
    assert "  ra: squeezenet1_1_imagenet, lpips_squeezenet\n" in warning
    assert "snakemake --cores 1 pretrained" in warning
    for name, path in config["pretrained"].items():
        assert f"  {name}: {tmp_path}/{path}\n" in warning


@pytest.mark.slow
def test_table1_of_a_replica_has_every_row_and_says_what_it_rests_on(tmp_path):
    config = small(paper_configuration(tmp_path, "config/table1.yaml"))
    simulate_scans(config)
    result = run(tmp_path, "table1", "table2", config=write(config, tmp_path / "replica.yaml"))
    assert result.returncode == 0, result.stderr[-6000:]
    table = pd.read_csv(tmp_path / "results/tables/table1.csv")
    assert list(table["method"].unique())[:12] == PRINTED
    assert set(table["method"].unique()[12:]) == {*SECOND_ROWS, "zscore"}
    assert table.query("metric in ['best_dice', 'auprc']")["mean"].notna().all()
    listed = table.drop_duplicates("dataset").set_index("dataset")["n_listed"].to_dict()
    assert listed == {"brats21": 1251, "mslub": 30, "atlas": 655, "wmh": 60}
    text = (tmp_path / "results/tables/table1.md").read_text()
    assert "| Subjects × folds | 2 of 1,251 × 1 |" in text
    assert (
        "Only a part of the subjects was scored: 2 of BraTS21, 2 of MSLUB, 2 of ATLAS v2.0, 2 of WMH 2017"
        in text
    )
    assert "in their fallback: fae: resnet18_imagenet" in text
    assert text.count("| published |") == 12
    assert "not run" not in text.lower()
    # Fewer methods of the same run: the table alone is made anew.
    config["methods"] = ["patch2loc", "thresh", "zscore"]
    result = run(tmp_path, "table1", config=write(config, tmp_path / "replica.yaml"))
    assert result.returncode == 0, result.stderr[-6000:]
    assert set(
        re.findall(r"^\s*(?:local)?rule (\w+):", (tmp_path / "results/snakemake.log").read_text(), re.M)
    ) == {"table1"}
    text = (tmp_path / "results/tables/table1.md").read_text()
    assert text.count("(not run)") == 10
    assert text.count("| published |") == 12
    assert "Not run: vae; svae, re-design; ae;" in text
    table2 = pd.read_csv(tmp_path / "results/tables/table2.csv")
    assert table2.groupby("patches")["published_spearman"].count().to_dict() == {"all": 12, "partial": 12}
