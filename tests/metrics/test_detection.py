import numpy as np
import pytest
from scipy.ndimage import binary_erosion, gaussian_filter
from scipy.spatial.distance import cdist

from patch2loc.metrics.detection import (
    HEALTHY,
    LESION_WISE,
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
    return surface_distance_95(surface(first), surface(second), spacing)


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


def test_lesion_wise_measures_by_hand():
    """Three lesions and one off the grid; two are found, one of them by two parts; one part is false."""
    exact, touched = block((4, 8), (4, 8), (4, 8)), block((14, 22), (4, 8), (4, 8))
    missed = block((30, 31), (4, 5), (4, 5))
    parts = (
        block((4, 8), (4, 8), (5, 8)),  # 48 of the 64 voxels of its lesion: more than half of the union
        block((14, 16), (4, 8), (4, 8)),  # 32 of 128
        block((20, 26), (4, 8), (4, 8)),  # 32 of 128, and 64 beside it
        block((30, 32), (20, 22), (10, 12)),  # false
    )
    heatmap = sum(part.astype(float) for part in parts)
    row = at(0.5, heatmap, exact | touched | missed, lost_lesions=1)
    assert (row["lesions"], row["lesions_found"]) == (4, 2)
    assert (row["detected_parts"], row["false_positives"]) == (4, 1)
    precision, recall = 3 / 4, 2 / 4
    assert row["lesion_precision"] == pytest.approx(precision)
    assert row["lesion_f1"] == pytest.approx(2 * precision * recall / (precision + recall))
    assert row["lesion_f1_strict"] == pytest.approx(2 * 1 / (4 + 4))


def test_half_of_the_union_is_not_more_than_half():
    lesion, half = block((4, 8), (4, 8), (4, 8)), block((4, 8), (4, 8), (6, 8))
    assert at(0.5, half.astype(float), lesion)["lesion_f1_strict"] == 0
    assert at(0.5, half.astype(float), lesion)["lesion_f1"] == 1
    assert at(0.5, lesion.astype(float), lesion)["lesion_f1_strict"] == 1


def connected_sets(volume):
    """26-connected parts as sets of voxels, by walking from neighbor to neighbor."""
    left, parts = {tuple(voxel) for voxel in np.argwhere(volume).tolist()}, []
    while left:
        border = [left.pop()]
        part = set(border)
        while border:
            x, y, z = border.pop()
            near = {(x + dx, y + dy, z + dz) for dx in (-1, 0, 1) for dy in (-1, 0, 1) for dz in (-1, 0, 1)}
            near &= left
            left -= near
            part |= near
            border += near
        parts.append(part)
    return parts


def test_lesion_wise_measures_agree_with_loops_over_lesions_and_parts():
    generator = np.random.default_rng(5)
    seen_strict = set()
    for scale in (1.0, 1.5, 2.5):
        smooth = gaussian_filter(generator.normal(size=SHAPE), scale)
        lesion = MASK & (smooth > np.quantile(smooth, 0.93))
        noise = gaussian_filter(generator.normal(size=SHAPE), scale)
        heatmap = (smooth / smooth.std() + noise / noise.std()).astype(np.float32)
        threshold = float(np.quantile(heatmap, 0.94))
        row = at(threshold, heatmap, lesion)
        lesion_sets, part_sets = connected_sets(lesion), connected_sets(MASK & (heatmap > threshold))
        found = sum(any(one & part for part in part_sets) for one in lesion_sets)
        right = sum(any(one & part for one in lesion_sets) for part in part_sets)
        strict = sum(len(one & part) / len(one | part) > 0.5 for one in lesion_sets for part in part_sets)
        assert (row["lesions"], row["lesions_found"]) == (len(lesion_sets), found)
        assert (row["detected_parts"], row["false_positives"]) == (len(part_sets), len(part_sets) - right)
        precision, recall = right / len(part_sets), found / len(lesion_sets)
        assert 0 < precision < 1
        assert 0 < recall < 1
        assert row["lesion_precision"] == pytest.approx(precision)
        assert row["lesion_f1"] == pytest.approx(2 / (1 / precision + 1 / recall))
        assert row["lesion_f1_strict"] == pytest.approx(2 * strict / (len(lesion_sets) + len(part_sets)))
        seen_strict.add(strict > 0)
    assert True in seen_strict


def test_lesion_wise_measures_where_nothing_is_found_or_nothing_is_there():
    lesion, elsewhere = block((5, 6), (5, 6), (5, 6)), block((30, 31), (5, 6), (5, 6)).astype(float)
    missed = at(0.5, elsewhere, lesion)
    assert (missed["lesion_precision"], missed["lesion_f1"], missed["lesion_f1_strict"]) == (0, 0, 0)
    nothing = at(2.0, elsewhere, lesion)
    assert (nothing["lesion_f1"], nothing["lesion_f1_strict"]) == (0, 0)
    assert np.isnan(nothing["lesion_precision"])
    healthy = at(0.5, elsewhere, np.zeros(SHAPE, bool))
    assert np.isnan([healthy[name] for name in LESION_WISE]).all()


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


@pytest.mark.parametrize("sizes", [(4000, 30), (30, 4000), (3000, 3000), (1, 1), (2, 50)])
def test_a_percentile_of_few_distances_is_that_of_all(sizes):
    generator = np.random.default_rng(5)
    for spread in (150, 20):
        first, second = (generator.integers(0, spread, (size, 3)) for size in sizes)
        pairs = cdist(first * 0.7, second * 0.7)
        expected = max(np.percentile(pairs.min(axis=axis), 95) for axis in (0, 1))
        assert surface_distance_95(first, second, 0.7) == pytest.approx(expected, rel=1e-12)


def test_the_box_holds_all_and_no_more():
    volume = block((3, 5), (7, 8), (0, 20))
    assert volume[bounding_box(volume)].shape == (2, 1, 20)
    assert volume[bounding_box(volume)].all()
    assert np.zeros(SHAPE)[bounding_box(np.zeros(SHAPE, bool))].shape == SHAPE
