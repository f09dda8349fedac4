import numpy as np
import pandas as pd
import pytest

from patch2loc.tables.formats import to_latex, to_markdown
from patch2loc.tables.seeds import COLUMNS, seed_layout, seed_table

DATASETS = {"ms": {"title": "MS", "modality": "T2", "simulated": False}}
TRAININGS = [0, 1, "0seed1", "0seed2"]


def metrics(dice, auprc=0.5):
    return pd.DataFrame({"subject": ["a", "b"], "best_dice": dice, "auprc": auprc})


def trained(*means):
    return [metrics([mean - 0.1, mean + 0.1]) for mean in means]


def test_the_spread_over_seeds_is_not_mixed_with_that_over_folds():
    table = seed_table({("patch2loc", "ms"): trained(0.4, 0.6, 0.42, 0.44)}, DATASETS, 0, TRAININGS)
    assert list(table.columns) == COLUMNS
    row = table.set_index("metric").loc["best_dice"]
    assert (row["mean_over_seeds"], row["sd_over_seeds"]) == pytest.approx((0.42, 0.02))  # 0.40, 0.42, 0.44
    assert (row["mean_over_folds"], row["sd_over_folds"]) == pytest.approx((0.5, np.sqrt(0.02)))  # 0.4, 0.6
    assert (row["fold"], row["n_seeds"], row["n_folds"], row["n_subjects"]) == (0, 3, 2, 2)


def test_the_first_fold_need_not_be_fold_0_and_can_be_the_only_one():
    table = seed_table({("ae", "ms"): trained(0.4, 0.5)}, DATASETS, 0, [3, "3seed1"]).set_index("metric")
    assert table.loc["best_dice", ["fold", "n_seeds", "n_folds"]].tolist() == [3, 2, 1]
    assert np.isnan(table.loc["best_dice", "sd_over_folds"])


def test_the_table_reads_by_dataset():
    by_method = {("patch2loc", "ms"): trained(0.4, 0.6, 0.42, 0.44)}
    layout = seed_layout(seed_table(by_method, DATASETS, 0, TRAININGS), DATASETS, "At 2 mm.")
    lines = to_markdown(layout).splitlines()
    first = lines.index("| **MS, T2: 2 scans** |" + "  |" * 8)
    expected = "| patch2loc | 42.00 | 2.00 | 50.00 | 14.14 | 50.00 | 0.00 | 50.00 | 0.00 |"
    assert lines[first + 1] == expected
    assert "MS, T2" in to_latex(layout)


def test_healthy_scans_have_no_row():
    assert seed_table({("ae", "ms"): [metrics(np.nan, np.nan)] * 2}, DATASETS, 0, [0, "0seed1"]).empty
