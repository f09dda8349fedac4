import numpy as np
import pytest

from patch2loc.data.volumes import write
from patch2loc.metrics.detection import healthy_quantiles
from patch2loc.score.calibration import (
    LEAST_SHARE,
    NORMAL_MAD,
    PRIOR_SCANS,
    calibrated_validation,
    fit_calibration,
    write_calibration,
)
from patch2loc.score.stored_heatmaps import heatmaps_of

SHAPE = (24, 24, 16)
MASK = np.zeros(SHAPE, bool)
MASK[2:22, 2:22, 2:14] = True


def healthy(scans, seed=0):
    """Scans that score 5 +- 3 in the left half and 0 +- 1 in the right half."""
    generator = np.random.default_rng(seed)
    left = np.arange(SHAPE[0])[:, None, None] < 12
    values = np.where(left, 5, 0) + np.where(left, 3, 1) * generator.normal(size=(scans, *SHAPE))
    return [np.where(MASK, scan, np.nan).astype(np.float32) for scan in values]


def named(scans):
    return {f"s{place}": scan for place, scan in enumerate(scans)}


def threshold_of(validation, share):
    """The calibrated score that a share of the voxels of validation scans does not exceed."""
    return healthy_quantiles([*calibrated_validation(named(validation), 4.0).values()], [share])[0]


def test_many_scans_are_made_alike_in_every_place():
    calibration = fit_calibration(healthy(200), spacing=4.0)
    (new,) = (calibration.apply(scan) for scan in healthy(1, seed=9))
    left, right = new[4:9][MASK[4:9]], new[15:20][MASK[15:20]]
    assert np.median(left) == pytest.approx(0, abs=0.15)
    assert np.median(right) == pytest.approx(0, abs=0.15)
    assert left.std() == pytest.approx(1, abs=0.15)
    assert right.std() == pytest.approx(1, abs=0.15)


def test_a_place_is_drawn_to_the_whole_brain_by_the_number_of_scans():
    scans = [np.where(MASK, np.where(np.arange(SHAPE[0])[:, None, None] < 12, 6, 0), np.nan)] * 4
    scans = [scan.astype(np.float32) for scan in scans]
    scans[0][2, 2, 2] = 0  # so that half of the voxels and one more score 0
    location = fit_calibration(scans, spacing=100.0).location
    assert location[5, 12, 8] == pytest.approx(6 * 4 / (4 + PRIOR_SCANS), rel=1e-4)
    assert location[18, 12, 8] == pytest.approx(0, abs=1e-4)


def test_one_scan_has_the_spread_of_the_whole_brain():
    (scan,) = healthy(1)
    values = scan[MASK]
    expected = NORMAL_MAD * np.median(np.abs(values - np.median(values)))
    np.testing.assert_allclose(fit_calibration([scan], 4.0).scale, expected, rtol=1e-5)


def test_a_place_that_never_varies_keeps_a_scale():
    scans = healthy(30)
    for scan in scans:
        scan[15:] = np.where(MASK[15:], 1.0, np.nan)
    values = np.concatenate([scan[MASK] for scan in scans])
    of_all = NORMAL_MAD * np.median(np.abs(values - np.median(values)))
    assert fit_calibration(scans, 100.0).scale.min() >= LEAST_SHARE * of_all * 0.999
    constant = [np.where(MASK, 2.0, np.nan).astype(np.float32)] * 3
    assert np.isfinite(fit_calibration(constant, 4.0).apply(constant[0])[MASK]).all()


def test_an_outlying_scan_moves_neither_location_nor_scale():
    scans = healthy(21)
    before = fit_calibration(scans, 4.0)
    scans[3] = scans[3] + 1000
    after = fit_calibration(scans, 4.0)
    assert np.abs(after.location - before.location)[MASK].max() < 1
    assert np.abs(after.scale / before.scale - 1)[MASK].max() < 0.5


def test_shift_and_scale_of_the_scores_change_nothing():
    scans = healthy(5)
    changed = [7 * scan - 30 for scan in scans]
    first, second = (
        fit_calibration(scans, 4.0).apply(scans[0]),
        fit_calibration(changed, 4.0).apply(changed[0]),
    )
    np.testing.assert_allclose(first[MASK], second[MASK], atol=1e-3)


def test_maps_are_finite_on_the_whole_grid_and_heatmaps_keep_their_mask():
    scans = healthy(3)
    scans[1][:10] = np.nan
    calibration = fit_calibration(scans, 4.0)
    assert np.isfinite(calibration.location).all()
    assert (calibration.scale > 0).all()
    np.testing.assert_array_equal(np.isnan(calibration.apply(scans[0])), ~MASK)


def test_validation_scans_are_calibrated_by_the_others():
    scans = healthy(5)
    found = calibrated_validation(named(scans), 4.0)
    np.testing.assert_array_equal(found["s2"], fit_calibration(scans[1::2], 4.0).apply(scans[2]))
    np.testing.assert_array_equal(found["s3"], fit_calibration(scans[::2], 4.0).apply(scans[3]))
    one = calibrated_validation(named(scans[:1]), 4.0)
    np.testing.assert_array_equal(one["s0"], fit_calibration(scans[:1], 4.0).apply(scans[0]))


def test_sessions_of_a_person_do_not_calibrate_each_other():
    scans = healthy(5)
    sessions = ["sub-1_ses-1", "sub-1_ses-2", "sub-2_ses-1", "sub-2_ses-2", "sub-3_ses-1"]
    found = calibrated_validation(dict(zip(sessions, scans, strict=True)), 4.0)
    second = fit_calibration(scans[2:4], 4.0)
    others = fit_calibration([*scans[:2], scans[4]], 4.0)
    for name, scan, calibration in zip(
        sessions, scans, [second, second, others, others, second], strict=True
    ):
        np.testing.assert_array_equal(found[name], calibration.apply(scan))
    of_one = calibrated_validation(dict(zip(sessions[:2], scans[:2], strict=True)), 4.0)
    own = fit_calibration(scans[:2], 4.0).apply(scans[1])
    np.testing.assert_array_equal(of_one["sub-1_ses-2"], own)


@pytest.mark.parametrize("share", [0.05, 0.01])
def test_a_threshold_of_validation_scans_keeps_its_false_positive_rate_in_every_place(share):
    validation, new = healthy(1000), healthy(40, seed=7)  # so many that the whole brain is hardly believed
    calibration = fit_calibration(validation, 4.0)
    calibrated = [calibration.apply(scan) for scan in new]
    (usual,) = healthy_quantiles(validation, [1 - share])
    threshold = threshold_of(validation, 1 - share)

    def rate(scans, above, part=np.s_[:]):
        return np.mean(np.stack([scan[part][MASK[part]] for scan in scans]) > above)

    left, right = np.s_[3:10], np.s_[14:21]
    # The scores' own threshold is right on average, and calls the left half abnormal alone.
    assert rate(new, usual) == pytest.approx(share, rel=0.1)
    assert rate(new, usual, left) == pytest.approx(2 * share, rel=0.1)
    assert rate(new, usual, right) < share / 50
    assert rate(calibrated, threshold) == pytest.approx(share, rel=0.1)
    assert rate(calibrated, threshold, left) == pytest.approx(share, rel=0.3)
    assert rate(calibrated, threshold, right) == pytest.approx(share, rel=0.3)


def test_a_scanner_whose_scans_score_higher_and_wider_everywhere_keeps_the_false_positive_rate():
    validation, new = healthy(400), healthy(10, seed=7)
    calibration = fit_calibration(validation, 4.0)
    far = [
        scan + calibration.scale * (2 + 0.5 * (scan - calibration.location) / calibration.scale)
        for scan in new
    ]
    (usual,) = healthy_quantiles(validation, [0.99])
    threshold = threshold_of(validation, 0.99)
    assert np.mean(np.stack(far)[:, MASK] > usual) > 0.05
    for scan, of_far_scanner in zip(new, far, strict=True):
        ours = calibration.apply(of_far_scanner)
        np.testing.assert_allclose(ours[MASK], calibration.apply(scan)[MASK], atol=1e-3)
        assert np.mean(ours[MASK] > threshold) == pytest.approx(0.01, rel=0.5)


def test_a_lesion_stands_out_of_its_scan_and_keeps_the_order_of_its_voxels():
    calibration = fit_calibration(healthy(60), 4.0)
    (scan,) = healthy(1, seed=7)
    lesion = np.zeros(SHAPE, bool)
    lesion[3:8, 3:10, 3:9] = MASK[3:8, 3:10, 3:9]
    changed = np.where(lesion, scan + 30, scan)
    before, after = calibration.apply(scan), calibration.apply(changed)
    assert np.median(after[lesion]) > 6
    np.testing.assert_allclose(after[MASK & ~lesion], before[MASK & ~lesion], atol=0.3)
    of_place = (changed - calibration.location) / calibration.scale
    np.testing.assert_array_equal(np.argsort(after[lesion]), np.argsort(of_place[lesion]))


@pytest.mark.parametrize("scans", [[], [np.full(SHAPE, np.nan)]])
def test_without_scores_there_is_no_calibration(scans):
    with pytest.raises(ValueError, match="validation"):
        fit_calibration(scans, 4.0)


def test_a_stored_calibration_is_the_one_that_was_fitted(tmp_path):
    fitted = fit_calibration(healthy(5), spacing=4.0)
    write_calibration(tmp_path / "calibration/patch2loc/T1/fold0", fitted, np.diag([4, 4, 4, 1.0]))
    (heatmap,) = healthy(1, seed=3)
    shown = heatmaps_of(tmp_path, "patch2loc_calibrated", "ms", "T1", fold=0)
    plain = heatmaps_of(tmp_path, "patch2loc", "ms", "T1", fold=0)
    assert shown.path("a") == plain.path("a") == tmp_path / "heatmaps/patch2loc/ms/fold0/a.nii.gz"
    write(plain.path("a"), heatmap, np.diag([4, 4, 4, 1.0]))
    np.testing.assert_array_equal(shown.read("a"), fitted.apply(heatmap))
    np.testing.assert_array_equal(plain.read("a"), heatmap)
