import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from patch2loc.metrics.correlation import lesion_correlations, partial_patches, spearman
from patch2loc.metrics.resampling import resampling_counts
from patch2loc.tables.formats import to_markdown
from patch2loc.tables.inputs import read_printed
from patch2loc.tables.table2 import COLUMNS, table2, table2_layout

DATASETS = {
    "BraTS21": {"title": "BraTS 21", "modality": "T2", "simulated": False, "published_name": "BraTS21"},
    "phantom_ms": {"title": "phantom MS", "modality": "T2", "simulated": True, "published_name": None},
}


@pytest.fixture
def printed(request):
    return read_printed(request.config.rootpath / "config/published/table2.csv")


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
    found = lesion_correlations([table], seed=3, resamples=50).set_index("quantity")
    drawn = []
    for counts in resampling_counts(4, 1, 3, 50)[0]:
        names = np.repeat([f"sub-{number}" for number in range(4)], counts.astype(int))
        resample = pd.concat([table[table["subject"] == name] for name in names])
        drawn.append(spearmanr(resample["lesion_fraction"], resample["score"]).statistic)
    expected = np.quantile(drawn, [0.025, 0.975])
    assert found.loc["score", ["ci_low", "ci_high"]].to_numpy(float) == pytest.approx(expected, abs=1e-12)
    assert found.loc["score", "ci_low"] <= found.loc["score", "spearman"] <= found.loc["score", "ci_high"]


def test_correlations_of_too_few_or_incomplete_patches():
    table = patches(subjects=2, per_subject=4)
    assert lesion_correlations([table.head(2)])["spearman"].isna().all()
    assert lesion_correlations([table.head(0)])["n_patches"].eq(0).all()
    one = lesion_correlations([table.head(4)])
    assert one["spearman"].notna().all()
    assert one["ci_low"].isna().all()
    table.loc[0, "score"] = np.nan
    assert lesion_correlations([table])["n_patches"].eq(7).all()


def test_table2_averages_folds_and_sets_published_values_beside_both_choices_of_patches(printed):
    folds = [patches(seed=1), patches(seed=2)]
    table = table2({"BraTS21": folds, "phantom_ms": [patches(seed=3, slope=0)]}, DATASETS, printed)
    assert list(table.columns) == COLUMNS
    values = table.set_index(["dataset", "patches", "quantity"]).sort_index()
    row = values.loc[("BraTS21", "all", "score")]
    each = [spearmanr(fold["lesion_fraction"], fold["score"]).statistic for fold in folds]
    assert row["spearman"] == pytest.approx(np.mean(each))
    assert row["sd"] == pytest.approx(np.std(each, ddof=1))
    assert (row["n_patches"], row["n_subjects"], row["n_folds"]) == (240, 6, 2)
    assert row["published_spearman"] == 0.4  # the released code's choice is all, the text's partial
    assert values.loc[("BraTS21", "partial", "score"), "published_spearman"] == pytest.approx(0.40)
    assert values.loc["phantom_ms", "published_spearman"].isna().all()
    markdown = to_markdown(table2_layout(table, DATASETS))
    assert "BraTS 21, T2: published" in markdown
    assert "phantom MS, T2 (simulated): all" in markdown
    assert "| 40 |" in markdown


def test_table2_without_any_partial_patch_shows_a_dash(printed):
    table = patches()
    table["lesion_fraction"] = np.where(table["lesion_fraction"] > 0.5, 0.05, 0.0)
    found = table2({"phantom_ms": [table]}, DATASETS, printed)
    assert found.loc[found["patches"] == "partial", "spearman"].isna().all()
    assert "| Score | – [–] |" in to_markdown(table2_layout(found, DATASETS))
    assert "0 / 0" in to_markdown(table2_layout(found, DATASETS))


def test_published_table_is_whole(printed):
    assert len(printed) == 3 * 4


def test_the_interval_is_that_of_the_mean_over_drawn_folds_with_the_same_subjects_drawn():
    folds = [patches(subjects=4, per_subject=15, seed=seed) for seed in (1, 2)]
    found = lesion_correlations(folds, seed=3, resamples=40).set_index("quantity").loc["log_error"]
    drawn = []
    for counts, fold_counts in zip(*resampling_counts(4, 2, 3, 40), strict=True):
        names = np.repeat([f"sub-{number}" for number in range(4)], counts.astype(int))
        resampled = [pd.concat([fold[fold["subject"] == name] for name in names]) for fold in folds]
        by_fold = [spearmanr(part["lesion_fraction"], part["log_error"]).statistic for part in resampled]
        drawn.append(np.average(by_fold, weights=fold_counts))
    expected = np.quantile(drawn, [0.025, 0.975])
    assert found[["ci_low", "ci_high"]].to_numpy(float) == pytest.approx(expected, abs=1e-12)


def test_a_fold_without_a_correlation_is_left_out_of_the_estimate_and_of_the_interval():
    defined = patches(subjects=5, per_subject=12, seed=1)
    constant = defined.assign(log_error=1.0)  # no correlation, of the log-error alone
    found = lesion_correlations([defined, constant], seed=3).set_index("quantity")
    alone = lesion_correlations([defined], seed=3).set_index("quantity")
    assert found.loc["log_error", "spearman"] == alone.loc["log_error", "spearman"]
    low, high = found.loc["log_error", ["ci_low", "ci_high"]]
    assert low < found.loc["log_error", "spearman"] < high
    expected = alone.loc["log_error", ["ci_low", "ci_high"]].to_numpy(float)
    assert (low, high) == pytest.approx(expected, abs=0.1)  # other resamples of the same subjects
    assert np.isnan(
        lesion_correlations([constant, constant]).set_index("quantity").loc["log_error", "ci_low"]
    )


@pytest.mark.parametrize("correlation", ["partial", "all"])
def test_table2_of_one_choice_of_patches_is_a_part_of_that_of_both(printed, correlation):
    given = {"BraTS21": [patches(seed=1), patches(seed=2)]}
    both, one = table2(given, DATASETS, printed), table2(given, DATASETS, printed, correlation=correlation)
    pd.testing.assert_frame_equal(one, both[both["patches"] == correlation].reset_index(drop=True))
    markdown = to_markdown(table2_layout(one, DATASETS))
    assert f"BraTS 21, T2: {correlation}" in markdown
    assert "BraTS 21, T2: published" in markdown
    assert markdown.count("BraTS 21, T2: ") == 2
