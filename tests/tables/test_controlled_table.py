"""The table of controlled lesions against numbers counted by hand, and its figure."""

import numpy as np
import pandas as pd
import pytest

from patch2loc.figures.controlled import controlled_figure
from patch2loc.metrics.detection import HEALTHY
from patch2loc.tables.controlled import controlled_layout, controlled_table, over_best_control

LESIONS = {
    "a1": ("a.nii", 10.0, 0.5),
    "a2": ("a.nii", 20.0, 1.0),
    "b1": ("b.nii", 10.0, 0.5),
    "b2": ("b.nii", 10.0, 1.0),
    "c1": ("c.nii", 20.0, 0.5),
}
AUPRC = {"a1": 0.1, "a2": 0.5, "b1": 0.3, "b2": 0.7, "c1": 0.2}
DATASETS = {
    "nothing": {
        "title": "Nothing changed",
        "modality": "T1",
        "role": "lesion",
        "simulated": True,
        "published_name": None,
        "change": "dark",
        "lesions": {name: (scan, diameter, 0.0) for name, (scan, diameter, _) in LESIONS.items()},
    },
    "texture": {
        "title": "Texture lost",
        "modality": "T1",
        "role": "lesion",
        "simulated": True,
        "published_name": None,
        "change": "texture",
        "lesions": LESIONS,
    },
}


def folds(gain=0.0, count=2):
    """Metrics and detections of each fold; those of a fold are by 0.02 higher than those before it."""
    metrics, detected = [], []
    for fold in range(count):
        values = [AUPRC[subject] + gain + 0.02 * fold for subject in LESIONS]
        metrics.append(pd.DataFrame({"subject": list(LESIONS), "auprc": values, "prevalence": 0.01}))
        rows = [
            {
                "subject": subject,
                "kind": HEALTHY,
                "quantile": quantile,
                "sensitivity": value * (quantile == 0.99),
            }
            for subject, value in zip(LESIONS, values, strict=True)
            for quantile in (0.95, 0.98, 0.99)
        ]
        detected.append(pd.DataFrame(rows))
    return metrics, detected


@pytest.fixture(scope="module")
def table():
    gains = {"patch2loc": 0.05, "zscore": 0.0, "thresh": 0.04}
    made = {(method, "texture"): folds(gain) for method, gain in gains.items()}
    made[("patch2loc", "nothing")] = folds(-0.02)
    metrics, detected = ({key: value[part] for key, value in made.items()} for part in (0, 1))
    return controlled_table(metrics, detected, DATASETS)


def mean_of(table, **keys):
    part = table
    for column, value in keys.items():
        part = part[part[column].isna()] if value is None else part[part[column] == value]
    assert len(part) == 1
    return part["mean"].iloc[0]


def test_a_cell_is_the_mean_over_its_lesions_and_folds(table):
    level = {"method": "zscore", "dataset": "texture", "against": ""}
    assert mean_of(table, **level, diameter_mm=10, amount=0.5, metric="auprc") == pytest.approx(0.2 + 0.01)
    ratio = mean_of(table, **level, diameter_mm=20, amount=1, metric="auprc_over_prevalence")
    assert ratio == pytest.approx(51)
    assert mean_of(table, **level, diameter_mm=20, amount=0.5, metric="sensitivity") == pytest.approx(0.21)
    # Over everything, the two lesions of a scan are averaged first.
    pooled = np.mean([(0.1 + 0.5) / 2, (0.3 + 0.7) / 2, 0.2]) + 0.01
    assert mean_of(table, **level, diameter_mm=None, amount=None, metric="auprc") == pytest.approx(pooled)


def test_location_is_held_against_every_control_and_no_control_against_another(table):
    differences = table[~table["against"].isin(["", "unchanged"])]
    assert set(differences["method"]) == {"patch2loc"}
    assert set(differences["against"]) == {"zscore", "thresh"}
    for control, gain in (("zscore", 0.05), ("thresh", 0.01)):
        part = differences[differences["against"] == control]
        assert set(part["diameter_mm"].dropna()) == {10, 20}
        np.testing.assert_allclose(part["mean"], gain)
        np.testing.assert_allclose(part[["ci_low", "ci_high"]].to_numpy(), gain)
        assert part.loc[part["diameter_mm"].isna(), "n_subjects"].tolist() == [3]


def test_a_row_is_held_against_itself_in_the_same_places_unchanged(table):
    differences = table[table["against"] == "unchanged"]
    assert set(zip(differences["method"], differences["dataset"], strict=True)) == {("patch2loc", "texture")}
    np.testing.assert_allclose(differences[["mean", "ci_low", "ci_high"]].to_numpy(), 0.07)
    assert differences["diameter_mm"].isna().sum() == 1
    assert set(differences["diameter_mm"].dropna()) == {10, 20}


def test_the_layout_shows_the_least_difference(table):
    layout = controlled_layout(table, DATASETS, "Protocol.")
    rows = {label.strip(): [cell.text for cell in cells] for label, cells in layout.rows[:4]}
    assert rows["patch2loc"][-1] == "+1.0 (+1.0 to +1.0)"
    assert [
        cell for name, cells in rows.items() if name not in ("patch2loc",) and cells for cell in cells[-1:]
    ] == ["–"] * 2
    assert rows["patch2loc"][-2] == "+7.0 (+7.0 to +7.0)"
    assert rows["patch2loc"][1] == "26.0"  # after the amount 0, which has none here
    assert len(rows["patch2loc"]) == len(layout.columns) == sum(width for _, width in layout.groups)
    assert "(simulated): 5 lesions" in layout.rows[0][0]


def test_better_than_every_control_is_judged_by_the_least_lower_bound():
    """The control of the least mean difference is another one, and its interval is above 0."""
    columns = ["against", "diameter_mm", "mean", "ci_low", "ci_high"]
    records = pd.DataFrame(
        [["zscore", np.nan, 0.02, 0.01, 0.03], ["texture_z", np.nan, 0.03, -0.01, 0.08]], columns=columns
    )
    assert over_best_control(records) == "+3.0 (\u22121.0 to +8.0)"
    alone = records.assign(ci_low=np.nan, ci_high=np.nan)  # of one scan
    assert over_best_control(alone).startswith("+2.0")


def test_the_figure_has_a_map_for_each_method_and_measure(table):
    figure = controlled_figure(table, DATASETS)
    maps = [axes for part in figure.subfigs for axes in part.axes if axes.texts]
    assert len(maps) == 2 * (3 + 1)
    first = next(axes for axes in maps if axes.get_title() == "texture\nlost")
    assert [label.get_text() for label in first.get_yticklabels()] == ["10", "20"]
    assert [text.get_text() for text in first.texts] == ["26", "76", "26", "56"]
    assert all("simulated" in part.get_supxlabel() for part in figure.subfigs)
