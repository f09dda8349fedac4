"""The table of single cases."""

import pandas as pd
import pytest

from patch2loc.tables.cases import CASES_COLUMNS, cases


def test_cases_are_means_over_folds():
    def fold(auprc):
        row = {
            name: 0.5
            for name in CASES_COLUMNS
            if name not in ("method", "dataset", "modality", "control", "simulated")
        }
        return pd.DataFrame([row | {"subject": "a", "auprc": auprc}])

    datasets = {"phantom": {"modality": "T2", "simulated": True, "published_name": None}}
    found = cases({("thresh", "phantom"): [fold(0.2), fold(0.4)]}, datasets)
    assert len(found) == 1
    assert found.loc[0, "auprc"] == pytest.approx(0.3)
    assert found.loc[0, ["method", "dataset", "modality", "control", "simulated"]].tolist() == [
        "thresh",
        "phantom",
        "T2",
        0,
        1,
    ]
