import pandas as pd
import pytest

from patch2loc.tables.by_volume import COLUMNS, volume_layout, volume_table
from patch2loc.tables.formats import to_markdown

DATASETS = {"ms": {"title": "MS", "modality": "T2", "simulated": True}}


def fold(dice, volumes=(0.2, 1.0, 9.9, 10.0)):
    names = [f"sub-{number}" for number in range(len(volumes))]
    return pd.DataFrame({"subject": names, "best_dice": dice, "auprc": 0.1, "lesion_ml": volumes})


def test_scans_are_averaged_within_their_class():
    table = volume_table({("a", "ms"): [fold([0.1, 0.2, 0.4, 0.8]), fold([0.3, 0.4, 0.6, 1.0])]}, DATASETS)
    assert list(table.columns) == COLUMNS
    rows = table[table["metric"] == "best_dice"].set_index("lesion_volume")
    assert rows["mean"].to_dict() == pytest.approx({"below_1_ml": 0.2, "1_to_10_ml": 0.4, "from_10_ml": 0.9})
    assert rows["n_subjects"].to_dict() == {"below_1_ml": 1, "1_to_10_ml": 2, "from_10_ml": 1}
    assert rows.loc["1_to_10_ml", ["ci_low", "ci_high"]].tolist() == pytest.approx([0.2, 0.6])
    assert (rows["n_folds"] == 2).all()


def test_the_classes_share_out_all_scans():
    volumes = [0.0, 0.999, 1.0, 5.0, 10.0, 300.0]
    table = volume_table({("a", "ms"): [fold(0.5, volumes)]}, DATASETS)
    assert table.groupby("metric")["n_subjects"].sum().tolist() == [6, 6]


def test_the_table_reads_by_dataset_and_class():
    by_fold = {(method, "ms"): [fold([0.1, 0.2, 0.4, 0.8]).iloc[:3]] for method in ("a", "b")}
    lines = to_markdown(volume_layout(volume_table(by_fold, DATASETS), DATASETS, "At 2 mm.")).splitlines()
    first = lines.index("| **MS, T2 (simulated): 3 scans** |" + "  |" * 6)
    assert lines[first + 1] == "| Scans | 1 | 1 | 2 | 2 | 0 | 0 |"
    assert lines[first + 2] == "| a | 10.0 | 10.0 | 30.0 | 10.0 | – | – |"
    assert lines[first + 3].startswith("| b | 10.0")
    assert "≥10 ml: AUPRC [%]" in lines[2]
