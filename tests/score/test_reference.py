"""Rarity of scores, and what healthy scans score: against distributions that are known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage, stats
from written_models import complete_model

from patch2loc.models import load_model, save_model, sealed
from patch2loc.score.candidates import find_candidates
from patch2loc.score.reference import (
    JOINED,
    LEAST_BEYOND,
    MAPS,
    PARTS,
    THRESHOLDS,
    Cohort,
    HealthyScan,
    ScanMaps,
    fit_reference,
    fit_tail,
    from_model,
    to_model,
)

SHAPE, SPACING, VOXEL_ML = (24, 24, 16), 4.0, 0.064
MASK = np.zeros(SHAPE, bool)
MASK[2:22, 2:22, 2:14] = True
COHORT = Cohort("a cohort", False, 12, ["one", "two"], [20.0, 80.0], 1.2)


def noise(rng, smooth):
    """Values whose distribution at each voxel is a standard normal one."""
    values = rng.normal(size=SHAPE)
    if smooth:
        values = ndimage.gaussian_filter(values, smooth, mode="wrap")
        values *= (2 * smooth * np.sqrt(np.pi)) ** 1.5
    return values


def scan_maps(seed, smooth=0.0, shift=0.0, factor=1.0):
    """Maps of a healthy scan: parts that know nothing of each other; in one the left half scores higher."""
    rng = np.random.default_rng(seed)
    place = np.where(np.arange(SHAPE[0])[:, None, None] < 12, 4.0, 0.0)
    patch2loc, zscore = (
        np.where(MASK, factor * (location + noise(rng, smooth)) + shift, np.nan).astype(np.float32)
        for location in (place, 2.0)
    )
    return ScanMaps(patch2loc, zscore, 10 + rng.normal(), 8.0)


def cohort_maps(count, first=0, **others):
    return {f"s{seed}": scan_maps(seed, **others) for seed in range(first, first + count)}


def fitted(maps):
    rng = np.random.default_rng(99)
    mean = np.where(MASK, rng.uniform(0.3, 1.2, SHAPE), 0).astype(np.float32)
    spread = np.where(MASK, rng.uniform(0.05, 0.3, SHAPE), 0.05).astype(np.float32)
    sites = {name: "one" for name in list(maps)[:3]}
    return fit_reference(maps, cohort=COHORT, mean=mean, spread=spread, spacing=SPACING, sites=sites)


@pytest.fixture(scope="module")
def reference():
    """Of 40 scans of independent voxels."""
    return fitted(cohort_maps(40))


@pytest.fixture(scope="module")
def smooth_reference():
    """Of 30 scans of smooth maps, as a network's are."""
    return fitted(cohort_maps(30, smooth=1.5))


def test_the_rarity_of_a_quantile_is_that_of_its_share():
    scores = np.random.default_rng(0).exponential(1 / np.log(10), 1_000_000)  # a share of 10^-s is above s
    tail = fit_tail(scores)
    at = np.array([0.2, 0.5, 1, 2, 3], np.float32)
    assert tail.rarity(at) == pytest.approx(at, abs=0.03)
    assert tail.rarities[-1] == pytest.approx(np.log10(len(scores) / LEAST_BEYOND), abs=0.021)
    assert tail.rarity(np.array([4.5])) == pytest.approx(4.5, abs=0.2)  # 32 voxels are above it


def test_the_share_of_the_scores_themselves_is_right_to_a_voxel():
    scores = np.arange(1000, dtype=np.float32)
    found = fit_tail(scores).rarity(scores)
    for voxels in (999, 500, 100, 20, 11):
        assert 10 ** -found[1000 - voxels] * 1000 == pytest.approx(voxels, abs=1.01)


def test_above_the_healthy_scores_rarity_goes_on_with_the_slope_of_the_end():
    scores = np.random.default_rng(1).exponential(1 / np.log(10), 1_000_000)
    tail = fit_tail(scores)
    beyond = tail.rarity(np.linspace(3, 30, 200))
    assert (np.diff(beyond) > 0).all()
    assert beyond[-1] == pytest.approx(30, rel=0.15)
    last = tail.scores[-1]
    assert tail.rarity(np.array([last, last + 1e-4])) == pytest.approx(tail.rarities[-1], abs=1e-3)


def test_what_is_lower_than_any_healthy_score_is_not_rare_and_what_is_not_there_has_no_rarity():
    tail = fit_tail(np.arange(1000.0))
    assert tail.rarity(np.array([-5.0, 0.0])).tolist() == [0, 0]
    assert np.isnan(tail.rarity(np.array([[np.nan]]))).all()
    assert tail.rarity(np.zeros((2, 3, 4))).shape == (2, 3, 4)


def test_equal_scores_are_as_rare_as_all_of_them_together():
    scores = np.concatenate(
        [np.zeros(500), np.linspace(1, 2, 490), np.full(10_000 - 990, 0.0), np.full(100, 9.0)]
    )
    tail = fit_tail(scores)
    assert tail.rarity(np.array([0.0])) == 0
    assert tail.rarity(np.array([9.0])) == pytest.approx(-np.log10(100 / len(scores)), abs=0.03)


def test_a_tail_increases_in_the_precision_that_it_is_stored_in():
    tail = fit_tail(1 + 1e-8 * np.arange(1000))  # some hundred numbers of float32
    assert (np.diff(tail.scores) > 0).all()
    assert (np.diff(tail.rarities) > 0).all()


@pytest.mark.parametrize("scores", [np.zeros(0), np.arange(99.0), np.full(1000, 3.0)])
def test_a_tail_of_hardly_any_scores_is_refused(scores):
    with pytest.raises(ValueError, match=r"healthy voxels .*found, .* expected"):
        fit_tail(scores)


def test_rarity_of_new_scans_is_the_share_of_healthy_voxels(reference):
    rarities = [reference.rarity_maps(scan_maps(seed)) for seed in range(1000, 1040)]
    for name in MAPS:
        voxels = np.concatenate([each[name][MASK] for each in rarities])
        for rarity in (1, 2, 3):
            share = np.mean(voxels > rarity)
            assert -np.log10(share) == pytest.approx(rarity, abs=0.1), name
        assert np.isnan(rarities[0][name][~MASK]).all()


def test_independent_parts_are_joined_as_fishers_statistic_says(reference):
    statistic = np.array([1, 2, 3, 4], np.float32)
    expected = -np.log10(stats.chi2.sf(2 * np.log(10) * statistic, df=4))
    assert reference.tails[JOINED].rarity(statistic) == pytest.approx(expected, abs=0.1)


def test_parts_that_are_the_same_are_not_counted_twice():
    maps = {name: each._replace(zscore=each.patch2loc) for name, each in cohort_maps(30, smooth=0.0).items()}
    rarity = fitted(maps).rarity_maps(maps["s0"])
    inside = rarity["patch2loc"][MASK]
    low = inside < 3.5
    assert rarity[JOINED][MASK][low] == pytest.approx(inside[low], abs=0.05)


def test_new_healthy_scans_have_about_the_volume_that_is_stated(smooth_reference):
    new = [smooth_reference.rarity_maps(scan_maps(seed, smooth=1.5)) for seed in range(2000, 2030)]
    for threshold in (2.0, 2.5):
        column = int(np.flatnonzero(threshold == THRESHOLDS)[0])
        for name in MAPS:
            stated = smooth_reference.false_positive_ml[name][:, column]
            found = [
                sum(each.volume_ml for each in find_candidates(maps[name], threshold, VOXEL_ML)[1])
                for maps in new
            ]
            error = np.hypot(np.std(stated), np.std(found)) / np.sqrt(30)
            assert np.mean(stated) > 0.5
            assert abs(np.mean(found) - np.mean(stated)) < 4 * error + 0.1 * np.mean(stated), name


def test_new_healthy_scans_are_anywhere_among_the_healthy_ones(smooth_reference):
    percentiles = []
    for seed in range(3000, 3030):
        maps = scan_maps(seed, smooth=1.5)
        _, candidates = find_candidates(smooth_reference.rarity_maps(maps)[JOINED], 3.0, VOXEL_ML)
        excess = sum(each.excess for each in candidates)
        percentiles.append(smooth_reference.percentile(excess, "excess"))
    assert np.mean(percentiles) == pytest.approx(50, abs=20)  # of 30 uniform numbers: 50 +- 5
    assert np.ptp(percentiles) > 50


def test_scans_of_the_reference_are_answered_as_it_states_of_them(smooth_reference):
    """Held out, a scan is calibrated by half of the others, and as a new one by all: about the same comes of both."""
    column = int(np.flatnonzero(THRESHOLDS == 2.0)[0])
    for name in MAPS:
        stated = smooth_reference.false_positive_ml[name][:, column]
        rarities = [
            smooth_reference.rarity_maps(scan_maps(number, smooth=1.5))[name] for number in range(len(stated))
        ]
        found = [sum(each.volume_ml for each in find_candidates(one, 2.0, VOXEL_ML)[1]) for one in rarities]
        assert np.mean(found) == pytest.approx(np.mean(stated), rel=0.3)
        assert np.corrcoef(found, stated)[0, 1] > 0.7


def test_what_a_scan_states_is_what_its_candidates_are(smooth_reference):
    column = int(np.flatnonzero(smooth_reference.threshold == THRESHOLDS)[0])
    for number, scan in enumerate(smooth_reference.scans):
        for name in MAPS:
            stated = smooth_reference.false_positive_ml[name][number, column]
            assert scan.abnormal_ml[name] == pytest.approx(float(stated), rel=1e-5)
            assert (scan.candidates[name] == 0) == (scan.largest_excess[name] == 0.0)
            assert scan.largest_excess[name] <= scan.excess[name]
    assert [scan.site for scan in smooth_reference.scans[:4]] == ["one", "one", "one", ""]
    for name in MAPS:
        assert (np.diff(smooth_reference.false_positive_ml[name].mean(axis=0)) <= 0).all()


def test_a_percentile_counts_half_of_what_is_equal(reference):
    values = [1.0, 2.0, 2.0, 3.0]
    scans = [
        HealthyScan(f"s{place}", "", value, *({name: value for name in MAPS} for _ in range(3)), {})
        for place, value in enumerate(values)
    ]
    of_four = replace(reference, scans=scans)
    for of in ("location_error", "abnormal_ml", "excess", "largest_excess"):
        found = [of_four.percentile(value, of, "zscore") for value in (0, 1, 1.5, 2, 3, 9)]
        assert found == [0, 12.5, 25, 50, 87.5, 100]
    assert of_four.values("abnormal_ml").tolist() == values


@pytest.mark.parametrize(("shift", "factor"), [(7.0, 1.0), (-3.0, 1.0), (0.0, 2.5)])
def test_another_unit_of_the_scores_changes_nothing(shift, factor):
    plain, other = (
        fitted(cohort_maps(12, smooth=1.0, **scale)).rarity_maps(scan_maps(50, smooth=1.0, **scale))
        for scale in ({}, {"shift": shift, "factor": factor})
    )
    for name in MAPS:
        assert other[name][MASK] == pytest.approx(plain[name][MASK], abs=5e-3)


@pytest.mark.parametrize(("shift", "factor"), [(7.0, 1.0), (0.0, 2.5)])
def test_a_scan_that_scores_higher_or_wider_everywhere_is_no_rarer(reference, shift, factor):
    """What another scanner does to all voxels alike is taken out of each scan."""
    rng = np.random.default_rng(5)
    values = np.where(MASK, rng.normal(size=SHAPE), np.nan).astype(np.float32)
    location, scale = reference.calibrations["patch2loc"]
    plain, other = (
        reference.rarity_maps(ScanMaps(location + scale * each, location + scale * each, 0.0, 0.0))[
            "patch2loc"
        ]
        for each in (values, shift + factor * values)
    )
    assert other[MASK] == pytest.approx(plain[MASK], abs=5e-3)


def test_a_lesion_makes_its_own_place_rarer_and_no_other(reference):
    maps = scan_maps(70)
    lesion = np.zeros(SHAPE, bool)
    lesion[14:17, 5:8, 5:8] = True
    changed = ScanMaps(*(np.where(lesion, part + 6, part) for part in maps[:2]), *maps[2:])
    before, after = (reference.rarity_maps(each) for each in (maps, changed))
    for name in MAPS:
        assert (after[name][lesion] > before[name][lesion] + 1).all()
        elsewhere = MASK & ~lesion & (before[name] > 1)
        assert (after[name][elsewhere] <= before[name][elsewhere] + 1e-3).all()
        assert after[name][elsewhere] == pytest.approx(before[name][elsewhere], abs=0.1)
    _, (first, *_) = find_candidates(after[JOINED], reference.threshold, VOXEL_ML)
    assert lesion[first.peak_voxel]


def test_a_reference_is_read_as_it_was_written_within_half_precision(reference, tmp_path):
    affine = np.diag([SPACING, SPACING, SPACING, 1]).tolist()
    grid = {"shape": list(SHAPE), "spacing": SPACING, "affine": affine}
    save_model(tmp_path / "d.safetensors", sealed(complete_model(grid=grid, reference=to_model(reference))))
    read = from_model(load_model(tmp_path / "d.safetensors")["reference"], SHAPE)
    for name in ("cohort", "threshold", "scans"):
        assert getattr(read, name) == getattr(reference, name)
    for name in MAPS:
        assert np.array_equal(read.tails[name].scores, reference.tails[name].scores)
        assert np.array_equal(read.tails[name].rarities, reference.tails[name].rarities)
        assert np.array_equal(read.false_positive_ml[name], reference.false_positive_ml[name])
    half = 2.0**-11
    for found, expected in [(read.mean, reference.mean), (read.spread, reference.spread)]:
        assert found[MASK] == pytest.approx(expected[MASK], rel=half)
        assert found[~MASK] == pytest.approx(
            np.median(expected[MASK]), rel=half
        )  # where no training brain is
    for part in PARTS:
        for found, expected in zip(read.calibrations[part], reference.calibrations[part], strict=True):
            assert found[MASK] == pytest.approx(expected[MASK], rel=half, abs=1e-4)
    maps = scan_maps(80)
    before, after = (each.rarity_maps(maps) for each in (reference, read))
    for name in MAPS:
        assert after[name][MASK] == pytest.approx(before[name][MASK], abs=0.05)
