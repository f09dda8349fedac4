import numpy as np
import pytest
from scipy.ndimage import binary_erosion, gaussian_filter
from scipy.spatial.distance import cdist

from patch2loc.metrics.detection import (
    HEALTHY,
    QUANTILES,
    SIZES,
    Threshold,
    bounding_box,
    detections,
    healthy_quantiles,
    surface,
    surface_distance_95,
)

SHAPE = (40, 30, 20)
SPACING = 5.0  # a voxel of 0.125 ml: a lesion of one voxel is medium


def block(*corners):
    volume = np.zeros(SHAPE, bool)
    volume[tuple(slice(low, high) for low, high in corners)] = True
    return volume


MASK = block((2, 38), (2, 28), (2, 18))


def at(threshold, heatmap, lesion, spacing=SPACING, **lost):
    given = Threshold(HEALTHY, 0.95, threshold)
    (row,) = detections(
        np.where(MASK, heatmap, np.nan).astype(np.float32), MASK, lesion, [given], spacing=spacing, **lost
    )
    assert (row["kind"], row["quantile"], row["threshold"]) == given
    return row


def distance(first, second, spacing):
    return surface_distance_95(surface(first, spacing), surface(second, spacing))


def test_thresholds_are_quantiles_of_all_healthy_voxels():
    generator = np.random.default_rng(0)
    scans = [generator.normal(size=(20, 10)).astype(np.float32) for _ in range(3)]
    scans[1][4] = np.nan
    found = healthy_quantiles(iter(scans), QUANTILES)
    pooled = np.concatenate([scan[~np.isnan(scan)] for scan in scans])
    for quantile, threshold in zip(QUANTILES, found, strict=True):
        assert (pooled > threshold).mean() == pytest.approx(1 - quantile, abs=1 / pooled.size)


def test_a_share_of_equal_scores_does_not_exceed_the_threshold():
    (threshold,) = healthy_quantiles([np.repeat(np.float32([0, 7]), [10, 90])], [0.95])
    assert at(threshold, np.full(SHAPE, 7.0), np.zeros(SHAPE, bool))["predicted_ml"] == 0


@pytest.mark.parametrize("scans", [[], [np.full(SHAPE, np.nan)]])
def test_thresholds_need_a_score(scans):
    with pytest.raises(ValueError, match="validation"):
        healthy_quantiles(scans, QUANTILES)


def test_overlap_by_hand_with_lesion_outside_the_mask_and_off_the_grid():
    lesion = block((0, 6), (10, 14), (8, 10))  # 6 x 4 x 2 voxels, 2 x 4 x 2 of them outside the mask
    heatmap = block((4, 10), (10, 14), (8, 10)).astype(float)  # 16 voxels in common
    row = at(0.5, heatmap, lesion, lost_ml=2 * 0.125)
    assert row["dice"] == pytest.approx(2 * 16 / (48 + 48 + 2))
    assert row["sensitivity"] == pytest.approx(16 / 50)
    assert row["precision"] == pytest.approx(16 / 48)
    assert row["predicted_ml"] == pytest.approx(48 * 0.125)
    assert row["false_positive_ml"] == pytest.approx(32 * 0.125)
    assert (row["lesions"], row["lesions_found"], row["false_positives"]) == (1, 1, 0)


def test_overlap_agrees_with_scikit_learn():
    from sklearn.metrics import f1_score, precision_score, recall_score

    generator = np.random.default_rng(1)
    lesion = MASK & (generator.random(SHAPE) < 0.1)
    heatmap = generator.normal(lesion.astype(float)).astype(np.float32)
    row = at(0.7, heatmap, lesion)
    truth, found = lesion[MASK], heatmap[MASK] > 0.7
    assert row["dice"] == pytest.approx(f1_score(truth, found))
    assert row["sensitivity"] == pytest.approx(recall_score(truth, found))
    assert row["precision"] == pytest.approx(precision_score(truth, found))


def test_lesions_and_false_positives_by_size():
    single, pair = block((5, 6), (5, 6), (5, 6)), block((10, 12), (5, 6), (5, 6))  # 0.125 and 0.25 ml
    large = block((20, 24), (5, 9), (5, 6))  # 2 ml
    diagonal = block((12, 13), (6, 7), (6, 7))  # touches the pair by a corner: one lesion
    false = block((30, 31), (20, 21), (10, 11)), block((30, 34), (24, 27), (10, 11))  # 0.125 and 1.5 ml
    heatmap = sum(volume.astype(float) for volume in (single, large, *false))
    row = at(0.5, heatmap, single | pair | diagonal | large, lost_lesions=1)
    assert [row[f"lesions_{size}"] for size in SIZES] == [0, 2, 1]
    assert [row[f"lesions_found_{size}"] for size in SIZES] == [0, 1, 1]
    assert [row[f"false_positives_{size}"] for size in SIZES] == [0, 1, 1]
    assert (row["lesions"], row["lesions_found"], row["false_positives"]) == (4, 2, 2)
    smaller = at(0.5, heatmap, single | pair | diagonal | large, spacing=2.0)  # the same at 0.008 ml a voxel
    assert [smaller[f"lesions_{size}"] for size in SIZES] == [2, 1, 0]


def test_healthy_scans_have_false_positives_only():
    row = at(0.5, block((30, 34), (24, 27), (10, 11)).astype(float), np.zeros(SHAPE, bool))
    for name in ("dice", "sensitivity", "precision", "surface_distance_95_mm"):
        assert np.isnan(row[name])
    assert (row["lesions"], row["lesions_found"], row["false_positives"]) == (0, 0, 1)
    assert row["false_positive_ml"] == row["predicted_ml"] == pytest.approx(12 * 0.125)


def test_nothing_found_is_a_dice_of_zero_without_precision_and_distance():
    row = at(2.0, np.ones(SHAPE), block((5, 6), (5, 6), (5, 6)))
    assert (row["dice"], row["sensitivity"], row["lesions_found"], row["predicted_ml"]) == (0, 0, 0, 0)
    assert np.isnan(row["precision"])
    assert np.isnan(row["surface_distance_95_mm"])


def test_a_lesion_wholly_off_the_grid_is_missed():
    row = at(2.0, np.ones(SHAPE), np.zeros(SHAPE, bool), lost_ml=1.0, lost_lesions=1)
    assert (row["dice"], row["sensitivity"], row["lesions"], row["lesions_found"]) == (0, 0, 1, 0)


def test_surface_distance_of_shifted_blocks():
    first, second = block((5, 15), (5, 15), (5, 15)), block((8, 18), (5, 15), (5, 15))
    assert distance(first, first, 2.0) == 0
    assert distance(first, second, 2.0) == pytest.approx(3 * 2.0)
    assert np.isnan(distance(first, np.zeros(SHAPE, bool), 2.0))


def test_surface_distance_equals_all_pairs():
    generator = np.random.default_rng(2)
    volumes = [gaussian_filter(generator.normal(size=SHAPE), 2) > 0.05 for _ in range(2)]
    surfaces = [np.argwhere(volume & ~binary_erosion(volume)) * 1.5 for volume in volumes]
    pairs = cdist(*surfaces)
    expected = max(np.percentile(pairs.min(axis=axis), 95) for axis in (0, 1))
    assert distance(*volumes, spacing=1.5) == pytest.approx(expected)
    assert distance(*volumes[::-1], spacing=1.5) == pytest.approx(expected)


def test_the_box_holds_all_and_no_more():
    volume = block((3, 5), (7, 8), (0, 20))
    assert volume[bounding_box(volume)].shape == (2, 1, 20)
    assert volume[bounding_box(volume)].all()
    assert np.zeros(SHAPE)[bounding_box(np.zeros(SHAPE, bool))].shape == SHAPE
