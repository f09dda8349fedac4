import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import binary_dilation, distance_transform_edt

from patch2loc.data import volumes
from patch2loc.data.scans import Scan
from patch2loc.errors import InputError
from patch2loc.evaluate.subjects import _near, evaluate_scans, evaluate_subject
from patch2loc.files import read_csv, read_json, write_csv, write_json
from patch2loc.metrics.curves import SHARES, dice_above, precision_at_recalls
from patch2loc.metrics.detection import HEALTHY, LESION, QUANTILES, Threshold, detections, healthy_quantiles
from patch2loc.metrics.ranking import evaluate_scores, rank
from patch2loc.metrics.released_code import bisected_dice, released_code_metrics
from patch2loc.score.calibration import calibrated_validation, fit_calibration

SHAPE = (30, 30, 10)


@pytest.fixture
def scan():
    """A block of brain with a lesion of 4 x 4 x 2 voxels, half of it outside the mask."""
    mask = np.zeros(SHAPE, bool)
    mask[5:25, 5:25, 2:8] = True
    lesion = np.zeros(SHAPE, bool)
    lesion[3:7, 10:14, 4:6] = True
    heatmap = np.where(mask, 1.0, np.nan)
    heatmap[mask & lesion] = 9.0
    return heatmap, mask, lesion


def test_lesion_outside_the_mask_counts_as_missed(scan):
    row = evaluate_subject(*scan, voxel_ml=0.008)
    assert row["auprc"] == pytest.approx(0.5)
    assert row["best_dice"] == pytest.approx(2 * 16 / (16 + 32))
    assert row["best_threshold"] == 9.0
    assert row["prevalence"] == pytest.approx(32 / (20 * 20 * 6 + 16))
    assert row["lesion_ml"] == pytest.approx(32 * 0.008)
    assert row["lesion_ml_outside"] == pytest.approx(16 * 0.008)


def test_lesion_lost_to_the_grid_counts_as_missed(scan):
    row = evaluate_subject(*scan, voxel_ml=0.008, lost_ml=32 * 0.008)
    assert row["auprc"] == pytest.approx(0.25)
    assert row["best_dice"] == pytest.approx(2 * 16 / (16 + 64))
    assert row["lesion_ml"] == pytest.approx(64 * 0.008)
    assert row["lesion_ml_outside"] == pytest.approx(48 * 0.008)


@pytest.mark.parametrize("distance", [1, 3, 12, 40])
def test_what_is_near_a_lesion_is_near_by_the_distance_transform(distance):
    generator = np.random.default_rng(distance)
    lesion = generator.random(SHAPE) < 0.002
    np.testing.assert_array_equal(_near(lesion, distance), distance_transform_edt(~lesion) < distance)


def test_healthy_mean_is_taken_a_patch_away_from_the_lesion(scan):
    _, mask, lesion = scan
    heatmap = np.where(mask, np.arange(SHAPE[0])[:, None, None] * np.ones(SHAPE), np.nan)
    row = evaluate_subject(heatmap, mask, lesion, 0.008, patch=12)
    # Euclidean distance from the lesion's voxels (x 3..6, y 10..13, z 4..5), worked out voxel by voxel.
    where, truth = np.argwhere(mask), np.argwhere(lesion)
    distance = np.sqrt(((where[:, None] - truth[None]) ** 2).sum(axis=2)).min(axis=1)
    assert row["mean_score_healthy"] == pytest.approx(where[distance >= 12, 0].mean())
    assert row["mean_score_lesion"] == pytest.approx(5.5)  # x of the lesion in the mask: 5 and 6


def test_a_healthy_scan_has_no_detection_but_a_mean_score(scan):
    heatmap, mask, _ = scan
    row = evaluate_subject(heatmap, mask, np.zeros(SHAPE), 0.008)
    for name in ("auprc", "best_dice", "best_threshold", "auroc", "mean_score_lesion"):
        assert np.isnan(row[name])
    assert (row["prevalence"], row["lesion_ml"], row["lesion_ml_outside"]) == (0, 0, 0)
    assert row["mean_score_healthy"] == pytest.approx(np.nanmean(heatmap))


def test_background_never_outranks_brain(scan):
    heatmap, mask, lesion = scan
    shifted = evaluate_subject(heatmap - 100, mask, lesion, 0.008)
    assert shifted["auprc"] == evaluate_subject(heatmap, mask, lesion, 0.008)["auprc"]


def test_shapes_and_unscored_brain_are_refused(scan):
    heatmap, mask, lesion = scan
    with pytest.raises(ValueError, match="lesion has shape"):
        evaluate_subject(heatmap, mask, lesion[:-1], 0.008)
    heatmap[10, 10, 5] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        evaluate_subject(heatmap, mask, lesion, 0.008)


def wider(lesion):
    """Lesion by any of a voxel: one voxel more on each side."""
    return binary_dilation(lesion, np.ones((3, 3, 3)))


@pytest.fixture
def scored(tmp_path, scan, request):
    """What `evaluate_scans` takes, of one subject (sub-1, or the test's parameter) with a lesion off the grid."""
    name = getattr(request, "param", "sub-1")
    heatmap, mask, lesion = scan
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    subject = Scan(name, tmp_path / name, "T1")
    volumes.write(subject.mask_path, mask, affine)
    volumes.write(subject.lesion_path, lesion, affine)
    volumes.write(subject.lesion_any_path, wider(lesion), affine)
    volumes.write(tmp_path / f"heatmaps/{name}.nii.gz", heatmap, affine)
    volumes.write(tmp_path / "healthy.nii.gz", np.where(mask, heatmap - 0.5, np.nan), affine)
    volumes.write(tmp_path / "validation.nii.gz", np.where(mask, 2.0, np.nan), affine)
    report = {"lost_to_grid_ml": 32 * 0.008 / 2, "scale": 2.0}  # registration doubles volumes
    write_json(
        subject.qc_path, {"content": name, "lesion": report | {"lesions_source": 3, "lesions_in_view": 2}}
    )
    write_csv(tmp_path / "heatmaps" / "seconds.csv", pd.DataFrame({"subject": [name], "seconds": [1.5]}))
    table = pd.DataFrame(
        {"subject": name, "lesion_fraction": [0.0, 0.0, 0.01], "location_error": [4.0, 6.0, 50.0]}
    )
    table.to_parquet(tmp_path / "patches.parquet")
    return {
        "scans": [subject],
        "heatmaps": tmp_path / "heatmaps",
        "healthy": [tmp_path / "healthy.nii.gz"],
        "validation": [tmp_path / "validation.nii.gz"],
        "patches": tmp_path / "patches.parquet",
        "spacing": 2.0,
        "patch": 4,
    }


def test_a_dataset_is_evaluated_from_its_files(scored, scan):
    found = evaluate_scans(**scored)
    (row,) = found.metrics.to_dict("records")
    expected = evaluate_subject(*scan, voxel_ml=0.008, lost_ml=32 * 0.008, patch=4)
    assert row["subject"] == "sub-1"
    assert row["seconds"] == 1.5
    assert row["location_error"] == pytest.approx(5.0)  # patches without lesion only
    heatmap, mask, lesion = scan
    pairs = heatmap[mask & lesion][:, None] - (heatmap[mask] - 0.5)
    assert row["auroc_healthy"] == pytest.approx((pairs > 0).mean(), abs=1e-3)
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    (without,) = evaluate_scans(**scored | {"patches": None}).metrics.to_dict("records")
    assert np.isnan(without["location_error"])


def test_the_wider_truth_stands_beside_the_truth_and_missed_voxels_count(scored, scan):
    heatmap, mask, lesion = scan
    (row,) = evaluate_scans(**scored).metrics.to_dict("records")
    both = wider(lesion) & mask  # 3 x 6 x 4 voxels of 6 x 6 x 4; 32 are off the grid
    expected = evaluate_scores(heatmap[mask], both[mask], 6 * 6 * 4 - 3 * 6 * 4 + 32)
    for name in ("auprc", "best_dice", "prevalence"):
        assert row[f"{name}_any"] == pytest.approx(expected[name])
        assert row[f"{name}_any"] != pytest.approx(row[name])
    assert row["best_dice_any"] == pytest.approx(max(2 * 16 / (16 + 176), 2 * 72 / (2400 + 176)))


def test_everything_rests_on_the_truth_that_is_asked_for(scored, scan):
    heatmap, mask, lesion = scan
    found = evaluate_scans(**scored, truth="any")
    (row,) = found.metrics.to_dict("records")
    expected = evaluate_subject(heatmap, mask, wider(lesion), voxel_ml=0.008, lost_ml=32 * 0.008, patch=4)
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    by_half = evaluate_scans(**scored).metrics.iloc[0]
    for name in ("auprc", "best_dice", "prevalence"):
        assert row[name] == row[f"{name}_any"] == by_half[f"{name}_any"]
    thresholds = [Threshold(HEALTHY, quantile, 2.0) for quantile in QUANTILES]
    at_thresholds = detections(
        heatmap, mask, wider(lesion), thresholds, spacing=2.0, lost_ml=32 * 0.008, lost_lesions=1
    )
    pd.testing.assert_frame_equal(
        found.at_thresholds.drop(columns="subject"), pd.DataFrame(at_thresholds), check_dtype=False
    )
    released = released_code_metrics(heatmap, mask, wider(lesion), lost=32)
    assert found.released_code.iloc[0].to_dict() == {"subject": "sub-1", **released}


@pytest.mark.parametrize("scored", ["001", "1e5", "NA"], indirect=True)
def test_a_name_may_look_like_a_number_or_like_nothing(scored, tmp_path):
    found = evaluate_scans(**scored)
    write_csv(tmp_path / "metrics.csv", found.metrics)
    (row,) = read_csv(tmp_path / "metrics.csv").to_dict("records")
    assert row["subject"] == scored["scans"][0].subject
    assert (row["seconds"], row["location_error"]) == (1.5, 5.0)


def test_thresholds_are_those_of_the_validation_scans_and_what_is_lost_counts(scored, scan):
    found = evaluate_scans(**scored)
    thresholds = [Threshold(HEALTHY, quantile, 2.0) for quantile in QUANTILES]
    expected = detections(*scan, thresholds, spacing=2.0, lost_ml=32 * 0.008, lost_lesions=1)
    pd.testing.assert_frame_equal(found.at_thresholds.drop(columns="subject"), pd.DataFrame(expected))
    (row,) = found.at_thresholds.iloc[:1].to_dict("records")
    assert (row["subject"], row["lesions"], row["lesions_found"]) == ("sub-1", 2, 1)
    assert row["sensitivity"] == pytest.approx(16 / 64)
    (row,) = found.released_code.to_dict("records")
    assert row == {"subject": "sub-1", **released_code_metrics(*scan, lost=32)}
    assert row["auprc"] == found.metrics["auprc"].item()


def test_a_heatmap_that_does_not_fit_its_scan_is_named(scored, scan):
    volumes.write(scored["scans"][0].mask_path, scan[1][:-1], np.eye(4))
    with pytest.raises(InputError, match=r"sub-1\.nii\.gz: mask has shape"):
        evaluate_scans(**scored)


def test_a_joint_score_is_evaluated_in_the_brain_that_the_scans_share(scored, scan):
    """Lesion in the scan's own mask that another scan's mask lacks is missed, like any outside the brain."""
    heatmap, mask, lesion = scan
    common = mask & (np.arange(SHAPE[0]) > 5)[:, None, None]  # of the 16 lesion voxels in the mask, half
    joint = np.where(common, heatmap, np.nan)
    volumes.write(scored["heatmaps"] / "sub-1.nii.gz", joint, np.eye(4))
    with pytest.raises(InputError, match="score the scan again"):
        evaluate_scans(**scored)
    found = evaluate_scans(**scored, common_brain=True)
    (row,) = found.metrics.to_dict("records")
    expected = evaluate_subject(joint, common, lesion, voxel_ml=0.008, lost_ml=32 * 0.008, patch=4)
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    assert row["lesion_ml_outside"] == pytest.approx((32 - 8 + 32) * 0.008)
    assert row["auprc"] == pytest.approx(8 / 64)


def test_a_calibrated_score_is_that_of_calibrated_heatmaps(scored, scan, tmp_path):
    heatmap, mask, lesion = scan
    generator = np.random.default_rng(3)
    usual = [np.where(mask, generator.normal(size=SHAPE), np.nan).astype(np.float32) for _ in range(4)]
    paths = [tmp_path / f"validation_{place}.nii.gz" for place in range(4)]
    named = {path.name: scores for path, scores in zip(paths, usual, strict=True)}
    for name, scores in named.items():
        volumes.write(tmp_path / name, scores, np.eye(4))
    found = evaluate_scans(**scored | {"validation": paths[::-1]}, calibration=fit_calibration(usual, 2.0))
    calibrated = fit_calibration(usual, 2.0).apply(heatmap.astype(np.float32))
    expected = evaluate_subject(calibrated, mask, lesion, 0.008, lost_ml=32 * 0.008, patch=4)
    (row,) = found.metrics.to_dict("records")
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    thresholds = healthy_quantiles([*calibrated_validation(named, 2.0).values()], QUANTILES)
    assert found.at_thresholds["threshold"].tolist() == pytest.approx(thresholds)


@pytest.fixture
def spread(scored, scan, tmp_path):
    """`scored` with healthy validation scores 0, 0.001 ... 2.399: a share p of them is above 2.4 * (1 - p)."""
    mask = scan[1]
    usual = np.full(SHAPE, np.nan, np.float32)
    usual[mask] = np.arange(mask.sum()) / 1000
    volumes.write(tmp_path / "validation.nii.gz", usual, np.eye(4))
    return scored


def test_curves_are_those_of_the_scans_with_lesion_and_count_what_is_lost(spread, scan):
    heatmap, mask, lesion = scan
    table = evaluate_scans(**spread).curves.set_index("curve")
    assert (table["subjects"] == 1).all()
    recall, dice = table.loc["precision_recall"], table.loc["dice_threshold"]
    ranking = rank(heatmap[mask], lesion[mask], 16 + 32)
    np.testing.assert_allclose(recall["mean"], precision_at_recalls(ranking))
    assert recall["mean"].tolist() == [1] * 26 + [0] * 75  # a quarter of the lesion has a score
    assert dice["x"].tolist() == pytest.approx(np.geomspace(1e-4, 0.5, 41))
    np.testing.assert_allclose(dice["mean"], dice_above(ranking, 2.399 * (1 - dice["x"].to_numpy())))
    assert dice["mean"].iloc[0] == pytest.approx(2 * 16 / (16 + 64))


def test_healthy_scans_have_no_curves(spread, scan):
    subject = spread["scans"][0]
    for path in (subject.lesion_path, subject.lesion_any_path):
        volumes.write(path, np.zeros(SHAPE), np.eye(4))
    lost = {"lost_to_grid_ml": 0.0, "scale": 1.0, "lesions_source": 0, "lesions_in_view": 0}
    write_json(subject.qc_path, {"lesion": lost})
    assert evaluate_scans(**spread).curves.empty


@pytest.fixture
def validating(scan, tmp_path):
    """Two validation scans with lesions, and one without, with their heatmaps: (scan, path)."""
    _, mask, _ = scan
    pairs = []
    for name, width, level in (("sub-2", 4, 2.1), ("sub-3", 8, 1.7), ("sub-4", 0, 0.0)):
        lesion = np.zeros(SHAPE, bool)
        lesion[10 : 10 + width, 10:14, 4:6] = True
        heatmap = np.where(mask, np.where(lesion, level, 0.5), np.nan)
        heatmap[20:22, 10:14, 4:6] = 2.0  # healthy, between the scores of the lesions
        subject = Scan(name, tmp_path / name, "T1")
        volumes.write(subject.mask_path, mask, np.eye(4))
        volumes.write(subject.lesion_path, lesion, np.eye(4))
        volumes.write(subject.lesion_any_path, wider(lesion), np.eye(4))
        lost = {"lost_to_grid_ml": 0.0, "scale": 1.0, "lesions_source": 1, "lesions_in_view": 1}
        write_json(subject.qc_path, {"content": name, "lesion": lost})
        path = tmp_path / "heatmaps_validation" / f"{name}.nii.gz"
        volumes.write(path, heatmap, np.eye(4))
        pairs.append((subject, path))
    return pairs


def test_validation_scans_with_lesions_choose_the_threshold_of_best_mean_dice(spread, validating):
    rows = evaluate_scans(**spread, lesion_validation=validating).at_thresholds
    assert rows["kind"].tolist() == [HEALTHY] * len(QUANTILES) + [LESION]
    row = rows.iloc[-1]
    # Both lesions and 16 healthy voxels: (2*32/(48+32) + 2*64/(80+64))/2 = 0.84; above 2.0 only the first: (1+0)/2.
    assert row["threshold"] == pytest.approx(2.399 * row["quantile"], abs=1e-6)
    shares = 1 - np.array([1.7, row["threshold"]]) / 2.399
    assert row["threshold"] < 1.7
    highest_below = SHARES[shares[0] < SHARES][0]
    assert shares[1] == pytest.approx(highest_below)
    assert row["subject"] == "sub-1"
    assert row["dice"] == pytest.approx(2 * 16 / (16 + 64))


def test_a_tested_scan_does_not_choose_the_threshold_under_another_name(spread, validating):
    report = read_json(validating[1][0].qc_path)
    write_json(validating[1][0].qc_path, report | {"content": "painted", "acquired_content": "sub-1"})
    with pytest.raises(InputError, match=r"/sub-1 is sub-3: 1 scans .* of validation scans, which choose"):
        evaluate_scans(**spread, lesion_validation=validating)


def test_validation_scans_choose_by_the_truth_that_is_asked_for(spread, validating):
    for scan, _ in validating:  # by any, only what is healthy by half is lesion
        lesion = np.zeros(SHAPE, bool)
        lesion[20:22, 10:14, 4:6] = True
        volumes.write(scan.lesion_any_path, lesion, np.eye(4))
    by_half, by_any = (
        evaluate_scans(**spread, lesion_validation=validating, truth=truth).at_thresholds.iloc[-1]
        for truth in ("half", "any")
    )
    assert by_half["threshold"] < 1.7 < by_any["threshold"] < 2.0


def test_validation_scans_without_any_lesion_choose_nothing(spread, validating):
    with pytest.raises(InputError, match="heatmaps_validation: no validation scan with a lesion"):
        evaluate_scans(**spread, lesion_validation=validating[2:])


def test_a_validation_heatmap_that_does_not_fit_its_scan_is_named(spread, validating, scan):
    volumes.write(validating[0][0].mask_path, scan[1][:-1], np.eye(4))
    with pytest.raises(InputError, match=r"heatmaps_validation/sub-2\.nii\.gz: "):
        evaluate_scans(**spread, lesion_validation=validating)


def test_tested_scans_have_no_part_in_the_threshold(spread, validating, scan, tmp_path):
    before = evaluate_scans(**spread, lesion_validation=validating).at_thresholds["threshold"]
    changed = np.where(scan[1], np.random.default_rng(5).normal(size=SHAPE), np.nan)
    volumes.write(tmp_path / "heatmaps/sub-1.nii.gz", changed, np.eye(4))
    after = evaluate_scans(**spread, lesion_validation=validating).at_thresholds["threshold"]
    assert after.tolist() == before.tolist()


def test_choices_of_the_released_code_become_the_metrics_themselves(scored, scan):
    """Background at 0, bisection and lesion off the grid ignored; its own table of single choices stays as it is."""
    heatmap, mask, lesion = scan
    choices = {"background": "zero", "best_dice": "bisection", "off_grid": "ignored"}
    found, ours = evaluate_scans(**scored, choices=choices), evaluate_scans(**scored)
    (row,) = found.metrics.to_dict("records")
    ranked = evaluate_scores(np.where(mask, heatmap, 0), lesion)
    assert {name: row[name] for name in ("auprc", "auroc", "prevalence")} == pytest.approx(
        {name: ranked[name] for name in ("auprc", "auroc", "prevalence")}
    )
    outside = int((lesion & ~mask).sum())
    assert row["best_dice"] == bisected_dice(rank(heatmap[mask], lesion[mask], outside))
    ranked_any = evaluate_scores(np.where(mask, heatmap, 0), wider(lesion))
    assert row["auprc_any"] == pytest.approx(ranked_any["auprc"])
    pd.testing.assert_frame_equal(found.released_code, ours.released_code)
    pd.testing.assert_frame_equal(found.at_thresholds, ours.at_thresholds)
    same = ["lesion_ml", "lesion_ml_outside", "mean_score_healthy", "auroc_healthy"]
    pd.testing.assert_frame_equal(found.metrics[same], ours.metrics[same])
