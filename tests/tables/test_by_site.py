import numpy as np
import pandas as pd
import pytest

from patch2loc.tables.by_site import COLUMNS, site_layout, site_table
from patch2loc.tables.formats import to_latex, to_markdown

DATASETS = {
    "wmh": {
        "title": "WMH",
        "modality": "T1",
        "simulated": False,
        "sites": {"a": "Utrecht", "b": "Amsterdam", "c": "Utrecht", "never scored": "Singapore"},
    },
    "healthy": {"title": "IXI", "modality": "T1", "simulated": False, "sites": {"h": "Guys", "i": "HH"}},
}


def fold(dice, error=np.nan, names="abcd"):
    columns = {"best_dice": dice, "auprc": 0.1, "location_error": error}
    return pd.DataFrame({"subject": list(names), **columns})


def test_scans_are_averaged_within_their_site():
    folds = [fold([0.1, 0.2, 0.4, 0.9]), fold([0.3, 0.4, 0.6, 0.9])]
    table = site_table({("a", "wmh"): folds}, DATASETS)
    assert list(table.columns) == COLUMNS
    rows = table[table["metric"] == "best_dice"].set_index("site")
    assert rows["mean"].to_dict() == pytest.approx({"Amsterdam": 0.3, "Utrecht": 0.35})  # d has no site
    assert rows["n_subjects"].to_dict() == {"Amsterdam": 1, "Utrecht": 2}
    assert rows.loc["Utrecht", ["ci_low", "ci_high"]].tolist() == pytest.approx([0.1, 0.6])
    assert np.isnan(rows.loc["Amsterdam", "ci_low"])
    assert (rows["n_folds"] == 2).all()


def test_healthy_scans_have_a_location_error_alone():
    located, other = (fold(np.nan, error, "hi").assign(auprc=np.nan) for error in ([4.0, 6.0], np.nan))
    table = site_table({("patch2loc", "healthy"): [located], ("thresh", "healthy"): [other]}, DATASETS)
    assert table[["method", "site", "metric", "mean"]].to_numpy().tolist() == [
        ["patch2loc", "Guys", "location_error", 4.0],
        ["patch2loc", "HH", "location_error", 6.0],
    ]


def test_the_table_reads_by_dataset_and_site():
    by_fold = {
        ("patch2loc", "wmh"): [fold([0.1, 0.2, 0.4, 0.9], 5.0)],
        ("thresh", "wmh"): [fold([0.5, 0.6, 0.5, 0.9])],
    }
    layout = site_layout(site_table(by_fold, DATASETS), DATASETS, "At 2 mm.")
    lines = to_markdown(layout).splitlines()
    first = lines.index("| **WMH, Amsterdam, T1: 1 scan** |" + "  |" * 6)
    assert lines[first + 1] == "| patch2loc | 20.0 | – | 10.0 | – | 5.0 | – |"
    assert lines[first + 2] == "| thresh | 60.0 | – | 10.0 | – | – | – |"
    assert lines[first + 3] == "| **WMH, Utrecht, T1: 2 scans** |" + "  |" * 6
    assert lines[first + 4] == "| patch2loc | 25.0 | 10.0–40.0 | 10.0 | 10.0–10.0 | 5.0 | 5.0–5.0 |"
    assert "Location error: mean [%]" in lines[2]
    assert "WMH, Utrecht" in to_latex(layout)
