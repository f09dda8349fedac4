"""Table 1: rows, marks, published numbers, notes."""

import numpy as np
import pandas as pd
import pytest

from patch2loc.data.labels import dataset_heading
from patch2loc.errors import InputError
from patch2loc.tables.formats import to_latex, to_markdown, write_table
from patch2loc.tables.inputs import read_printed
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
    values = table[table["method"] == "patch2loc"].set_index(["dataset", "metric"])
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
    for superfluous in ("published", "not run", "Further rows", " of 5", "nearest"):
        assert superfluous not in markdown
    assert "| Subjects × folds | 5 × 1 | 5 × 1 |" in markdown
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
    controls = table.dropna(subset="mean").drop_duplicates("method").set_index("method")["control"]
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


PAPERS_ORDER = [
    "thresh",
    "vae",
    "svae",
    "ae",
    "dae",
    "ra",
    "phanes",
    "fae",
    "ddpm",
    "pddpm",
    "cddpm",
    "patch2loc",
]
FOUR_DATASETS = {
    name: {"title": name, "modality": "T2", "simulated": False, "published_name": name, "n_listed": count}
    for name, count in {"BraTS21": 1251, "MSLUB": 30, "ATLAS": 655, "WMH": 60}.items()
}


def rows_of(layout):
    """Texts of a layout's rows, in order."""
    return [(label, [cell.text for cell in cells]) for label, cells in layout.rows]


def test_table1_has_the_papers_twelve_rows_in_its_order_whatever_was_run(printed1):
    methods = ("zscore", "patch2loc", "patch2loc_calibrated", "thresh")
    summaries = {(m, d): summary(0.5, subjects=2) for m in methods for d in FOUR_DATASETS}
    table = table1(summaries, FOUR_DATASETS, printed1)
    assert list(table["method"].unique()) == [*PAPERS_ORDER, "zscore", "patch2loc_calibrated"]
    not_run = table[table["method"] == "ra"].set_index(["dataset", "metric"])
    assert len(not_run) == 8
    assert not_run["mean"].isna().all()
    assert not_run["published_mean"].notna().all()
    assert (not_run[["n_subjects", "n_folds"]] == 0).all(axis=None)
    assert not_run.loc[("BraTS21", "best_dice"), ["published_mean", "n_listed"]].tolist() == [0.1675, 1251]
    layout = table1_layout(table, FOUR_DATASETS, "")
    labels = [label for label, _ in rows_of(layout)]
    assert [label for label in labels if not label.startswith(" ")] == [
        "Rows of the paper's Table 1",
        "thresh",
        *("vae (not run)", "svae, re-design (not run)", "ae (not run)", "dae (not run)", "ra (not run)"),
        *("phanes (not run)", "fae (not run)", "ddpm (not run)", "pddpm (not run)", "cddpm (not run)"),
        "patch2loc",
        "Further rows",
        "zscore, control",
        "patch2loc, calibrated",
    ]
    at = labels.index("ra (not run)")
    assert rows_of(layout)[at][1] == ["–"] * 8
    assert rows_of(layout)[at + 1] == (
        "  published",
        [cell for row in printed_rows(printed1, "RA") for cell in row],
    )
    assert labels[at + 2] == "phanes (not run)"


def printed_rows(printed, method):
    """Printed texts of a method by dataset: best Dice and AUPRC."""
    rows = printed[printed["method"] == method].set_index(["dataset", "metric"])
    return [
        [
            f"{row['mean_percent']:.2f} ± {row['std_percent']:.2f}"
            for row in (rows.loc[(dataset, "dice")], rows.loc[(dataset, "auprc")])
        ]
        for dataset in FOUR_DATASETS
    ]


def test_table1_says_on_how_many_subjects_it_rests_and_how_to_run_the_rest(printed1):
    summaries = {("patch2loc", d): summary(0.5, subjects=n) for d, n in (("BraTS21", 2), ("MSLUB", 30))}
    datasets = {name: FOUR_DATASETS[name] for name in ("BraTS21", "MSLUB")}
    layout = table1_layout(table1(summaries, datasets, printed1), datasets, "")
    assert [cell.text for cell in dict(layout.footer)["Subjects × folds"]] == [
        *["2 of 1,251 × 1"] * 2,
        *["30 of 30 × 1"] * 2,
    ]
    assert layout.note.startswith("Only a part of the subjects was scored: 2 of BraTS21. ")
    assert (
        "1,152 of BraTS21, 30 of MSLUB for patch2loc; 1,151 of BraTS21, 20 of MSLUB for all other"
        in layout.note
    )
    assert "Not run: thresh; vae; svae, re-design; ae;" in layout.note
    assert "snakemake --cores 8 --configfile config/config.yaml config/table1.yaml" in layout.note
    assert "-{}-cores" in to_latex(layout)
    whole = {("patch2loc", "MSLUB"): summary(0.5, subjects=30)}
    assert "Only a part" not in table1_layout(table1(whole, datasets, printed1), datasets, "").note


def test_all_twelve_rows_leave_nothing_to_run(printed1):
    summaries = {(m, "WMH"): summary(0.5, subjects=60) for m in PAPERS_ORDER}
    note = table1_layout(table1(summaries, FOUR_DATASETS, printed1), FOUR_DATASETS, "").note
    assert "Not run" not in note
    assert "at 2 mm" in note


def with_any(table, difference):
    """A summary with the metrics of a truth that is every voxel that lesion touches, `difference` higher."""
    dilated = table.assign(metric=table["metric"] + "_any", mean=table["mean"] + difference)
    return pd.concat([table, dilated[dilated["metric"] != "auroc_any"]])


def test_the_nearest_protocol_stands_over_the_published_numbers_where_it_was_computed(printed1):
    datasets = {**DATASETS, "BraTS21": {**DATASETS["BraTS21"], "n_listed": 1251}}
    summaries = {
        ("patch2loc", "BraTS21"): with_any(summary(0.5), 0.01),
        ("ae", "BraTS21"): with_any(summary(0.2), 0.01),
        ("ae_as_published", "BraTS21"): with_any(summary(0.3), 0.02),
        ("zscore", "BraTS21"): with_any(summary(0.4), 0.01),
    }
    table = table1(summaries, datasets, printed1)
    assert table.set_index(["method", "metric"]).loc[("ae_as_published", "auprc_any"), "mean"] == 0.32
    layout = table1_layout(table, datasets, "")
    labels = [label for label, _ in layout.rows]
    ae, patch2loc = labels.index("ae"), labels.index("patch2loc")
    # The row of the authors' post-processing where there is one, else the row itself.
    assert rows_of(layout)[ae + 2] == ("  nearest protocol", ["42.0", "32.0"])
    assert rows_of(layout)[patch2loc + 2] == ("  nearest protocol", ["61.0", "51.0"])
    assert labels[ae + 3] == labels[patch2loc + 3] == "  published"
    assert labels.count("  nearest protocol") == 2
    assert "every voxel that lesion touches" in layout.note
    simulated = {("patch2loc", "phantom_ms"): with_any(summary(0.5), 0.01)}
    layout = table1_layout(table1(simulated, {"phantom_ms": DATASETS["phantom_ms"]}, printed1), datasets, "")
    assert "nearest" not in to_markdown(layout).lower()


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
