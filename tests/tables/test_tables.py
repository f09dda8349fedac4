import numpy as np
import pandas as pd
import pytest

from patch2loc.data.labels import dataset_heading
from patch2loc.errors import InputError
from patch2loc.tables.cases import CASES_COLUMNS, cases
from patch2loc.tables.formats import escape_latex, to_html, to_latex, to_markdown, write_table
from patch2loc.tables.inputs import read_printed
from patch2loc.tables.layout import Cell, Emphasis, Layout, interval, number, percent, signed_percent, spread
from patch2loc.tables.table1 import TABLE1_COLUMNS, table1, table1_layout

PUBLISHED = "config/published"
DATASETS = {
    "BraTS21": {"title": "BraTS 21", "modality": "T2", "simulated": False, "published_name": "BraTS21"},
    "phantom_ms": {"title": "phantom MS", "modality": "T2", "simulated": True, "published_name": None},
}


@pytest.fixture
def printed1(request):
    return read_printed(request.config.rootpath / PUBLISHED / "table1.csv")


def summary(mean, sd=np.nan, subjects=5):
    return pd.DataFrame(
        {
            "metric": ["auprc", "best_dice", "auroc"],
            "mean": [mean, mean + 0.1, 0.9],
            "sd": sd,
            "ci_low": mean - 0.05,
            "ci_high": mean + 0.05,
            "n_subjects": subjects,
            "n_folds": 1,
            "prevalence": 0.0213,
        }
    )


def test_published_table_is_whole(printed1):
    assert len(printed1) == 12 * 4 * 2
    chosen = printed1[(printed1["method"] == "Patch2Loc") & (printed1["dataset"] == "ATLAS")]
    assert chosen.set_index("metric")["mean_percent"].to_dict() == {"dice": 25.5, "auprc": 22.0}
    assert printed1["source"].str.contains("AISTATS 2026").all()


def test_missing_published_numbers_name_the_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv: no such file"):
        read_printed(tmp_path / "none.csv")


def test_table1_sets_published_values_only_beside_the_papers_data(printed1):
    table = table1({("patch2loc", name): summary(0.5) for name in DATASETS}, DATASETS, printed1)
    assert list(table.columns) == TABLE1_COLUMNS
    values = table.set_index(["dataset", "metric"])
    assert values.loc[("BraTS21", "auprc"), "published_mean"] == pytest.approx(0.554)
    assert values.loc[("BraTS21", "best_dice"), "published_sd"] == pytest.approx(0.0145)
    assert np.isnan(values.loc[("BraTS21", "auroc"), "published_mean"])
    assert values.loc["phantom_ms", "published_mean"].isna().all()
    assert values.loc["phantom_ms", "simulated"].eq(1).all()
    assert values.loc["BraTS21", "simulated"].eq(0).all()


def test_table1_leaves_healthy_scans_out(printed1):
    found = table1({("patch2loc", "phantom_ms"): summary(np.nan, subjects=0)}, DATASETS, printed1)
    assert list(found.columns) == TABLE1_COLUMNS
    assert found.empty


def test_table1_marks_best_and_second_and_labels_simulated_data(printed1):
    summaries = {(m, "phantom_ms"): summary(v, 0.012) for m, v in (("a", 0.2), ("b", 0.5), ("c", 0.4))}
    layout = table1_layout(table1(summaries, DATASETS, printed1), DATASETS, "Inside the mask.")
    markdown = to_markdown(layout)
    assert "phantom MS, T2 (simulated): Dice [%]" in markdown
    assert "| b | **60.0 ± 1.2** | **50.0 ± 1.2** |" in markdown
    assert "| c | <u>50.0 ± 1.2</u> | <u>40.0 ± 1.2</u> |" in markdown
    assert "| a | 30.0 ± 1.2 | 20.0 ± 1.2 |" in markdown
    assert "| 95 % interval | 45.0–55.0 | 45.0–55.0 |" in markdown
    assert "| Lesion prevalence [%] | 2.13 | 2.13 |" in markdown
    assert "Inside the mask." in markdown
    assert "published" not in markdown
    latex = to_latex(layout)
    assert r"b & \textbf{60.0 $\pm$ 1.2} & \textbf{50.0 $\pm$ 1.2} \\" in latex
    assert r"\underline{40.0 $\pm$ 1.2}" in latex
    assert r"\multicolumn{2}{c}{phantom MS, T2 (simulated)}" in latex
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert rule in latex


def test_table1_shows_what_the_paper_printed_and_marks_no_lonely_method(printed1):
    summaries = {("Patch2Loc", name): summary(0.5) for name in DATASETS}
    markdown = to_markdown(table1_layout(table1(summaries, DATASETS, printed1), DATASETS, ""))
    assert "| published | 59.50 ± 1.45 | 55.40 ± 1.30 | – | – |" in markdown
    assert "| Patch2Loc | 60.0 | 50.0 | 60.0 | 50.0 |" in markdown


def test_table1_says_what_a_calibrated_score_is_and_sets_nothing_published_beside_it(printed1):
    summaries = {(m, "BraTS21"): summary(v) for m, v in (("patch2loc", 0.5), ("patch2loc_calibrated", 0.6))}
    table = table1(summaries, DATASETS, printed1)
    assert table.set_index("method").loc["patch2loc_calibrated", "published_mean"].isna().all()
    markdown = to_markdown(table1_layout(table, DATASETS, ""))
    assert "| patch2loc, calibrated | **70.0** | **60.0** |" in markdown
    assert "healthy validation scans" in markdown
    alone = table1({("patch2loc", "BraTS21"): summary(0.5)}, DATASETS, printed1)
    assert "healthy validation scans" not in to_markdown(table1_layout(alone, DATASETS, ""))


def test_table1_marks_controls_and_gives_the_truth_no_place_among_the_best(printed1):
    means = {"patch2loc": 0.2, "oracle": 0.9, "zscore": 0.5, "random": 0.1}
    table = table1({(m, "BraTS21"): summary(v) for m, v in means.items()}, DATASETS, printed1)
    controls = table.drop_duplicates("method").set_index("method")["control"]
    assert controls.to_dict() == {"patch2loc": 0, "oracle": 1, "zscore": 1, "random": 1}
    markdown = to_markdown(table1_layout(table, DATASETS, ""))
    assert "| oracle, control | 100.0 | 90.0 |" in markdown
    assert "| zscore, control | **60.0** | **50.0** |" in markdown
    assert "| patch2loc | <u>30.0</u> | <u>20.0</u> |" in markdown
    assert "others must beat" in markdown
    assert "out of competition" in markdown
    plain = table1({("patch2loc", "BraTS21"): summary(0.5)}, DATASETS, printed1)
    assert "others must beat" not in to_markdown(table1_layout(plain, DATASETS, ""))
    some = table1({("random", "BraTS21"): summary(0.5)}, DATASETS, printed1)
    assert "out of competition" not in to_markdown(table1_layout(some, DATASETS, ""))


@pytest.mark.parametrize(
    ("plain", "latex"),
    [
        ("a_b & 5 %", r"a\_b \& 5 \%"),
        ("{x}^~$#", r"\{x\}\textasciicircum{}\textasciitilde{}\$\#"),
        ("\\cmd", r"\textbackslash{}cmd"),
        ("1 ± 2 – 3", r"1 $\pm$ 2 -- 3"),
    ],
)
def test_latex_escapes(plain, latex):
    assert escape_latex(plain) == latex


def test_every_format_escapes_its_own_special_characters():
    layout = Layout(
        number="Table 9",
        title="A|B",
        stub="m",
        groups=[("g<1>", 1)],
        columns=["c_1"],
        rows=[("r*", [Cell("x|y", Emphasis.BEST)])],
    )
    assert "| r\\* | **x\\|y** |" in to_markdown(layout)
    page = to_html(layout)
    assert "g&lt;1&gt;" in page
    assert "<b>x|y</b>" in page
    assert r"c\_1" in to_latex(layout)


def test_a_row_without_cells_is_a_heading():
    layout = Layout(
        number="Table 9",
        title="t",
        stub="m",
        groups=[("g", 2)],
        columns=["a", "b"],
        rows=[("first_part", []), ("  r", [Cell("1"), Cell("2")])],
    )
    assert "| **first\\_part** |  |  |\n| r | 1 | 2 |" in to_markdown(layout)
    assert "\\multicolumn{3}{l}{\\textit{first\\_part}} \\\\\n\\quad r & 1 & 2" in to_latex(layout)
    assert '<tr><th scope="rowgroup" colspan="3">first_part</th></tr>' in to_html(layout)


def test_a_long_latex_table_goes_on_at_a_heading():
    rows = [
        row
        for dataset in range(4)
        for row in [
            (f"dataset {dataset}", []),
            *((f" method {dataset}{n}", [Cell(f"value {dataset}{n}")]) for n in range(19)),
        ]
    ]
    layout = Layout("Table", "Long", "", [("A", 1)], ["b"], rows, [("Scans", [Cell("3")])], "A note.")
    first, second = to_latex(layout).split(r"\end{table}")[:2]
    assert [first.count("value"), second.count("value")] == [38, 38]
    assert r"\textit{dataset 2}" in second
    assert "A note." in first
    assert r"\caption{Long, continued.}" in second
    assert r"\addtocounter{table}{-1}" in second
    assert "Scans" not in first
    assert "Scans" in second


@pytest.mark.parametrize(
    ("low", "high", "text"), [(0.1, 0.25, "10.0–25.0"), (-0.1, 0.02, "−10.0 to 2.0"), (np.nan, np.nan, "–")]
)
def test_intervals_are_read_as_meant(low, high, text):
    assert interval({"ci_low": low, "ci_high": high}) == text


def test_numbers_that_are_missing_are_dashes():
    assert (percent(0.1234), number(1.25, 0), percent(np.nan), number(np.nan, 3)) == ("12.3", "1", "–", "–")
    assert (number(-1.5, 1), number(-0.01, 1), signed_percent(0.02), signed_percent(-0.02)) == (
        "−1.5",
        "0.0",
        "+2.0",
        "−2.0",
    )
    assert signed_percent(1e-6) == signed_percent(-1e-6) == "0.0"
    assert (spread(0.5, 0.01), spread(0.5, np.nan), spread(np.nan, np.nan)) == ("50.0 ± 1.0", "50.0", "–")


def test_headings_name_simulated_data_and_count_scans():
    assert dataset_heading("phantom_ms", DATASETS, 3) == "phantom MS, T2 (simulated): 3 scans"
    assert dataset_heading("BraTS21", DATASETS, 1) == "BraTS 21, T2: 1 scan"


def test_written_tables_agree(tmp_path, printed1):
    table = table1({("patch2loc", "BraTS21"): summary(0.5)}, DATASETS, printed1)
    suffixes = {"csv": "csv", "markdown": "md", "latex": "tex", "html": "html"}
    paths = {kind: tmp_path / f"table1.{suffix}" for kind, suffix in suffixes.items()}
    write_table(table, table1_layout(table, DATASETS, "protocol"), **paths)
    pd.testing.assert_frame_equal(pd.read_csv(paths["csv"]), table, check_dtype=False)
    first = [path.read_bytes() for path in paths.values()]
    write_table(table, table1_layout(table, DATASETS, "protocol"), **paths)
    assert first == [path.read_bytes() for path in paths.values()]


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
