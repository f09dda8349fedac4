import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from patch2loc.correlation import lesion_correlations, partial_patches, spearman
from patch2loc.errors import InputError
from patch2loc.evaluate import resampling_counts
from patch2loc.table_formats import Cell, Emphasis, Layout, escape_latex, to_html, to_latex, to_markdown
from patch2loc.tables import (
    CASES_COLUMNS,
    TABLE1_COLUMNS,
    TABLE2_COLUMNS,
    cases,
    read_published,
    table1,
    table1_layout,
    table2,
    table2_layout,
    write_table,
)

PUBLISHED = "config/published"
DATASETS = {
    "BraTS21": {"title": "BraTS 21", "modality": "T2", "simulated": False, "published_name": "BraTS21"},
    "phantom_ms": {"title": "phantom MS", "modality": "T2", "simulated": True, "published_name": None},
}


@pytest.fixture
def published1(request):
    return read_published(request.config.rootpath / PUBLISHED / "table1.csv")


@pytest.fixture
def published2(request):
    return read_published(request.config.rootpath / PUBLISHED / "table2.csv")


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


def patches(subjects=6, per_subject=40, seed=0, slope=1.0):
    generator = np.random.default_rng(seed)
    fraction = generator.random(subjects * per_subject)
    fraction[::3] = 0
    error = slope * fraction + generator.normal(0, 0.3, fraction.size)
    variance = slope * fraction + generator.normal(0, 0.5, fraction.size)
    return pd.DataFrame(
        {
            "subject": np.repeat([f"sub-{number}" for number in range(subjects)], per_subject),
            "lesion_fraction": fraction,
            "log_error": error,
            "log_variance": variance,
            "score": error + variance,
        }
    )


def test_published_tables_are_whole(published1, published2):
    assert len(published1) == 12 * 4 * 2
    assert len(published2) == 3 * 4
    chosen = published1[(published1["method"] == "Patch2Loc") & (published1["dataset"] == "ATLAS")]
    assert chosen.set_index("metric")["mean_percent"].to_dict() == {"dice": 25.5, "auprc": 22.0}
    assert published1["source"].str.contains("AISTATS 2026").all()


def test_missing_published_numbers_name_the_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv: no such file"):
        read_published(tmp_path / "none.csv")


def test_table1_sets_published_values_only_beside_the_papers_data(published1):
    table = table1({("patch2loc", name): summary(0.5) for name in DATASETS}, DATASETS, published1)
    assert list(table.columns) == TABLE1_COLUMNS
    values = table.set_index(["dataset", "metric"])
    assert values.loc[("BraTS21", "auprc"), "published_mean"] == pytest.approx(0.554)
    assert values.loc[("BraTS21", "best_dice"), "published_sd"] == pytest.approx(0.0145)
    assert np.isnan(values.loc[("BraTS21", "auroc"), "published_mean"])
    assert values.loc["phantom_ms", "published_mean"].isna().all()
    assert values.loc["phantom_ms", "simulated"].eq(1).all()
    assert values.loc["BraTS21", "simulated"].eq(0).all()


def test_table1_leaves_healthy_scans_out(published1):
    found = table1({("patch2loc", "phantom_ms"): summary(np.nan, subjects=0)}, DATASETS, published1)
    assert list(found.columns) == TABLE1_COLUMNS
    assert found.empty


def test_table1_marks_best_and_second_and_labels_simulated_data(published1):
    summaries = {(m, "phantom_ms"): summary(v, 0.012) for m, v in (("a", 0.2), ("b", 0.5), ("c", 0.4))}
    layout = table1_layout(table1(summaries, DATASETS, published1), DATASETS, "Inside the mask.")
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


def test_table1_shows_what_the_paper_printed_and_marks_no_lonely_method(published1):
    summaries = {("Patch2Loc", name): summary(0.5) for name in DATASETS}
    markdown = to_markdown(table1_layout(table1(summaries, DATASETS, published1), DATASETS, ""))
    assert "| published | 59.50 ± 1.45 | 55.40 ± 1.30 | – | – |" in markdown
    assert "| Patch2Loc | 60.0 | 50.0 | 60.0 | 50.0 |" in markdown


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


def test_written_tables_agree(tmp_path, published1):
    table = table1({("patch2loc", "BraTS21"): summary(0.5)}, DATASETS, published1)
    paths = [tmp_path / f"table1.{suffix}" for suffix in ("csv", "md", "tex")]
    write_table(table, table1_layout(table, DATASETS, "protocol"), *paths)
    pd.testing.assert_frame_equal(pd.read_csv(paths[0]), table, check_dtype=False)
    first = [path.read_bytes() for path in paths]
    write_table(table, table1_layout(table, DATASETS, "protocol"), *paths)
    assert first == [path.read_bytes() for path in paths]


def test_spearman_agrees_with_scipy_also_with_ties():
    generator = np.random.default_rng(0)
    first = generator.integers(0, 6, 200)
    second = first + generator.normal(0, 3, 200)
    assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic, abs=1e-12)
    assert np.isnan(spearman(np.array([1, 2]), np.array([1, 2])))
    assert np.isnan(spearman(np.ones(9), np.arange(9)))


def test_partial_patches_keep_both_ends():
    table = pd.DataFrame({"lesion_fraction": [0.0, 0.0999, 0.1, 0.5, 0.9, 0.9001, 1.0]})
    assert partial_patches(table)["lesion_fraction"].tolist() == [0.1, 0.5, 0.9]


def test_bootstrap_of_correlations_equals_ranking_each_resample_anew():
    table = patches(subjects=4, per_subject=15)
    found = lesion_correlations(table, seed=3, resamples=50).set_index("quantity")
    drawn = []
    for counts in resampling_counts(4, 3, 50):
        names = np.repeat([f"sub-{number}" for number in range(4)], counts)
        resample = pd.concat([table[table["subject"] == name] for name in names])
        drawn.append(spearmanr(resample["lesion_fraction"], resample["score"]).statistic)
    expected = np.quantile(drawn, [0.025, 0.975])
    assert found.loc["score", ["ci_low", "ci_high"]].to_numpy(float) == pytest.approx(expected, abs=1e-12)
    assert found.loc["score", "ci_low"] <= found.loc["score", "spearman"] <= found.loc["score", "ci_high"]


def test_correlations_of_too_few_or_incomplete_patches():
    table = patches(subjects=2, per_subject=4)
    assert lesion_correlations(table.head(2))["spearman"].isna().all()
    assert lesion_correlations(table.head(0))["n_patches"].eq(0).all()
    one = lesion_correlations(table.head(4))
    assert one["spearman"].notna().all()
    assert one["ci_low"].isna().all()
    table.loc[0, "score"] = np.nan
    assert lesion_correlations(table)["n_patches"].eq(7).all()


def test_table2_averages_folds_and_sets_published_values_beside_partial_patches(published2):
    folds = [patches(seed=1), patches(seed=2)]
    table = table2({"BraTS21": folds, "phantom_ms": [patches(seed=3, slope=0)]}, DATASETS, published2)
    assert list(table.columns) == TABLE2_COLUMNS
    values = table.set_index(["dataset", "patches", "quantity"]).sort_index()
    row = values.loc[("BraTS21", "all", "score")]
    each = [spearmanr(fold["lesion_fraction"], fold["score"]).statistic for fold in folds]
    assert row["spearman"] == pytest.approx(np.mean(each))
    assert row["sd"] == pytest.approx(np.std(each, ddof=1))
    assert (row["n_patches"], row["n_subjects"], row["n_folds"]) == (240, 6, 2)
    assert np.isnan(row["published_spearman"])
    assert values.loc[("BraTS21", "partial", "score"), "published_spearman"] == pytest.approx(0.40)
    assert values.loc["phantom_ms", "published_spearman"].isna().all()
    markdown = to_markdown(table2_layout(table, DATASETS))
    assert "BraTS 21, T2: published" in markdown
    assert "phantom MS, T2 (simulated): all" in markdown
    assert "| 40 |" in markdown


def test_table2_without_any_partial_patch_shows_a_dash(published2):
    table = patches()
    table["lesion_fraction"] = np.where(table["lesion_fraction"] > 0.5, 0.05, 0.0)
    found = table2({"phantom_ms": [table]}, DATASETS, published2)
    assert found.loc[found["patches"] == "partial", "spearman"].isna().all()
    assert "| Score | – [–] |" in to_markdown(table2_layout(found, DATASETS))
    assert "0 / 0" in to_markdown(table2_layout(found, DATASETS))


def test_cases_are_means_over_folds():
    def fold(auprc):
        row = {
            name: 0.5 for name in CASES_COLUMNS if name not in ("method", "dataset", "modality", "simulated")
        }
        return pd.DataFrame([row | {"subject": "a", "auprc": auprc}])

    datasets = {"phantom": {"modality": "T2", "simulated": True, "published_name": None}}
    found = cases({("thresh", "phantom"): [fold(0.2), fold(0.4)]}, datasets)
    assert len(found) == 1
    assert found.loc[0, "auprc"] == pytest.approx(0.3)
    assert found.loc[0, ["method", "dataset", "modality", "simulated"]].tolist() == [
        "thresh",
        "phantom",
        "T2",
        1,
    ]
