import numpy as np
import pandas as pd
import pytest

from patch2loc.metrics.detection import HEALTHY, LESION, LESION_WISE, SIZES
from patch2loc.tables.formats import to_latex, to_markdown
from patch2loc.tables.thresholds import COLUMNS, DETECTION_METRICS, threshold_layout, threshold_table

DATASETS = {
    "strokes": {"title": "strokes", "modality": "T1", "simulated": True},
    "healthy": {"title": "IXI", "modality": "T1", "simulated": False},
}


def scans(threshold=2.0, **columns):
    """Detections of two scans at two quantiles; columns: values of the two scans at the first quantile."""
    counts = ["lesions", "lesions_found", "false_positives"]
    counts += [f"{name}_{size}" for name in counts for size in SIZES]
    table = pd.DataFrame({"subject": ["a", "b"], "kind": HEALTHY, "quantile": 0.95, "threshold": threshold})
    table = table.assign(dice=0.5, sensitivity=0.4, precision=0.8, surface_distance_95_mm=12.0)
    table = table.assign(lesion_precision=0.25, lesion_f1=0.35, lesion_f1_strict=0.15)
    table = table.assign(false_positive_ml=3.25, predicted_ml=9.0, **dict.fromkeys(counts, 1)).assign(
        **columns
    )
    return pd.concat([table, table.assign(quantile=0.98, threshold=threshold + 1, dice=0.1)])


def test_means_over_scans_and_folds_by_hand():
    folds = [scans(dice=[0.2, 0.4]), scans(threshold=3.0, dice=[0.6, 0.8])]
    table = threshold_table({("thresh", "strokes"): folds}, DATASETS)
    assert list(table.columns) == COLUMNS
    row = table.query("metric == 'dice' and quantile == 0.95").iloc[0]
    assert row["mean"] == pytest.approx(0.5)
    assert row["sd"] == pytest.approx(np.sqrt(0.08))  # fold means 0.3 and 0.7
    assert (row["n_subjects"], row["n_folds"], row["simulated"], row["threshold"]) == (2, 2, 1, 2.5)
    assert table.query("metric == 'dice' and quantile == 0.98")["mean"].item() == pytest.approx(0.1)
    assert set(table["metric"]) == set(DETECTION_METRICS)


def by_lesions(threshold, quantile, dice):
    """Detections at a threshold that validation scans with lesions chose."""
    rows = scans(threshold, dice=dice)[lambda table: table["quantile"] == 0.95]
    return rows.assign(kind=LESION, quantile=quantile)


def test_a_threshold_that_lesions_chose_is_one_row_over_folds_that_differ():
    # In the second fold its quantile is one of the healthy ones, and still another row.
    folds = [
        pd.concat([scans(), by_lesions(7.0, 0.995, [0.7, 0.9])]),
        pd.concat([scans(), by_lesions(5.0, 0.95, [0.5, 0.7])]),
    ]
    table = threshold_table({("thresh", "strokes"): folds}, DATASETS)
    row = table.query("metric == 'dice' and kind == 'lesion validation'").squeeze()
    assert row[["quantile", "threshold", "mean", "n_folds"]].tolist() == pytest.approx([0.9725, 6.0, 0.7, 2])
    healthy = table.query("metric == 'dice' and kind == 'healthy quantile'")
    assert healthy["quantile"].tolist() == [0.95, 0.98]
    assert healthy["mean"].tolist() == pytest.approx([0.5, 0.1])
    lines = to_markdown(threshold_layout(table, DATASETS, "")).splitlines()
    last = next(line for line in lines if "lesion validation |" in line)
    assert last.startswith("| thresh, lesion validation | 70.0 | 40.0 |")


def test_recall_is_a_share_of_each_scan_and_scans_without_lesions_of_a_size_have_none():
    fold = scans(lesions=[4, 2], lesions_found=[1, 2], lesions_small=[3, 0], lesions_found_small=[1, 0])
    table = threshold_table({("thresh", "strokes"): [fold]}, DATASETS).query("quantile == 0.95")
    rows = table.set_index("metric")
    assert rows.loc["lesion_recall", "mean"] == pytest.approx((1 / 4 + 1) / 2)
    assert rows.loc["lesion_recall_small", ["mean", "n_subjects"]].tolist() == pytest.approx([1 / 3, 1])


def test_the_number_of_scans_in_which_something_is_found_stands_beside_the_distance():
    folds = [scans(surface_distance_95_mm=[12.0, np.nan], precision=[0.8, np.nan]), scans()]
    table = threshold_table({("thresh", "strokes"): folds}, DATASETS).query("quantile == 0.95")
    rows = table.set_index("metric")
    counts = rows["n_with_value"].to_dict()
    assert (counts["dice"], counts["surface_distance_95_mm"], counts["precision"]) == (2, 1.5, 1.5)
    assert rows.loc["surface_distance_95_mm", "n_subjects"] == 2  # in any fold
    assert "| 80.0 (1.5) | 12.0 (1.5) |" in to_markdown(threshold_layout(table, DATASETS, ""))


def test_many_scans_are_counted_to_the_last():
    many = pd.concat([scans().assign(subject=str(number)) for number in range(626)]).drop_duplicates(
        ["subject", "quantile"]
    )
    table = threshold_table({("thresh", "strokes"): [many]}, DATASETS)
    assert "| 12.0 (626) |" in to_markdown(threshold_layout(table, DATASETS, ""))


def healthy_scans():
    none = dict.fromkeys(["lesions", "lesions_found"], 0)
    none |= {f"{name}_{size}": 0 for name in tuple(none) for size in SIZES}
    measures = ["dice", "sensitivity", "precision", "surface_distance_95_mm", *LESION_WISE]
    nothing = dict.fromkeys(measures, np.nan)
    return pd.concat([scans(**none, **nothing)[lambda table: table["quantile"] == 0.95]])


def test_healthy_scans_have_false_positives_only():
    table = threshold_table({("thresh", "healthy"): [healthy_scans()]}, DATASETS)
    assert set(table["metric"]) == {name for name in DETECTION_METRICS if name.startswith("false_positive")}


def test_the_table_reads_by_dataset_with_units():
    by_fold = {("thresh", "strokes"): [scans()], ("thresh", "healthy"): [healthy_scans()]}
    layout = threshold_layout(threshold_table(by_fold, DATASETS), DATASETS, "At 2 mm.")
    lines = to_markdown(layout).splitlines()
    first = lines.index("| **strokes, T1 (simulated): 2 scans** |" + "  |" * 16)
    recalls, false = (
        "| 100.0 | 100.0 | 100.0 | 100.0 | 25.0 (2) | 35.0 | 15.0 ",
        "| 1.0 | 1.0 | 1.0 | 1.0 | 3.2 |",
    )
    assert lines[first + 1] == f"| thresh, 95 % | 50.0 | 40.0 | 80.0 (2) | 12.0 (2) {recalls}{false}"
    assert lines[first + 2].startswith("| thresh, 98 % | 10.0 |")
    assert lines[first + 3].startswith("| **IXI, T1: 2 scans** |")
    assert lines[first + 4] == "| thresh, 95 % " + "| – " * 11 + false
    assert "Lesions found [%]: 0.1–1 ml" in lines[2]
    assert lines[-1].startswith("At 2 mm. A voxel is called lesion")
    assert "$<$0.1 ml" in to_latex(layout)
