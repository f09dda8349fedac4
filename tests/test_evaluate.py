import numpy as np
import pandas as pd
import pytest

from patch2loc import volumes
from patch2loc.errors import InputError
from patch2loc.evaluate import (
    SUMMARISED,
    bootstrap_interval,
    evaluate_scans,
    evaluate_subject,
    summarise,
)
from patch2loc.files import write_csv, write_json
from patch2loc.scans import Scan

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


def metrics(values, subjects=None):
    subjects = subjects or [f"sub-{number}" for number in range(len(values))]
    return pd.DataFrame({"subject": subjects, **dict.fromkeys(SUMMARISED, values), "prevalence": 0.02})


def test_summary_by_hand():
    summary = summarise([metrics([0.2, 0.4]), metrics([0.4, 0.6])]).set_index("metric").loc["auprc"]
    assert summary["mean"] == pytest.approx(0.4)
    assert summary["sd"] == pytest.approx(np.sqrt(0.02))  # fold means 0.3 and 0.5
    assert (summary["n_subjects"], summary["n_folds"]) == (2, 2)
    assert (summary["ci_low"], summary["ci_high"]) == pytest.approx((0.3, 0.5))  # subject means 0.3, 0.5
    assert summary["prevalence"] == pytest.approx(0.02)


def test_order_of_subjects_does_not_matter_and_folds_are_matched_by_name():
    first = summarise([metrics([0.1, 0.5, 0.9]), metrics([0.2, 0.4, 0.6])])
    second = summarise([metrics([0.1, 0.5, 0.9]), metrics([0.6, 0.4, 0.2], ["sub-2", "sub-1", "sub-0"])])
    pd.testing.assert_frame_equal(first, second)


def test_one_fold_has_no_spread_and_one_subject_no_interval():
    summary = summarise([metrics([0.5])]).set_index("metric").loc["best_dice"]
    assert summary["mean"] == 0.5
    assert np.isnan(summary[["sd", "ci_low", "ci_high"]].astype(float)).all()


def test_healthy_cohort_summarises_to_nothing():
    summary = summarise([metrics([np.nan, np.nan])])
    assert (summary["n_subjects"] == 0).all()
    assert summary["mean"].isna().all()


def test_a_subject_listed_twice_is_refused():
    with pytest.raises(ValueError, match="sub-a"):
        summarise([metrics([0.1, 0.2], ["sub-a", "sub-a"])])


def test_bootstrap_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    hits = 0
    for trial in range(300):
        low, high = bootstrap_interval(generator.normal(0.5, 0.1, 40), seed=trial, resamples=400)
        hits += low <= 0.5 <= high
    # 95 % nominal; the percentile interval of 40 values covers about 93 %, three standard errors are 4.4 %.
    assert 0.886 <= hits / 300 <= 0.985


def test_bootstrap_interval_matches_the_normal_interval_and_is_repeatable():
    values = np.random.default_rng(1).normal(0, 1, 400)
    low, high = bootstrap_interval(values)
    assert (low, high) == bootstrap_interval(values)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.012)


@pytest.fixture
def scored(tmp_path, scan):
    heatmap, mask, lesion = scan
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    subject = Scan("sub-1", tmp_path / "sub-1", "T1")
    volumes.write(subject.mask, mask, affine)
    volumes.write(subject.lesion, lesion, affine)
    volumes.write(tmp_path / "heatmaps/sub-1.nii.gz", heatmap, affine)
    volumes.write(tmp_path / "healthy.nii.gz", np.where(mask, heatmap - 0.5, np.nan), affine)
    report = {"lost_to_grid_ml": 32 * 0.008 / 2, "scale": 2.0}  # registration doubles volumes
    write_json(subject.qc, {"lesion": report})
    write_csv(tmp_path / "heatmaps" / "seconds.csv", pd.DataFrame({"subject": ["sub-1"], "seconds": [1.5]}))
    table = pd.DataFrame(
        {"subject": "sub-1", "lesion_fraction": [0.0, 0.0, 0.01], "location_error": [4.0, 6.0, 50.0]}
    )
    table.to_parquet(tmp_path / "patches.parquet")
    return [subject], tmp_path / "heatmaps", [tmp_path / "healthy.nii.gz"], tmp_path / "patches.parquet"


def test_a_dataset_is_evaluated_from_its_files(scored, scan):
    (row,) = evaluate_scans(*scored, voxel_ml=0.008, patch=4).to_dict("records")
    expected = evaluate_subject(*scan, voxel_ml=0.008, lost_ml=32 * 0.008, patch=4)
    assert row["subject"] == "sub-1"
    assert row["seconds"] == 1.5
    assert row["location_error"] == pytest.approx(5.0)  # patches without lesion only
    heatmap, mask, lesion = scan
    pairs = heatmap[mask & lesion][:, None] - (heatmap[mask] - 0.5)
    assert row["auroc_healthy"] == pytest.approx((pairs > 0).mean(), abs=1e-3)
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    (without,) = evaluate_scans(*scored[:3], None, voxel_ml=0.008, patch=4).to_dict("records")
    assert np.isnan(without["location_error"])


def test_a_heatmap_that_does_not_fit_its_scan_is_named(scored, tmp_path, scan):
    volumes.write(scored[0][0].mask, scan[1][:-1], np.eye(4))
    with pytest.raises(InputError, match=r"sub-1\.nii\.gz: mask has shape"):
        evaluate_scans(*scored, voxel_ml=0.008, patch=4)
