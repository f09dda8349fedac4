"""Detection at thresholds that do not depend on tested scans, such as quantiles of healthy validation scores."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial import KDTree

from patch2loc.metrics.connected_parts import Parts, connected_parts

QUANTILES = (0.95, 0.98, 0.99)
HEALTHY, LESION = "healthy quantile", "lesion validation"  # kinds of thresholds
# Name of a size, and the volume (ml) below which a lesion or a false positive belongs to it.
SIZES = {"small": 0.1, "medium": 1.0, "large": np.inf}
LESION_WISE = ("lesion_precision", "lesion_f1", "lesion_f1_strict")
CELL = 4  # voxels: edge of the cubes whose middles tell about the distances of what is in them


class Threshold(NamedTuple):
    """A threshold of the score.

    Attributes:
        kind: HEALTHY, a quantile of QUANTILES; or LESION, chosen on validation scans with lesions.
        quantile: share of the healthy validation voxels that are not above the threshold.
        threshold: the score above which a voxel is called lesion.
    """

    kind: str
    quantile: float
    threshold: float


def _voxel_ml(spacing: float) -> float:
    """Volume of a voxel of the grid, ml. spacing: mm."""
    return spacing**3 / 1000


def healthy_quantiles(heatmaps: Iterable[np.ndarray], quantiles: Sequence[float]) -> list[float]:
    """Scores that given shares of the brain voxels of healthy scans do not exceed.

    Args:
        heatmaps: scores of one scan after another, any shape; NaN are left out, the voxels of all scans are pooled.
        quantiles: the shares.

    Raises:
        ValueError: when there is no score.
    """
    flat = (heatmap.ravel(order="K") for heatmap in heatmaps)  # in memory's order, which is quicker
    scores = np.concatenate([np.empty(0, np.float32), *(scores[~np.isnan(scores)] for scores in flat)])
    if not scores.size:
        raise ValueError("no score of a healthy validation scan found, one at least expected")
    return list(map(float, np.quantile(scores, np.array(quantiles), overwrite_input=True)))


def detections(
    heatmap: np.ndarray,
    mask: np.ndarray,
    lesion: np.ndarray,
    thresholds: Sequence[Threshold],
    *,
    spacing: float,
    lost_ml: float = 0.0,
    lost_lesions: int = 0,
) -> list[dict[str, float | str]]:
    """Detection in a scan when every voxel above a threshold is called lesion, one row per threshold.

    Args:
        heatmap: (x, y, z) score, NaN outside the mask.
        mask: (x, y, z) boolean, the brain.
        lesion: (x, y, z) boolean; an empty one is that of a healthy scan.
        thresholds: to be applied, each by itself.
        spacing: of the voxels, mm.
        lost_ml: volume of lesion off the grid, in atlas space, ml.
        lost_lesions: number of lesions that are wholly off the grid.

    Returns:
        Rows with these columns:
        kind, quantile, threshold: of the `Threshold`.
        dice, sensitivity, precision: of voxels. Lesion outside the mask or off the grid is missed. NaN without any
        lesion; precision also where nothing is detected.
        predicted_ml, false_positive_ml: volumes.
        surface_distance_95_mm: `surface_distance_95` of detection and lesion.
        lesions, lesions_found: number of 26-connected lesions, those off the grid included, and of those of them
        that are detected by at least one voxel.
        false_positives: number of 26-connected parts of the detection that no lesion overlaps.
        The last three also with _small, _medium and _large (SIZES), of lesions on the grid and false positives of
        that volume.
        detected_parts: number of 26-connected parts of the detection.
        lesion_precision: share of these that overlap a lesion; NaN where nothing is detected.
        lesion_f1: harmonic mean of it and of lesions_found over lesions; 0 where no lesion is found.
        lesion_f1_strict: the same when a lesion is found, and a part is right, only by a part and a lesion of which
        the intersection is more than half of the union (recognition quality; Kirillov et al. 2019). Each has at most
        one such partner. These three are NaN without any lesion.
    """
    voxel_ml = _voxel_ml(spacing)
    box = bounding_box(mask | lesion)
    # With a margin that is outside everything, so that every voxel has its neighbors.
    score = np.pad(np.where(mask[box], heatmap[box], -np.inf), 1, constant_values=-np.inf)
    lesion = np.pad(lesion[box], 1)
    lesions = connected_parts(lesion)
    lesion_number = np.zeros(lesion.size, np.int32)  # from 1; 0 outside lesions
    lesion_number[lesions.voxels] = lesions.part + 1
    positives = len(lesions.voxels) + round(lost_ml / voxel_ml)
    lesion_ml = lesions.sizes * voxel_ml
    truth = _surface(lesion, lesions.voxels)
    rows = []
    for threshold in thresholds:
        predicted = score > threshold.threshold
        parts = connected_parts(predicted)
        part_ml = parts.sizes * voxel_ml
        number = lesion_number[parts.voxels]
        hits, total = int(np.count_nonzero(number)), len(parts.voxels)
        detected = np.bincount(number, minlength=len(lesion_ml) + 1)[1:] > 0
        false_positive = np.bincount(parts.part[number > 0], minlength=len(part_ml)) == 0
        row: dict[str, Any] = {
            **threshold._asdict(),
            "dice": 2 * hits / (total + positives) if positives else np.nan,
            "sensitivity": hits / positives if positives else np.nan,
            "precision": hits / total if positives and total else np.nan,
            "predicted_ml": total * voxel_ml,
            "false_positive_ml": (total - hits) * voxel_ml,
            "surface_distance_95_mm": surface_distance_95(_surface(predicted, parts.voxels), truth, spacing),
            "lesions": len(lesion_ml) + lost_lesions,
            "lesions_found": int(np.count_nonzero(detected)),
            "false_positives": int(np.count_nonzero(false_positive)),
            "detected_parts": len(part_ml),
        }
        row |= _lesion_wise(
            row["lesions"],
            row["lesions_found"],
            row["detected_parts"],
            row["false_positives"],
            matches=_matches(lesions.sizes, number, parts),
        )
        for size in SIZES:
            lesion_of_size, part_of_size = _is_of_size(lesion_ml, size), _is_of_size(part_ml, size)
            row[f"lesions_{size}"] = int(np.count_nonzero(lesion_of_size))
            row[f"lesions_found_{size}"] = int(np.count_nonzero(lesion_of_size & detected))
            row[f"false_positives_{size}"] = int(np.count_nonzero(part_of_size & false_positive))
        rows.append(row)
    return rows


def surface(volume: np.ndarray) -> np.ndarray:
    """Surface voxels (n, 3) of (x, y, z) boolean: one of the six neighbors is outside, or off the volume."""
    padded = np.pad(volume, 1)
    return _surface(padded, np.flatnonzero(padded)) - 1


def _surface(volume: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    """Surface voxels (n, 3) of a volume whose outermost voxels are false; voxels: its true ones, flattened indices."""
    flat = volume.ravel()
    _, depth, height = volume.shape
    enclosed = np.ones(len(voxels), bool)
    for step in (1, height, depth * height):
        enclosed &= flat[voxels - step] & flat[voxels + step]
    return np.stack(np.unravel_index(voxels[~enclosed], volume.shape), axis=1)


def surface_distance_95(first: np.ndarray, second: np.ndarray, spacing: float) -> float:
    """95 % Hausdorff distance of two surfaces, mm; NaN when one is empty.

    The larger of the two directed 95th percentiles of the distance from a point of one surface to the nearest point of
    the other.

    Args:
        first: (n, 3) voxels.
        second: (m, 3) voxels.
        spacing: edge of a voxel, mm.
    """
    if not len(first) or not len(second):
        return float("nan")
    return max(_distance_95(first, second, spacing), _distance_95(second, first, spacing))


def _distance_95(points: np.ndarray, others: np.ndarray, spacing: float) -> float:
    """95th percentile of the distances from points (n, 3) to the nearest of others (m, 3), as of all distances.

    Few of them are computed: the distance of the middle of a point's cube of CELL voxels bounds its own, and most
    points are then known to be nearer, or farther, than the percentile.
    """
    # Other trees give the same distances; for surfaces, this one is quickest.
    tree = KDTree(others * spacing, leafsize=24, compact_nodes=False, balanced_tree=False)
    cells, cell = np.unique(points // CELL @ [1 << 40, 1 << 20, 1], return_inverse=True)
    middles = np.stack([cells >> 40, cells >> 20 & 0xFFFFF, cells & 0xFFFFF], axis=1) * CELL + (CELL - 1) / 2
    about = tree.query(middles * spacing)[0][cell]
    # A distance is off by no more than its point is from the middle; rounding is far less than the last factor.
    offset = np.linalg.norm(points - middles[cell], axis=1) * spacing * (1 + 1e-6)
    least, most = about - offset, about + offset
    # The distances in order lie between the bounds in order, and so do the two that the percentile is taken of.
    low, high = np.percentile(least, 95, method="lower"), np.percentile(most, 95, method="higher")
    distances = np.where(most < low, -np.inf, np.inf)
    between = (most >= low) & (least <= high)
    distances[between] = tree.query(points[between] * spacing)[0]
    return float(np.percentile(distances, 95))


def bounding_box(volume: np.ndarray) -> tuple[slice, ...]:
    """Smallest box with all true voxels of (x, y, z) boolean; the whole volume where there are none."""
    places = [np.flatnonzero(volume.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    if not places[0].size:
        return np.s_[:, :, :]
    return tuple(slice(place[0], place[-1] + 1) for place in places)


def _matches(lesion_voxels: np.ndarray, number: np.ndarray, parts: Parts) -> int:
    """Number of pairs of a lesion and a part whose intersection is more than half of their union.

    No lesion and no part is in two such pairs.

    Args:
        lesion_voxels: (lesions,) number of voxels of each.
        number: (n,) lesion, from 1, at each voxel of the parts; 0 outside lesions.
        parts: of the detection.
    """
    both = number > 0
    pairs = (number[both].astype(np.int64) - 1) * len(parts.sizes) + parts.part[both]
    pair, intersection = np.unique(pairs, return_counts=True)
    lesion, part = np.divmod(pair, max(len(parts.sizes), 1))
    union = lesion_voxels[lesion] + parts.sizes[part] - intersection
    return int(np.count_nonzero(2 * intersection > union))


def _lesion_wise(lesions: int, found: int, parts: int, false: int, *, matches: int) -> dict[str, float]:
    """Precision and F1 over lesions; arguments are numbers of lesions and of detected parts."""
    if not lesions:
        return dict.fromkeys(LESION_WISE, np.nan)
    precision, recall = (parts - false) / parts if parts else np.nan, found / lesions
    values = (
        precision,
        2 * precision * recall / (precision + recall) if found else 0.0,
        2 * matches / (lesions + parts),
    )
    return dict(zip(LESION_WISE, values, strict=True))


def _is_of_size(volume_ml: np.ndarray, size: str) -> np.ndarray:
    """True for volumes that belong to a size of SIZES."""
    sizes = list(SIZES)
    bounds = [0.0, *SIZES.values()]
    index = sizes.index(size)
    return (volume_ml >= bounds[index]) & (volume_ml < bounds[index + 1])
