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


def detected(by_fold):
    """False positives of each scan at two thresholds: 10 ml at 1 % of healthy voxels, and more with each scan."""
    rows = [
        ("healthy quantile", 0.95, 90.0),
        ("healthy quantile", 0.99, 10.0),
        ("lesion validation", 0.99, 50.0),
    ]
    return {
        key: [
            pd.DataFrame(
                [
                    {"subject": name, "kind": kind, "quantile": quantile, "false_positive_ml": ml + number}
                    for number, name in enumerate(fold["subject"])
                    for kind, quantile, ml in rows
                ]
            )
            for fold in folds
        ]
        for key, folds in by_fold.items()
    }


def table_of(by_fold):
    return site_table(by_fold, detected(by_fold), DATASETS)


def test_scans_are_averaged_within_their_site():
    folds = [fold([0.1, 0.2, 0.4, 0.9]), fold([0.3, 0.4, 0.6, 0.9])]
    table = table_of({("a", "wmh"): folds})
    assert list(table.columns) == COLUMNS
    rows = table[table["metric"] == "best_dice"].set_index("site")
    assert rows["mean"].to_dict() == pytest.approx({"Amsterdam": 0.3, "Utrecht": 0.35})  # d has no site
    assert rows["n_subjects"].to_dict() == {"Amsterdam": 1, "Utrecht": 2}
    assert rows.loc["Utrecht", ["ci_low", "ci_high"]].tolist() == pytest.approx([0.1, 0.6])
    assert np.isnan(rows.loc["Amsterdam", "ci_low"])
    assert (rows["n_folds"] == 2).all()
    positives = table[table["metric"] == "false_positive_ml"].set_index("site")["mean"]
    assert positives.to_dict() == {"Amsterdam": 11, "Utrecht": 11}  # of b, and of a and c


def test_healthy_scans_have_a_location_error_and_false_positives_alone():
    located, other = (fold(np.nan, error, "hi").assign(auprc=np.nan) for error in ([4.0, 6.0], np.nan))
    table = table_of({("patch2loc", "healthy"): [located], ("thresh", "healthy"): [other]})
    assert table[["method", "site", "metric", "mean"]].to_numpy().tolist() == [
        ["patch2loc", "Guys", "location_error", 4.0],
        ["patch2loc", "Guys", "false_positive_ml", 10.0],
        ["patch2loc", "HH", "location_error", 6.0],
        ["patch2loc", "HH", "false_positive_ml", 11.0],
        ["thresh", "Guys", "false_positive_ml", 10.0],
        ["thresh", "HH", "false_positive_ml", 11.0],
    ]


def test_the_table_reads_by_dataset_and_site():
    by_fold = {
        ("patch2loc", "wmh"): [fold([0.1, 0.2, 0.4, 0.9], 5.0)],
        ("thresh", "wmh"): [fold([0.5, 0.6, 0.5, 0.9])],
    }
    layout = site_layout(table_of(by_fold), DATASETS, "At 2 mm.")
    lines = to_markdown(layout).splitlines()
    first = lines.index("| **WMH, Amsterdam, T1: 1 scan** |" + "  |" * 8)
    assert lines[first + 1] == "| patch2loc | 20.0 | – | 10.0 | – | 5.0 | – | 11.0 | – |"
    assert lines[first + 2] == "| thresh | 60.0 | – | 10.0 | – | – | – | 11.0 | – |"
    assert lines[first + 3] == "| **WMH, Utrecht, T1: 2 scans** |" + "  |" * 8
    assert (
        lines[first + 4]
        == "| patch2loc | 25.0 | 10.0–40.0 | 10.0 | 10.0–10.0 | 5.0 | 5.0–5.0 | 11.0 | 10.0–12.0 |"
    )
    assert "Location error: mean [%]" in lines[2]
    assert "False positives: mean [ml]" in lines[2]
    assert "WMH, Utrecht" in to_latex(layout)
