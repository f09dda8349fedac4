import numpy as np
import pandas as pd
import pytest

from patch2loc.tables.comparison import (
    COMPARISON_COLUMNS,
    comparison_layout,
    comparison_table,
    family,
    holm,
)
from patch2loc.tables.formats import to_latex, to_markdown
from patch2loc.tables.released_code import RELEASED_CODE_COLUMNS, released_code_layout, released_code_table

DATASETS = {
    "strokes": {"title": "strokes", "modality": "T1", "simulated": True},
    "ms": {"title": "MS", "modality": "T2", "simulated": False},
}
SCANS = 9


def metrics(dice, auprc=0.5):
    names = [f"sub-{number}" for number in range(len(dice))]
    return pd.DataFrame({"subject": names, "best_dice": dice, "auprc": auprc})


@pytest.fixture
def scores():
    """Three methods on two datasets; the second is always better than the first, the third is like the first."""
    generator = np.random.default_rng(0)
    first = generator.uniform(0.2, 0.6, SCANS)
    made = {"patch2loc": first, "ae": first + generator.uniform(0.05, 0.15, SCANS), "zscore": first[::-1]}
    return {(method, name): [metrics(dice)] for method, dice in made.items() for name in DATASETS}


def test_pairs_are_compared_on_the_same_scans(scores):
    table = comparison_table(scores, DATASETS)
    assert list(table.columns) == COMPARISON_COLUMNS
    assert len(table) == 2 * 2 * 3  # datasets, measures, pairs
    row = table.query(
        "dataset == 'strokes' and metric == 'best_dice' and method == 'patch2loc' and other == 'ae'"
    ).iloc[0]
    dice = {method: scores[method, "strokes"][0]["best_dice"] for method in ("patch2loc", "ae")}
    difference = (dice["patch2loc"] - dice["ae"]).to_numpy()
    assert row["difference"] == pytest.approx(difference.mean())
    assert row["ci_low"] < row["difference"] < row["ci_high"] < 0
    assert row["p"] == pytest.approx(2 / 2**SCANS)  # all nine agree: two of 2^9 signs are as extreme
    # Paired: the interval of the difference is far narrower than the scans differ.
    assert row["ci_high"] - row["ci_low"] < difference.std() * 2
    assert (row["n_subjects"], row["n_folds"], row["simulated"]) == (SCANS, 1, 1)


def test_only_the_family_that_was_fixed_beforehand_is_corrected(scores):
    table = comparison_table(scores, DATASETS)
    primary, others = table[table["family"] == "primary"], table[table["family"] == "exploratory"]
    assert set(primary[["method", "other"]].itertuples(index=False, name=None)) == {("patch2loc", "ae")}
    for _, part in primary.groupby("dataset"):
        assert len(part) == 2  # measures
        np.testing.assert_allclose(part["p_holm"], holm(part["p"].to_numpy()))
        assert part["p_holm"].min() == pytest.approx(2 * part["p"].min())
    assert others["p_holm"].isna().all()
    assert others["p"].notna().all()


def test_the_family_is_patch2loc_with_the_rows_of_table_1_under_the_common_protocol():
    assert family("patch2loc", "cddpm") == family("thresh", "patch2loc") == "primary"
    others = (
        "zscore",
        "patch2loc_robust",
        "fae_patch2loc",
        "dae_patch2loc",
        "patch2loc_inpainted",
        "ae_as_published",
        "patch2loc_calibrated",
        "a_mean",
    )
    assert {family("patch2loc", other) for other in others} == {"exploratory"}
    assert family("ae", "cddpm") == "exploratory"


def test_p_of_a_primary_comparison_stays_when_a_control_is_added(scores):
    without = {key: folds for key, folds in scores.items() if key[0] != "zscore"}
    pair = "method == 'patch2loc' and other == 'ae'"
    before, after = (comparison_table(made, DATASETS).query(pair) for made in (without, scores))
    pd.testing.assert_frame_equal(before.reset_index(drop=True), after.reset_index(drop=True))


def test_trainings_that_differ_widen_the_interval_of_a_difference_and_not_its_mean():
    generator = np.random.default_rng(3)
    first = generator.uniform(0.3, 0.5, 20)
    second = first - 0.02 + generator.normal(0, 0.01, 20)
    steady = {("a", "ms"): [metrics(first)] * 4, ("b", "ms"): [metrics(second)] * 4}
    shifted = [metrics(first + shift) for shift in (-0.05, -0.02, 0.03, 0.04)]
    steady, unsteady = (
        comparison_table(made, DATASETS).set_index("metric").loc["best_dice"]
        for made in (steady, steady | {("a", "ms"): shifted})
    )
    assert unsteady["difference"] == pytest.approx(steady["difference"])
    assert steady["ci_low"] > 0 > unsteady["ci_low"]
    assert unsteady["p"] == pytest.approx(steady["p"])  # that of the trainings there are


def test_folds_are_averaged_before_and_scans_matched_by_name():
    first = [metrics([0.2, 0.4]), metrics([0.4, 0.8])]
    second = [fold.assign(best_dice=fold["best_dice"] - [0.1, 0.3]).iloc[::-1] for fold in first]
    extra = pd.concat([second[0], pd.DataFrame({"subject": ["other"], "best_dice": 0.9, "auprc": 0.9})])
    found = comparison_table({("a", "ms"): first, ("b", "ms"): [extra, second[1]]}, DATASETS)
    row = found.set_index("metric").loc["best_dice"]
    assert row["difference"] == pytest.approx(0.2)
    assert (row["n_subjects"], row["n_folds"]) == (2, 2)


def test_holm_by_hand_and_missing_values():
    # Sorted 0.01, 0.02, 0.03, 0.5: times 4, 3, 2, 1 is 0.04, 0.06, 0.06, 0.5.
    np.testing.assert_allclose(
        holm(np.array([0.03, 0.01, np.nan, 0.5, 0.02])), [0.06, 0.04, np.nan, 0.5, 0.06]
    )
    np.testing.assert_allclose(holm(np.array([0.6, 0.7])), [1, 1])
    assert holm(np.array([])).size == 0


def test_holm_never_corrects_more_than_bonferroni_and_keeps_the_order():
    p = np.random.default_rng(1).random(50) ** 3
    corrected = holm(p)
    assert (corrected >= p).all()
    assert (corrected <= np.minimum(p * 50, 1) + 1e-12).all()
    assert (np.diff(corrected[np.argsort(p)]) >= 0).all()


def test_one_method_or_no_lesion_compares_nothing():
    assert comparison_table({("a", "ms"): [metrics([0.2])]}, DATASETS).empty
    none = [metrics([np.nan, np.nan], np.nan)]
    found = comparison_table({("a", "ms"): none, ("b", "ms"): none}, DATASETS)
    assert found.empty
    assert "Methods" in to_markdown(comparison_layout(found, DATASETS, ""))


def test_the_comparison_reads_by_dataset_and_family_with_signs_and_marks(scores):
    markdown = to_markdown(comparison_layout(comparison_table(scores, DATASETS), DATASETS, "At 2 mm."))
    lines = markdown.splitlines()
    heading = "**strokes, T1 (simulated): 9 scans; primary comparisons, p corrected by Holm**"
    first = next(place for place, line in enumerate(lines) if heading in line)
    assert lines[first + 1].startswith("| patch2loc − ae | **−")
    assert "| **0.008** | 0.0 | 0.0–0.0 | 1.000 |" in lines[first + 1]  # 2 x 2 / 2^9; the AUPRC is equal
    assert "9 scans; exploratory comparisons, p uncorrected**" in lines[first + 2]
    assert lines[first + 3].startswith("| patch2loc − zscore, control | 0.0 |")
    assert lines[-1].startswith("At 2 mm. Mean over scans and folds of the first method less the second")


def test_an_exploratory_difference_is_never_marked(scores):
    # As surely different as the primary pair, but no question that was asked before the results were there.
    copied = scores | {("zscore", name): scores["ae", name] for name in DATASETS}
    markdown = to_markdown(comparison_layout(comparison_table(copied, DATASETS), DATASETS, ""))
    pair = next(line for line in markdown.splitlines() if "| patch2loc − zscore, control |" in line)
    assert pair.startswith("| patch2loc − zscore, control | −")
    assert "| 0.004 |" in pair  # 2 / 2^9, uncorrected
    assert "**" not in pair


def released_code(bisected):
    fold = metrics([0.5, 0.7], [0.3, 0.4])
    return fold.assign(best_dice_bisection=bisected, best_dice_background_zero=0.6, auprc_background_zero=0.1)


def test_choices_of_the_released_code_stand_beside_the_protocol():
    by_fold = {("thresh", "ms"): [released_code([0.4, 0.7]), released_code([0.5, 0.6])]}
    table = released_code_table(by_fold, DATASETS)
    assert list(table.columns) == RELEASED_CODE_COLUMNS
    row = table.set_index("variant").loc["best_dice_bisection"]
    assert (row["mean"], row["mean_protocol"]) == pytest.approx((0.55, 0.6))
    assert (row["difference"], row["ci_low"], row["ci_high"]) == pytest.approx((-0.05, -0.1, 0))
    assert table.set_index("variant").loc["auprc_background_zero", "difference"] == pytest.approx(0.1 - 0.35)
    layout = released_code_layout(table, DATASETS, "At 2 mm.")
    expected = "| thresh, Dice, ten steps of bisection | 60.00 | 55.00 | −5.00 | −10.00 to 0.00 |"
    assert expected in to_markdown(layout)
    assert "$-$10.00 to 0.00" in to_latex(layout)
    assert "**MS, T2: 2 scans**" in to_markdown(layout)


def test_healthy_scans_have_no_metrics_of_the_released_code():
    none = released_code(np.nan).assign(best_dice=np.nan, auprc=np.nan)
    none[["best_dice_background_zero", "auprc_background_zero"]] = np.nan
    assert released_code_table({("thresh", "ms"): [none]}, DATASETS).empty
