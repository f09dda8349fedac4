"""Detection at thresholds that no tested scan has a part in, such as quantiles of healthy validation scores."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.ndimage import binary_erosion, find_objects, label
from scipy.spatial import KDTree

QUANTILES = (0.95, 0.98, 0.99)
HEALTHY, LESION = "healthy quantile", "lesion validation"  # kinds of thresholds
# Name of a size and the volume, ml, below which a lesion or a false positive belongs to it.
SIZES = {"small": 0.1, "medium": 1.0, "large": np.inf}
TOUCHING = np.ones((3, 3, 3), bool)


class Threshold(NamedTuple):
    """A threshold of the score.

    kind: HEALTHY, a quantile of QUANTILES; or LESION, chosen on validation scans with lesions.
    quantile: share of the healthy validation voxels that are not above the threshold.
    """

    kind: str
    quantile: float
    threshold: float


def healthy_quantiles(heatmaps: Iterable[np.ndarray], quantiles: Sequence[float]) -> list[float]:
    """Scores that these shares of the brain voxels of healthy scans do not exceed.

    heatmaps: scores of one scan after another, any shape, NaN left out; all their voxels are taken together.
    Raises ValueError when there is no score.
    """
    scores = np.concatenate([np.empty(0, np.float32), *(scan[~np.isnan(scan)] for scan in heatmaps)])
    if not scores.size:
        raise ValueError("no score of a healthy validation scan found, one at least expected")
    return np.quantile(scores, np.array(quantiles), overwrite_input=True).tolist()


def detections(
    heatmap: np.ndarray,
    mask: np.ndarray,
    lesion: np.ndarray,
    thresholds: Sequence[Threshold],
    spacing: float,
    lost_ml: float = 0.0,
    lost_lesions: int = 0,
) -> list[dict[str, float | str]]:
    """What is found in a scan when every voxel above a threshold is called lesion: one row per threshold.

    heatmap: (x, y, z) score, NaN outside the mask.  mask, lesion: (x, y, z) boolean; an empty lesion is a healthy
    scan.  spacing: mm.  lost_ml, lost_lesions: volume of lesion off the grid, in atlas space, and number of the lesions
    that are wholly off it.

    kind, quantile, threshold: of Threshold.  dice, sensitivity, precision: of voxels; lesion outside the mask or off
    the grid is missed. NaN without any lesion; precision also where nothing is found.  predicted_ml, false_positive_ml.
    surface_distance_95_mm: as `surface_distance_95`.
    lesions, lesions_found: 26-connected lesions, those off the grid included, and how many of them are found by at
    least one voxel; false_positives: 26-connected parts of what is found that no lesion overlaps. The same with
    _small, _medium and _large (SIZES) for lesions on the grid and false positives of that volume.
    """
    voxel_ml = spacing**3 / 1000
    box = bounding_box(mask | lesion)
    score, lesion = np.where(mask[box], heatmap[box], -np.inf), lesion[box]
    positives = int(np.count_nonzero(lesion)) + round(lost_ml / voxel_ml)
    lesions, lesion_ml = _parts(lesion, voxel_ml)
    truth = surface(lesion, spacing)
    rows = []
    for threshold in thresholds:
        predicted = score > threshold.threshold
        hits, total = int(np.count_nonzero(predicted & lesion)), int(np.count_nonzero(predicted))
        parts, part_ml = _parts(predicted, voxel_ml)
        found = np.isin(np.arange(1, len(lesion_ml) + 1), lesions[predicted])
        false = ~np.isin(np.arange(1, len(part_ml) + 1), parts[lesion])
        row = {
            **threshold._asdict(),
            "dice": 2 * hits / (total + positives) if positives else np.nan,
            "sensitivity": hits / positives if positives else np.nan,
            "precision": hits / total if positives and total else np.nan,
            "predicted_ml": total * voxel_ml,
            "false_positive_ml": (total - hits) * voxel_ml,
            "surface_distance_95_mm": surface_distance_95(surface(predicted, spacing), truth),
            "lesions": len(lesion_ml) + lost_lesions,
            "lesions_found": int(np.count_nonzero(found)),
            "false_positives": int(np.count_nonzero(false)),
        }
        for size in SIZES:
            of_size = _of_size(lesion_ml, size)
            row[f"lesions_{size}"] = int(np.count_nonzero(of_size))
            row[f"lesions_found_{size}"] = int(np.count_nonzero(of_size & found))
            row[f"false_positives_{size}"] = int(np.count_nonzero(_of_size(part_ml, size) & false))
        rows.append(row)
    return rows


def surface(volume: np.ndarray, spacing: float) -> np.ndarray:
    """Places of the voxels on the surface of (x, y, z) boolean, (n, 3) mm: one of their six neighbors is not in it."""
    return np.argwhere(volume & ~binary_erosion(volume)) * spacing


def surface_distance_95(first: np.ndarray, second: np.ndarray) -> float:
    """95 % Hausdorff distance of two surfaces, (n, 3) mm, in mm.

    The larger of the two directed 95th percentiles of the distance from a place of one to the nearest of the other.
    NaN when a surface is empty.
    """
    if not len(first) or not len(second):
        return float("nan")
    there, back = KDTree(second).query(first)[0], KDTree(first).query(second)[0]
    return float(max(np.percentile(there, 95), np.percentile(back, 95)))


def bounding_box(volume: np.ndarray) -> tuple[slice, ...]:
    """The smallest box with all true voxels of (x, y, z) boolean; the whole where there are none."""
    boxes = find_objects(volume.astype(np.uint8))
    return boxes[0] if boxes else np.s_[:, :, :]


def _parts(volume: np.ndarray, voxel_ml: float) -> tuple[np.ndarray, np.ndarray]:
    """26-connected parts, numbered from 1, and the volume of each, ml."""
    parts, _ = label(volume, structure=TOUCHING)
    return parts, np.bincount(parts[volume])[1:] * voxel_ml


def _of_size(volume_ml: np.ndarray, size: str) -> np.ndarray:
    """Which volumes belong to a size of SIZES."""
    sizes = list(SIZES)
    bounds = [0.0, *SIZES.values()]
    place = sizes.index(size)
    return (volume_ml >= bounds[place]) & (volume_ml < bounds[place + 1])
