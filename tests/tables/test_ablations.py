"""Ablations: differences from the base over scans and trainings, location errors and costs, as table and figure."""

import numpy as np
import pandas as pd
import pytest

from patch2loc.configuration.ablation_rows import AblationRow
from patch2loc.figures.ablations import ablation_figure
from patch2loc.tables.ablations import (
    COLUMNS,
    Training,
    ablation_layout,
    ablation_table,
    described,
    joined,
    training_of,
)
from patch2loc.tables.formats import to_markdown

DATASETS = {
    "small": {"title": "strokes of 12 mm", "modality": "T1", "simulated": True, "lesion_diameter_mm": 12.0},
    "large": {"title": "strokes of 48 mm", "modality": "T1", "simulated": True, "lesion_diameter_mm": 48.0},
    "any": {"title": "strokes of any size", "modality": "T1", "simulated": True},
}
ROWS = {
    "patch2loc": AblationRow(base="patch2loc", changes={}, patch_mm=24.0, subjects=108),
    "patch2loc-wide": AblationRow(base="patch2loc", changes={"patch_mm": 48}, patch_mm=48.0, subjects=108),
    "patch2loc-few": AblationRow(base="patch2loc", changes={"subjects": 10}, patch_mm=24.0, subjects=10),
    "patch2loc-few_beta0": AblationRow(
        base="patch2loc", changes={"subjects": 20, "beta": 0}, patch_mm=24.0, subjects=20
    ),
    "both": AblationRow(
        base="patch2loc", changes={"of": ["patch2loc", "patch2loc-wide"]}, patch_mm=None, subjects=108
    ),
}
GAIN = {"patch2loc": 0, "patch2loc-wide": 0.1, "patch2loc-few": -0.05, "patch2loc-few_beta0": 0, "both": 0.2}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    base = {(name, seed): 0.3 + 0.1 * rng.random(6) for name in DATASETS for seed in range(3)}
    metrics = {
        (row, name): [
            pd.DataFrame({"subject": list("abcdef"), "auprc": base[name, seed] + GAIN[row], "best_dice": 0.5})
            for seed in range(3)
        ]
        for row in ROWS
        for name in DATASETS
    }
    one = {row: [Training(5.0 + seed, 10.0, 40.0, 1000) for seed in range(3)] for row in ROWS}
    one["both"] = [joined(pair) for pair in zip(one["patch2loc"], one["patch2loc-wide"], strict=True)]
    return ablation_table(metrics, ROWS, {(row, "T1"): each for row, each in one.items()}, DATASETS)


def test_differences_are_from_the_same_scans_and_trainings_of_the_base(table):
    assert list(table.columns) == COLUMNS
    rows = table[(table["metric"] == "auprc") & (table["dataset"] == "small")].set_index("method")
    for name in ("patch2loc-wide", "patch2loc-few", "both"):
        # Of a gain that is the same everywhere the interval is a point, however much scans and trainings differ.
        assert rows.loc[name, ["difference", "ci_low", "ci_high"]].tolist() == pytest.approx([GAIN[name]] * 3)
    assert rows.loc["patch2loc", ["difference", "ci_low", "ci_high"]].isna().all()
    assert (
        rows.loc["patch2loc", "mean_low"] < rows.loc["patch2loc", "mean"] < rows.loc["patch2loc", "mean_high"]
    )
    assert set(rows["n_trainings"]) == {3}


def test_errors_are_over_trainings_and_a_combination_costs_its_parts(table):
    rows = table.drop_duplicates("method").set_index("method")
    assert rows.loc["patch2loc", ["location_error", "location_error_sd"]].tolist() == [6.0, 1.0]
    assert rows.loc["both", ["processor_seconds", "training_patches"]].tolist() == [80.0, 2000.0]
    assert np.isnan(rows.loc["both", "location_error"])


def test_a_training_is_told_by_the_weights_that_were_kept():
    history = pd.DataFrame(
        {
            "patches": [10, 20, 30],
            "validation_nll": [3.0, 1.0, 2.0],
            "validation_error": [9.0, 5.0, 4.0],
            "validation_error_mm": [18.0, 10.0, 8.0],
        }
    )
    assert training_of(history, {"processor_seconds": 12.5}) == Training(5.0, 10.0, 12.5, 30)
    two_networks = pd.concat([history.assign(patch=8), history.assign(patch=16, validation_error=7.0)])
    assert training_of(two_networks.reset_index(drop=True), {}).error == 6.0
    assert np.isnan(training_of(history, {}).seconds)  # of a record from before seconds were kept


def test_changes_are_text():
    assert (
        described({"beta": 0, "slice_code": False, "patch_mm": 16.0})
        == "beta 0, slice_code false, patch_mm 16"
    )


def test_the_table_reads_by_dataset(table):
    lines = to_markdown(ablation_layout(table, DATASETS, "At 2 mm.")).splitlines()
    assert any(line.startswith("| **strokes of 12 mm, T1 (simulated): 6 scans** |") for line in lines)
    wide = next(line for line in lines if line.startswith("| patch2loc, wide |"))
    assert "| patch\\_mm 48 |" in wide
    assert "| +10.0 | 10.0–10.0 |" in wide
    assert "| 6.00 ± 1.00 | 10.00 ± 0.00 | 40 | 1,000 |" in wide
    assert "3 training(s) of each row." in lines[-1]


def test_curves_are_of_variants_that_change_nothing_else(table):
    figure = ablation_figure(table, DATASETS)
    panels = {axes.get_xlabel(): axes for part in figure.subfigs for axes in part.axes}

    def curves(label):
        return [list(line.get_xdata()) for line in panels[label].get_lines() if len(line.get_xdata()) > 1]

    assert curves("width of a patch, mm") == [[24, 48]] * 3
    *of_lesions, one = curves("width of a patch over diameter of a lesion")
    assert of_lesions == [[0.5, 1], [2, 4]]  # the large ones come first, as their first width is the least
    assert one == [1, 1]  # as wide as a lesion
    no_size = {name: info for name, info in DATASETS.items() if name == "any"}
    figure = ablation_figure(table[table["dataset"] == "any"], no_size)
    assert "width of a patch over diameter of a lesion" not in {
        axes.get_xlabel() for part in figure.subfigs for axes in part.axes
    }
    subjects = panels["training subjects"].get_lines()[0].get_xdata()
    assert list(subjects) == [10, 108]
    costs = [text.get_text() for text in panels["training subjects"].texts]
    assert costs == ["40 s", "40 s"]
    alone = table[table["method"].isin(["patch2loc", "both"])]
    assert not ablation_figure(alone, DATASETS).subfigs


def test_errors_and_costs_are_drawn_of_each_modality_and_named(table):
    of_t2 = table.assign(
        dataset=table["dataset"] + "_t2", modality="T2", location_error_mm=20.0, processor_seconds=90.0
    )
    datasets = DATASETS | {f"{name}_t2": info | {"modality": "T2"} for name, info in DATASETS.items()}
    figure = ablation_figure(pd.concat([table, of_t2], ignore_index=True), datasets)
    panels = {axes.get_xlabel(): axes for part in figure.subfigs for axes in part.axes}
    drawn = {
        (line.get_marker(), value)
        for line in panels["location error, mm; cost"].get_lines()
        for value in line.get_xdata()
        if line.get_marker() in ("o", "s") and not np.isnan(value)
    }
    assert drawn == {("o", 10.0), ("s", 20.0)}
    curves = [line for line in panels["training subjects"].get_lines() if line.get_marker() in ("o", "s")]
    assert [(list(line.get_xdata()), list(line.get_ydata())) for line in curves] == [
        ([10, 108], [10.0, 10.0]),
        ([10, 108], [20.0, 20.0]),
    ]
    costs = [text.get_text() for text in panels["training subjects"].texts]
    assert costs == ["T1: 40 s\nT2: 90 s"] * 2
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[-2:] == ["location error, T1", "location error, T2"]
    assert len(ablation_figure(table, DATASETS).legends[0].get_texts()) == len(DATASETS)
