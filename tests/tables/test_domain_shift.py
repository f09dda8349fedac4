import numpy as np
import pandas as pd
import pytest

from patch2loc.figures.domain_shift import domain_shift_figure
from patch2loc.tables.domain_shift import (
    COLUMNS,
    domain_shift_layout,
    domain_shift_table,
    domain_shift_warnings,
)
from patch2loc.tables.formats import to_latex, to_markdown

DATASETS = {
    "ixi": {"title": "IXI", "modality": "T1", "simulated": False, "role": "healthy", "sites": {}},
    "wmh": {
        "title": "WMH",
        "modality": "T1",
        "simulated": False,
        "role": "lesion",
        "sites": {"a": "Utrecht", "b": "Amsterdam", "c": "Utrecht"},
    },
    "own": {"title": "Own", "modality": "T1", "simulated": False, "role": "unlabeled", "sites": {}},
}
TRAINING = {"T1": "ixi"}


def patches(errors, lesion=None):
    """Patches of scans: {subject: location errors}; `lesion`: share of each of a subject's patches."""
    rows = [
        (subject, error, share)
        for subject, of_scan in errors.items()
        for error, share in zip(of_scan, (lesion or {}).get(subject, [0.0] * len(of_scan)), strict=True)
    ]
    return pd.DataFrame(rows, columns=["subject", "location_error", "lesion_fraction"])


def table():
    healthy = patches({"h1": [3.0, 5.0], "h2": [4.0], "h3": [100.0]})  # the median scan has 4
    lesion = patches({"a": [5.0, 50.0], "b": [8.0], "c": [6.0]}, {"a": [0.0, 0.2]})
    own = patches({"o": [4.0, 10.0]})
    by_dataset = {"ixi": healthy, "wmh": lesion, "own": own}
    return domain_shift_table(
        {("patch2loc", name): [found] for name, found in by_dataset.items()}, DATASETS, TRAINING
    )


def test_errors_stand_against_the_median_healthy_test_scan():
    found = table()
    assert list(found.columns) == COLUMNS
    rows = found.set_index("subject")
    assert (rows["reference"] == 4.0).all()
    # The patch with lesion does not count; without truth all do.
    assert rows["location_error"].to_dict() == {"h1": 4, "h2": 4, "h3": 100, "a": 5, "b": 8, "c": 6, "o": 7}
    assert rows["ratio"].to_dict() == pytest.approx(
        {"h1": 1, "h2": 1, "h3": 25, "a": 1.25, "b": 2, "c": 1.5, "o": 1.75}
    )
    assert rows.index[rows["far"] == 1].tolist() == ["h3", "b", "o"]  # 1.5 times is not yet far
    assert rows.loc["b", "site"] == "Amsterdam"


def test_errors_are_averaged_over_folds_and_scans_without_a_healthy_patch_left_out():
    folds = [patches({"h": [2.0], "i": [3.0]}), patches({"h": [4.0], "i": [9.0]}, {"i": [1.0]})]
    rows = domain_shift_table({("patch2loc", "ixi"): folds}, DATASETS, TRAINING).set_index("subject")
    assert rows["location_error"].to_dict() == {"h": 3.0, "i": 3.0}
    all_lesion = patches({"h": [2.0], "i": [3.0]}, {"i": [0.5]})
    assert domain_shift_table({("patch2loc", "ixi"): [all_lesion]}, DATASETS, TRAINING)[
        "subject"
    ].tolist() == ["h"]


def test_the_table_reads_by_dataset_and_by_site_where_there_are_several():
    layout = domain_shift_layout(table(), DATASETS)
    lines = to_markdown(layout).splitlines()
    # BCa: the sample is skewed upwards, so its interval is not cut where the least of 27 resamples, 5.0, is.
    assert "| WMH, T1 | 3 | 6.3 | 5.3 to 8.0 | 1.6 | 1 of 3 |" in lines
    first = next(place for place, line in enumerate(lines) if "Amsterdam" in line)
    assert lines[first].endswith("| 1 | 8.0 | – | 2.0 | 1 of 1 |")
    assert lines[first + 1].endswith("| 2 | 5.5 | 5.0 to 6.0 | 1.4 | 0 of 2 |")
    assert "Own, T1" in to_latex(layout)


def test_a_dataset_far_from_the_training_is_warned_of():
    found = domain_shift_warnings(table(), DATASETS)
    assert [text.split(":")[0] for text in found] == ["IXI", "WMH", "Own"]
    assert "1 of 3 scans" in found[1]
    assert "2.0 times" in found[1]  # that scan, not the mean of the three
    near = table().assign(far=0)
    assert domain_shift_warnings(near, DATASETS) == []


def test_the_figure_has_every_scan_and_the_reference():
    figure = domain_shift_figure(table(), DATASETS)
    (panel,) = figure.axes
    shown = np.concatenate([line.get_xdata() for line in panel.lines if line.get_marker() == "o"])
    assert sorted(shown) == sorted(table()["location_error"])
    labels = [label.get_text() for label in panel.get_yticklabels()]
    assert labels == [
        "IXI, T1: 3 scans",
        "WMH, Utrecht, T1: 2 scans",
        "WMH, Amsterdam, T1: 1 scan",
        "Own, T1: 1 scan",
    ]
    assert {line.get_xdata()[0] for line in panel.lines if line.get_zorder() == 1} == {4.0, 6.0}


def test_another_method_has_its_own_reference_and_rows():
    healthy, other = patches({"h1": [4.0]}), patches({"h1": [8.0]})
    lesion = patches({"a": [8.0]})
    both = {
        ("patch2loc", "ixi"): [healthy],
        ("patch2loc", "wmh"): [lesion],
        ("patch2loc_robust", "ixi"): [other],
        ("patch2loc_robust", "wmh"): [lesion],
    }
    found = domain_shift_table(both, DATASETS, TRAINING)
    assert found.set_index(["method", "dataset"])["ratio"].tolist() == [1.0, 2.0, 1.0, 1.0]
    assert len(domain_shift_warnings(found, DATASETS)) == 1
    assert domain_shift_warnings(found[::-1], DATASETS) == domain_shift_warnings(found, DATASETS)
    lines = to_markdown(domain_shift_layout(found, DATASETS)).splitlines()
    assert [line for line in lines if line.startswith("| **")] == [
        "| **patch2loc** |" + "  |" * 5,
        "| **patch2loc\\_robust** |" + "  |" * 5,
    ]
    labels = [label.get_text() for label in domain_shift_figure(found, DATASETS).axes[0].get_yticklabels()]
    assert labels[:2] == ["IXI, T1: 1 scan, patch2loc", "IXI, T1: 1 scan, patch2loc_robust"]
