"""One scored scan as a file that the viewer's page loads, and as a thumbnail.

The file is a script that passes one object to the page, because a page opened from a disk may load the scripts beside
it, but no other files. Volumes are base64 of gzip, x running fastest.
"""

import base64
import gzip
import io
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.image import imsave
from scipy.ndimage import binary_dilation

from patch2loc.data.scans import Scan
from patch2loc.data.vocabulary import Truth
from patch2loc.data.volumes import isotropic_voxel_ml, read, read_mask
from patch2loc.errors import InputError
from patch2loc.figures.slices import brain_frame, fullest_slice
from patch2loc.figures.style import VIEWER_PERCENTILES, color_range, gray_range
from patch2loc.metrics.ranking import evaluate_scores
from patch2loc.score.stored_heatmaps import Heatmaps

LEVELS = 4095  # of intensities and scores: 12 bits, as scanners give
# Percentile of a scan's scores that stands for the scan as a whole, and at which its threshold starts without truth.
SCAN_SCORE_PERCENTILE = 99
UNITS = {  # of scores, by method
    "patch2loc": "log of squared % of the grid",
    "patch2loc_calibrated": "healthy SD at the place",
    "thresh": "share of the brain that is not brighter",
    "zscore": "standard deviations",
}
RARITY_UNIT = "rarity; 3: one healthy voxel in 1,000 scores as high"
THUMBNAIL_WIDTH = 360  # pixels
THUMBNAIL_MARGIN = 2  # voxels around the brain


class Heatmap(NamedTuple):
    """A method's heatmap of a scan, (x, y, z) score, NaN outside the mask, and the file that it was read from."""

    path: Path
    score: np.ndarray


def read_heatmaps(heatmaps: Mapping[str, Heatmaps], subject: str) -> dict[str, Heatmap]:
    """Read a scan's heatmap of each method; a file that several methods share is read once.

    Args:
        heatmaps: {method: stored heatmaps of the dataset}.
        subject: name.

    Raises:
        InputError: as `volumes.read`.
    """
    read_once = cache(lambda path: read(path)[0])
    by_method = {}
    for method, stored in heatmaps.items():
        path = stored.path(subject)
        by_method[method] = Heatmap(path, stored.calibrated(read_once(path)))
    return by_method


def scan_file(scan: Scan, dataset: str, heatmaps: Mapping[str, Heatmap], truth: Truth | None) -> str:
    """Content of the file of a scored scan.

    The thresholds of a method are anchor + step * k for whole numbers k; the anchor is the threshold of the best Dice.
    A voxel's level is that of the highest threshold which its score reaches, so that counts over levels in the page
    equal counts over scores in `patch2loc.metrics`.

    Args:
        scan: preprocessed scan.
        dataset: name.
        heatmaps: {method: heatmap}.
        truth: which of the scan's lesion masks is the truth; None for a scan without truth.

    Raises:
        InputError: a volume is missing, does not fit the others, or its grid is oblique or not isotropic.
    """
    volume, affine = read(scan.volume_path)
    mask = read_mask(scan.mask_path)
    lesion = read_mask(scan.truth_path(truth)) if truth else np.zeros(mask.shape, bool)
    for path, array in {scan.mask_path: mask, scan.truth_path(truth or "half"): lesion}.items():
        if array.shape != volume.shape:
            raise InputError(
                f"{path}: shape {array.shape} found, that of the scan {volume.shape} expected; preprocess again"
            )
    packed = packed_volumes(volume, mask, affine, name=scan.volume_path)
    inside = mask.ravel("F")
    missed = int(np.count_nonzero(lesion & ~mask))
    if truth:
        missed += round(scan.lost_lesion().ml / isotropic_voxel_ml(packed["spacing"]))
    methods = {}
    for method, (path, heatmap) in heatmaps.items():
        if heatmap.shape != volume.shape or not np.isfinite(heatmap[mask]).all():
            raise InputError(
                f"{path}: a score at every voxel of {scan.mask_path} expected; score the scan again"
            )
        scores, in_lesion = heatmap.ravel("F")[inside], lesion.ravel("F")[inside]
        methods[method] = _method_entry(method, scores, in_lesion, missed if truth else None)
    content = {
        "dataset": dataset,
        "subject": scan.subject,
        "modality": scan.modality,
        "truth": truth is not None,
        **packed,
        "missed": missed,
        "lesion": _packed(np.packbits(lesion.ravel("F"), bitorder="little")),
        "methods": methods,
    }
    return f"patch2loc.scan({json.dumps(content, allow_nan=False)});\n"


def packed_volumes(
    volume: np.ndarray, mask: np.ndarray, affine: np.ndarray, *, name: str | Path
) -> dict[str, Any]:
    """Entries of a scan's file for its grid, its brain mask and its intensities.

    Args:
        volume: (x, y, z) intensities.
        mask: (x, y, z) boolean.
        affine: 4 x 4, voxel indices to mm.
        name: of the scan, for messages.

    Raises:
        InputError: the grid is oblique or not isotropic.
    """
    spacing = float(affine[0, 0])
    if spacing <= 0 or not np.allclose(affine[:3, :3], np.eye(3) * spacing, atol=1e-4):
        raise InputError(f"{name}: a grid along x, y and z with equal spacing expected; preprocess again")
    top = float(volume.max()) or 1.0
    intensity = np.round(np.clip(volume, 0, None).ravel("F") / top * LEVELS)
    return {
        "shape": volume.shape,
        "spacing": spacing,
        "origin": [float(value) for value in affine[:3, 3]],
        "mask": _packed(np.packbits(mask.ravel("F"), bitorder="little")),
        "scan": {
            "levels": _packed(_planes(intensity)),
            "step": top / LEVELS,
            "window": [0.0, gray_range(volume)["vmax"]],
        },
    }


def packed_labels(labels: np.ndarray) -> str:
    """Entry of a scan's file for numbered parts, (x, y, z), 0 where there is none."""
    return _packed(_planes(labels.ravel("F")))


def scan_score(heatmap: np.ndarray) -> float:
    """Score of a scan as a whole: the 99th percentile of its scores; NaN for a heatmap without any.

    Args:
        heatmap: (x, y, z), NaN outside the brain mask.
    """
    scores = heatmap[np.isfinite(heatmap)]
    return float(np.percentile(scores, SCAN_SCORE_PERCENTILE)) if scores.size else float("nan")


def quantize(scores: np.ndarray, anchor: float) -> tuple[np.ndarray, float, int]:
    """Levels of scores on a scale of equal steps that has `anchor` among its thresholds.

    Args:
        scores: (voxels,).
        anchor: a threshold.

    Returns:
        Levels, step and first: a voxel of level k, at least 1, has a score of at least
        anchor + step * (first + k - 1), in double precision, and below the next such threshold.
    """
    values = scores.astype(np.float64)
    low, high = values.min(), values.max()
    step = float(high - low) / (LEVELS - 3) or 1.0
    first = int(np.floor((low - anchor) / step)) - 1
    thresholds = anchor + step * np.arange(first, first + LEVELS)
    return np.searchsorted(thresholds, values, side="right"), step, first


def thumbnail(
    scan: Scan, heatmap: np.ndarray, *, truth: Truth | None, color_map: str, score_range: tuple[float, float]
) -> bytes:
    """JPEG of one axial slice in radiological convention: the scan, and beside it the heatmap, lesion outlined.

    The slice is the one with the most lesion; without lesion, that of the highest score.

    Args:
        scan: preprocessed scan.
        heatmap: (x, y, z) score, NaN outside the mask.
        truth: as for `scan_file`.
        color_map: of the heatmap, a name that matplotlib knows.
        score_range: scores of the first and the last color.
    """
    volume = read(scan.volume_path)[0]
    lesion = read_mask(scan.truth_path(truth)) if truth else np.zeros(heatmap.shape, bool)
    peak = np.unravel_index(np.nanargmax(heatmap), heatmap.shape)
    z = fullest_slice(lesion) if lesion.any() else int(peak[2])
    frame = brain_frame(heatmap, THUMBNAIL_MARGIN)
    low, high = score_range
    gray = np.clip(volume[frame][:, :, z] / gray_range(volume)["vmax"], 0, 1)[..., None].repeat(3, axis=2)
    scores = heatmap[frame][:, :, z]
    colored = mpl.colormaps[color_map](np.clip((scores - low) / (high - low), 0, 1))[..., :3]
    overlay = np.where(np.isfinite(scores)[..., None], 0.45 * gray + 0.55 * colored, gray)
    factor = max(1, THUMBNAIL_WIDTH // (2 * gray.shape[0]))
    gray, overlay, inside = (
        np.repeat(np.repeat(part, factor, 0), factor, 1) for part in (gray, overlay, lesion[frame][:, :, z])
    )
    overlay[binary_dilation(inside) & ~inside] = 1
    # Columns from the subject's right to left, rows from anterior to posterior.
    picture = np.concatenate([part[::-1, ::-1].transpose(1, 0, 2) for part in (gray, overlay)], axis=1)
    stream = io.BytesIO()
    imsave(stream, np.ascontiguousarray(picture), format="jpeg", pil_kwargs={"quality": 85})
    return stream.getvalue()


def viewer_range(method: str, scores: np.ndarray) -> tuple[float, float]:
    """Range of scores that the colors start with in the viewer, never empty; arguments as `style.color_range`."""
    low, high = color_range(method, scores, VIEWER_PERCENTILES)
    return (low, high) if low < high else (low, low + 1)


def _method_entry(method: str, scores: np.ndarray, lesion: np.ndarray, missed: int | None) -> dict[str, Any]:
    """A method's scores of the brain's voxels; the threshold starts at the best Dice, else at a high percentile."""
    start, label = np.nan, "Best Dice"
    if missed is not None:
        start = evaluate_scores(scores, lesion, missed)["best_threshold"]
    if not np.isfinite(start):
        start = float(np.percentile(scores, SCAN_SCORE_PERCENTILE))
        label = f"{SCAN_SCORE_PERCENTILE}th percentile of this scan"
    return {
        **packed_scores(scores, start),
        "start": label,
        "range": viewer_range(method, scores),
        "unit": UNITS.get(method, ""),
    }


def packed_scores(scores: np.ndarray, anchor: float) -> dict[str, Any]:
    """Entries of a method for its scores of the brain's voxels, (voxels,), and the threshold that it starts at."""
    levels, step, first = quantize(scores, anchor)
    return {"levels": _packed(_planes(levels)), "anchor": anchor, "step": step, "first": first}


def _planes(levels: np.ndarray) -> np.ndarray:
    """Low bytes of all levels, then the high ones, which pack a fifth smaller than pairs."""
    return levels.astype("<u2").view(np.uint8).reshape(-1, 2).T.copy()


def _packed(array: np.ndarray) -> str:
    return base64.b64encode(gzip.compress(array.tobytes(), 6, mtime=0)).decode()
