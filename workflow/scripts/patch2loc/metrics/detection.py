"""Detection at thresholds that do not depend on tested scans, such as quantiles of healthy validation scores."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.ndimage import binary_erosion, find_objects, label
from scipy.spatial import KDTree

QUANTILES = (0.95, 0.98, 0.99)
HEALTHY, LESION = "healthy quantile", "lesion validation"  # kinds of thresholds
# Name of a size, and the volume (ml) below which a lesion or a false positive belongs to it.
SIZES = {"small": 0.1, "medium": 1.0, "large": np.inf}
LESION_WISE = ("lesion_precision", "lesion_f1", "lesion_f1_strict")
CONNECTIVITY_26 = np.ones((3, 3, 3), bool)


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
    scores = np.concatenate([np.empty(0, np.float32), *(heatmap[~np.isnan(heatmap)] for heatmap in heatmaps)])
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
    score, lesion = np.where(mask[box], heatmap[box], -np.inf), lesion[box]
    positives = int(np.count_nonzero(lesion)) + round(lost_ml / voxel_ml)
    lesions, lesion_voxels = _parts(lesion)
    lesion_ml = lesion_voxels * voxel_ml
    truth = surface(lesion, spacing)
    rows = []
    for threshold in thresholds:
        predicted = score > threshold.threshold
        hits, total = int(np.count_nonzero(predicted & lesion)), int(np.count_nonzero(predicted))
        parts, part_voxels = _parts(predicted)
        part_ml = part_voxels * voxel_ml
        detected = np.isin(np.arange(1, len(lesion_ml) + 1), lesions[predicted])
        false_positive = ~np.isin(np.arange(1, len(part_ml) + 1), parts[lesion])
        row: dict[str, Any] = {
            **threshold._asdict(),
            "dice": 2 * hits / (total + positives) if positives else np.nan,
            "sensitivity": hits / positives if positives else np.nan,
            "precision": hits / total if positives and total else np.nan,
            "predicted_ml": total * voxel_ml,
            "false_positive_ml": (total - hits) * voxel_ml,
            "surface_distance_95_mm": surface_distance_95(surface(predicted, spacing), truth),
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
            matches=_matches(lesions, lesion_voxels, parts, part_voxels),
        )
        for size in SIZES:
            lesion_of_size, part_of_size = _is_of_size(lesion_ml, size), _is_of_size(part_ml, size)
            row[f"lesions_{size}"] = int(np.count_nonzero(lesion_of_size))
            row[f"lesions_found_{size}"] = int(np.count_nonzero(lesion_of_size & detected))
            row[f"false_positives_{size}"] = int(np.count_nonzero(part_of_size & false_positive))
        rows.append(row)
    return rows


def surface(volume: np.ndarray, spacing: float) -> np.ndarray:
    """Positions (n, 3), mm, of the surface voxels of (x, y, z) boolean: one of the six neighbors is outside."""
    return np.argwhere(volume & ~binary_erosion(volume)) * spacing


def surface_distance_95(first: np.ndarray, second: np.ndarray) -> float:
    """95 % Hausdorff distance of two surfaces, mm; NaN when one is empty.

    The larger of the two directed 95th percentiles of the distance from a point of one surface to the nearest point of
    the other.

    Args:
        first: (n, 3) positions, mm.
        second: (m, 3) positions, mm.
    """
    if not len(first) or not len(second):
        return float("nan")
    to_second, to_first = KDTree(second).query(first)[0], KDTree(first).query(second)[0]
    return float(max(np.percentile(to_second, 95), np.percentile(to_first, 95)))


def bounding_box(volume: np.ndarray) -> tuple[slice, ...]:
    """Smallest box with all true voxels of (x, y, z) boolean; the whole volume where there are none."""
    boxes = find_objects(volume.astype(np.uint8))
    return boxes[0] if boxes else np.s_[:, :, :]


def _parts(volume: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """26-connected parts, numbered from 1, and the number of voxels of each."""
    parts, _ = label(volume, structure=CONNECTIVITY_26)
    return parts, np.bincount(parts[volume])[1:]


def _matches(
    lesions: np.ndarray, lesion_voxels: np.ndarray, parts: np.ndarray, part_voxels: np.ndarray
) -> int:
    """Number of pairs of a lesion and a part whose intersection is more than half of their union.

    Arguments as `_parts` returns them. No lesion and no part is in two such pairs.
    """
    both = (lesions > 0) & (parts > 0)
    pairs = (lesions[both].astype(np.int64) - 1) * len(part_voxels) + parts[both] - 1
    pair, intersection = np.unique(pairs, return_counts=True)
    lesion, part = np.divmod(pair, max(len(part_voxels), 1))
    union = lesion_voxels[lesion] + part_voxels[part] - intersection
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
