"""The table of answers about scans without truth: its order, what a row holds, what stands below."""

import pandas as pd
import pytest

from patch2loc.files import write_csv, write_json
from patch2loc.own_scan.answer import CANDIDATE_COLUMNS
from patch2loc.own_scan.candidate_table import with_warnings
from patch2loc.tables.formats import to_html, to_latex, to_markdown
from patch2loc.tables.patients import COLUMNS, patient_layout, patient_table

DATASETS = {
    "clinic": {
        "title": "Clinic",
        "modality": "T1",
        "role": "unlabeled",
        "simulated": False,
        "published_name": None,
    }
}


def write_answer(root, subject, percentile, candidates, *, warnings=(), flags=()):
    """Folder of an answer, as `detect` writes it; candidates: (ml, excess) of each."""
    folder = root / "patients" / "clinic" / subject
    rows = [
        dict.fromkeys(CANDIDATE_COLUMNS, 0)
        | {"label": label, "volume_ml": ml, "excess": excess, "x_mm": -32.4, "y_mm": 10, "z_mm": 0.2}
        | {"side": "left", "tissue": "white matter", "percentile": 97.5}
        for label, (ml, excess) in enumerate(candidates, start=1)
    ]
    table = with_warnings(pd.DataFrame(rows, columns=CANDIDATE_COLUMNS), " ".join(warnings), judged=True)
    write_csv(folder / "candidates.csv", table)
    summary = {
        "percentile": percentile,
        "n_healthy": 30,
        "candidates": len(candidates),
        "abnormal_ml": sum(ml for ml, _ in candidates),
        "expected_healthy_ml": {"median": 0.4, "most": 3.2},
        "location_error": {"scan": 6.25, "healthy_median": 5.1},
        "map": "joined",
        "threshold": 3.0,
        "warnings": [{"name": name, "message": "a sentence"} for name in warnings],
        "flags": list(flags),
    }
    write_json(folder / "summary.json", summary)
    return "clinic", folder


@pytest.fixture
def table(tmp_path):
    left_out = tmp_path / "patients" / "clinic" / "p0"
    write_json(left_out / "summary.json", {"scan": "p0.nii", "left_out": "p0.nii: no brain found"})
    folders = [
        ("clinic", left_out),
        write_answer(tmp_path, "p1", 50.0, [], warnings=["thick"]),
        write_answer(tmp_path, "p2", 100.0, [(4.0, 9.0), (0.5, 0.25)], warnings=["age"], flags=["dark"]),
        write_answer(tmp_path, "p3", 100.0, [(2.0, 16.0), (0.3, 8.1), (0.2, 6.3)]),
    ]
    return patient_table(folders, DATASETS, tmp_path / "tables")


def test_the_most_abnormal_scan_is_first_and_one_without_an_answer_last(table):
    assert list(table.columns) == COLUMNS
    assert table["subject"].tolist() == ["p3", "p2", "p1", "p0"]
    assert table["rank"].tolist() == [1, 2, 3, 4]
    assert table["excess"].tolist()[:3] == [30.4, 9.25, 0.0]


def test_a_row_has_the_answer_and_its_first_candidate(table):
    row = table[table["subject"] == "p2"].iloc[0]
    assert (row["abnormal_ml"], row["candidates"], row["first_volume_ml"]) == (4.5, 2, 4.0)
    assert (row["first_x_mm"], row["first_side"], row["first_tissue"]) == (-32.4, "left", "white matter")
    assert (row["location_error"], row["healthy_location_error"], row["n_healthy"]) == (6.25, 5.1, 30)
    assert (row["healthy_ml_median"], row["healthy_ml_most"]) == (0.4, 3.2)
    assert (row["warnings"], row["flags"], row["simulated"]) == ("age", "dark", 0)
    assert row["page"] == "patients/clinic/p2/report.html"
    without, left_out = table.iloc[2], table.iloc[3]
    assert pd.isna(without["first_volume_ml"])
    assert (without["candidates"], without["warnings"]) == (0, "thick")
    assert (left_out["left_out"], left_out["page"]) == ("p0.nii: no brain found", "")
    assert pd.isna(left_out["percentile"])


def test_what_is_read_has_the_healthy_scans_below_and_says_who_they_are(table):
    layout = patient_layout(table, DATASETS, {"T1": "test scans of Controls in fold 0"})
    texts = {label: [cell.text for cell in cells] for label, cells in layout.rows}
    assert texts["2. Clinic: p2"] == [
        *("100", "4.5", "2", "4.0", "−32, 10, 0 (left)", "white matter", "6.2", "age; dark")
    ]
    assert texts["3. Clinic: p1"][:6] == ["50", "0.0", "0", "–", "–", "–"]
    assert texts["4. Clinic: p0"][-1] == "left out: p0.nii: no brain found"
    assert [(label, cells[1].text) for label, cells in layout.footer] == [
        ("30 healthy scans, T1: median", "0.4"),
        ("30 healthy scans, T1: 95 % have at most", "3.2"),
    ]
    for text in (to_markdown(layout), to_latex(layout), to_html(layout)):
        assert "test scans of Controls in fold 0" in text


def test_scans_of_which_none_has_an_answer_make_a_table(tmp_path):
    folder = tmp_path / "patients" / "clinic" / "p0"
    write_json(folder / "summary.json", {"left_out": "no brain found"})
    table = patient_table([("clinic", folder)], DATASETS, tmp_path / "tables")
    layout = patient_layout(table, DATASETS, {"T1": "test scans"})
    assert (len(table), len(layout.rows), layout.footer) == (1, 1, [])
