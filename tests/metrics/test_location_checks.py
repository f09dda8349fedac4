import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, norm, spearmanr

from patch2loc.metrics.location_checks import COLUMNS, DECILES, KEYS, LEVELS, scan_checks

SHAPE = (200, 200, 50)
MIDLINE = 48.0  # not the middle of the grid
PATCHES = 40_000


def patches(scale=1.0, *, count=PATCHES, subjects=2, seed=0):
    """Predictions whose true spread is `scale` times the predicted one, which differs between patches and axes."""
    generator = np.random.default_rng(seed)
    voxels = generator.integers(20, 180, (count, 2))
    sd = generator.uniform(1, 4, (count, 2)) * [1.0, 2.0]
    mean = 100 * voxels / SHAPE[:2] + scale * sd * generator.normal(size=(count, 2))
    return table(voxels, mean, sd).assign(subject=np.arange(count) % subjects)


def table(voxels, mean, sd):
    error = ((mean - 100 * voxels / SHAPE[:2]) ** 2).sum(axis=1)
    return pd.DataFrame(
        {
            "subject": "a",
            "x": voxels[:, 0],
            "y": voxels[:, 1],
            "brain_fraction": np.float32(1),
            "edge_distance": np.float32(10),
            "mean_x": mean[:, 0],
            "mean_y": mean[:, 1],
            "log_variance_x": 2 * np.log(sd[:, 0]),
            "log_variance_y": 2 * np.log(sd[:, 1]),
            "location_error": np.sqrt(error),
            "log_error": np.log(error + 0.5),
            "log_variance": np.log(sd).sum(axis=1),
            "score": np.log(error + 0.5) + np.log(sd).sum(axis=1),
        }
    )


def means(checks, check, quantity):
    """Means over scans, by lower and upper bound."""
    rows = checks[(checks["check"] == check) & (checks["quantity"] == quantity)]
    return rows.groupby(["low", "high"], dropna=False)[["value", "expected"]].mean()


def binomial_error(probability, count=PATCHES):
    return 4 * np.sqrt(probability * (1 - probability) / count) + 1e-12


@pytest.mark.parametrize("scale", [1.0, 2.0, 0.5])
def test_coverage_is_that_of_a_normal_distribution_of_the_true_spread(scale):
    """With the spread right, 68 % are in the region of 68 %; with half of it predicted, 38 % are."""
    checks = scan_checks(patches(scale), SHAPE, MIDLINE)
    for level in LEVELS:
        along = 2 * norm.cdf(norm.ppf((1 + level) / 2) / scale) - 1
        both = chi2(2).cdf(chi2(2).ppf(level) / scale**2)
        for quantity, expected in (("x", along), ("y", along), ("both", both)):
            row = means(checks, "coverage", quantity).loc[0, level]
            assert row["value"] == pytest.approx(expected, abs=binomial_error(expected)), (level, quantity)
            assert row["expected"] == level
    for quantity in ("x", "y", "both"):
        (found,) = means(checks, "squared_z", quantity)["value"]
        assert found == pytest.approx(scale**2, rel=0.05)
    histogram = means(checks, "z", "both")
    assert histogram["value"].sum() == pytest.approx(1)
    assert histogram["expected"].sum() == pytest.approx(1)
    inner = norm.cdf(0.5 / scale) - 0.5
    assert histogram["value"].loc[0.0, 0.5] == pytest.approx(inner, abs=binomial_error(inner, 2 * PATCHES))
    assert histogram["expected"].loc[0.0, 0.5] == pytest.approx(norm.cdf(0.5) - 0.5)


def test_an_axis_that_is_wrong_is_told_from_one_that_is_right():
    wrong = patches()
    wrong["log_variance_y"] -= 2 * np.log(2)
    checks = scan_checks(wrong, SHAPE, MIDLINE)
    assert means(checks, "squared_z", "x")["value"].item() == pytest.approx(1, rel=0.05)
    assert means(checks, "squared_z", "y")["value"].item() == pytest.approx(4, rel=0.05)
    assert means(checks, "coverage", "x").loc[(0, 0.95), "value"] == pytest.approx(0.95, abs=0.01)
    assert means(checks, "coverage", "y").loc[(0, 0.95), "value"] == pytest.approx(0.673, abs=0.01)


def test_a_shift_shows_in_the_sign_of_z():
    shifted = patches()
    shifted["mean_x"] -= 10 * np.exp(shifted["log_variance_x"] / 2)  # true locations lie at greater x
    histogram = means(scan_checks(shifted, SHAPE, MIDLINE), "z", "x")["value"]
    assert histogram.loc[5.0, np.inf] > 0.99


def test_deciles_of_the_spread_hold_as_many_patches_of_each_scan_and_their_errors():
    one = patches(1.5, count=10_000, subjects=1).assign(subject="a")
    wide = patches(1.5, count=20_000, subjects=1, seed=1).assign(subject="b")
    wide[["log_variance_x", "log_variance_y"]] += 2 * np.log(100)  # all of it is less certain than scan a
    checks = scan_checks(pd.concat([one, wide], ignore_index=True), SHAPE, MIDLINE)
    deciles = checks[(checks["check"] == "spread") & (checks["quantity"] == "x")].set_index("subject")
    assert deciles.loc["a", "n_patches"].tolist() == [1000] * DECILES
    assert deciles.loc["b", "n_patches"].tolist() == [2000] * DECILES
    assert deciles.loc["a", "expected"].is_monotonic_increasing
    ratio = deciles.loc["a", "value"] / deciles.loc["a", "expected"]
    assert ratio.to_numpy() == pytest.approx(1.5**2, rel=0.2)
    # Uniform from 1 to 4: the least decile has a mean square of (1.3^3 - 1) / 0.9.
    assert deciles.loc["a", "expected"].iloc[0] == pytest.approx((1.3**3 - 1) / 0.9, rel=0.01)


def test_the_rank_correlation_is_spearmans_within_the_scan():
    some = patches(count=300, subjects=2)
    checks = scan_checks(some, SHAPE, MIDLINE)
    rows = checks[checks["check"] == "rank_correlation"].set_index(["quantity", "subject"])["value"]
    for subject, part in some.groupby("subject"):
        error = np.abs(100 * part["y"] / 200 - part["mean_y"])
        assert rows["y", subject] == pytest.approx(spearmanr(error, part["log_variance_y"]).statistic)
        both = spearmanr(part["location_error"], part["log_variance"]).statistic
        assert rows["both", subject] == pytest.approx(both)


def test_mirrored_predictions_are_counted_exactly():
    """About the midline, which is not the middle of the grid; patches near to it do not count."""
    # 2 and 8 percent from the midline: too near. 12, 22, 42: clear of it.
    offsets = np.array([2, -2, 8, -8, 12, -12, 22, -22, -22, 42])
    voxels = np.stack([2 * (MIDLINE + offsets), np.full(10, 100)], axis=1).astype(int)
    mirror = np.array([1, 1, 1, 0, 1, 0, 0, 0, 1, 0], bool)
    mean = 100 * voxels / SHAPE[:2]
    mean[mirror, 0] = 2 * MIDLINE - mean[mirror, 0]
    sd = np.where(mirror, 7.0, 3.0)[:, None] * np.ones(2)
    checks = scan_checks(table(voxels, mean, sd), SHAPE, MIDLINE)
    shares = means(checks, "opposite_side", "share")["value"]
    assert shares.to_dict() == {
        (0.0, 10.0): 3 / 4,
        (10.0, 20.0): 1 / 2,
        (20.0, 30.0): 1 / 3,
        (30.0, np.inf): 0.0,
        (10.0, np.inf): 2 / 6,
    }
    assert means(checks, "opposite_side_sd", "opposite")["value"].item() == pytest.approx(7)
    assert means(checks, "opposite_side_sd", "same")["value"].item() == pytest.approx(3)
    # The middle of the grid would give other numbers: two patches are on its other side already.
    middle = scan_checks(table(voxels, mean, sd), SHAPE, 50.0)
    assert means(middle, "opposite_side", "share")["value"].to_dict() != shares.to_dict()


def test_a_network_that_knows_of_its_confusions_expects_as_many_as_there_are():
    generator = np.random.default_rng(3)
    sides = generator.normal(0, 15, PATCHES)  # predicted, from the midline
    sd = generator.uniform(2, 20, PATCHES)
    true = 2 * (
        MIDLINE + sides + sd * generator.normal(size=PATCHES)
    )  # not on voxels, for exact bounds of bins
    voxels = np.stack([true, np.full(PATCHES, 100.0)], axis=1)
    mean = np.stack([MIDLINE + sides, np.full(PATCHES, 50.0)], axis=1)
    known = table(voxels, mean, np.stack([sd, sd], axis=1))
    shares = means(scan_checks(known, SHAPE, MIDLINE), "opposite_side", "share")
    assert shares.loc[(10.0, np.inf), "value"] > 0.1
    for bounds, row in shares.iterrows():
        assert row["expected"] == pytest.approx(row["value"], abs=0.01), bounds
    # One that could as well be anywhere expects half of them, not more of them than there are.
    blind = known.assign(log_variance_x=2 * np.log(1000.0))
    half = means(scan_checks(blind, SHAPE, MIDLINE), "opposite_side", "share")["expected"]
    assert half.to_numpy() == pytest.approx(0.5, abs=0.01)
    # One that is too sure of itself expects fewer.
    known["log_variance_x"] -= 2 * np.log(4)
    sure = means(scan_checks(known, SHAPE, MIDLINE), "opposite_side", "share").loc[(10.0, np.inf)]
    assert sure["value"] == shares.loc[(10.0, np.inf), "value"]
    assert sure["expected"] < 0.4 * sure["value"]


def test_errors_are_averaged_by_the_place_of_the_patch():
    some = patches(count=8, subjects=1)
    some["edge_distance"] = np.float32([-3, -0.5, 0.5, 3.5, 4.5, 12, 24, np.nan])
    some["brain_fraction"] = np.float32([0.2, 0.3, 0.4, 0.7, 0.79, 0.8, 0.99, 1.0])
    some["location_error"] = np.arange(8.0)
    checks = scan_checks(some, SHAPE, MIDLINE)
    assert means(checks, "edge_distance", "location_error")["value"].to_dict() == {
        (-np.inf, 0.0): 0.5,
        (0.0, 4.0): 2.5,
        (4.0, 8.0): 4,
        (12.0, 16.0): 5,
        (24.0, np.inf): 6,
    }
    assert means(checks, "brain_share", "location_error")["value"].to_dict() == {
        (0.0, 0.4): 0.5,
        (0.4, 0.6): 2,
        (0.6, 0.8): 3.5,
        (0.8, 1.0): 5.5,
        (1.0, np.inf): 7,
    }
    assert set(checks.loc[checks["check"] == "edge_distance", "quantity"]) == {
        "location_error",
        "log_error",
        "log_variance",
        "score",
    }


def test_every_check_of_a_scan_has_one_row():
    checks = scan_checks(patches(count=500, subjects=3), SHAPE, MIDLINE)
    assert list(checks.columns) == COLUMNS
    assert not checks.duplicated([*KEYS, "subject"]).any()
    of_scan = checks[checks["subject"] == 0]
    whole = of_scan[of_scan["check"].isin(["coverage", "rank_correlation"])]
    assert (whole["n_patches"] == 167).all()
