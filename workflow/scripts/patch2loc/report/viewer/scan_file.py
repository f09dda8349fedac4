"""One scored scan as a file that the viewer's page loads, and as a thumbnail.

The file is JavaScript that hands over one object, because a page opened from a disk may load scripts beside it, but
no other files. Volumes are in it as base64 of gzip, x running fastest.
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
from patch2loc.data.volumes import read, read_mask
from patch2loc.errors import InputError
from patch2loc.figures.slices import fullest_slice
from patch2loc.figures.style import SCORE_RANGE, gray_range
from patch2loc.metrics.ranking import evaluate_scores
from patch2loc.score.stored_heatmaps import Heatmaps

LEVELS = 4095  # of intensities and scores: 12 bits, as scanners give
PAPER_SCALE = ("patch2loc",)  # methods whose colors run over the paper's range
OTHER_RANGE = (1, 99.9)  # percentiles of the scan that the colors of other methods run over
HIGH = (
    99  # percentile of a scan's scores that stands for the scan, and where its threshold starts without truth
)
UNITS = {
    "patch2loc": "log of squared % of the grid",
    "patch2loc_calibrated": "healthy SD at the place",
    "thresh": "share of the brain that is not brighter",
    "zscore": "standard deviations",
}
THUMBNAIL_WIDTH = 360


class Heatmap(NamedTuple):
    """A method's heatmap of a scan, (x, y, z) score, NaN outside the mask, and the file that it was read from."""

    path: Path
    score: np.ndarray


def read_heatmaps(heatmaps: Mapping[str, Heatmaps], subject: str) -> dict[str, Heatmap]:
    """A scan's heatmap of each method; a file that several of them are seen from is read once.

    Raises InputError as `volumes.read`.
    """
    read_once = cache(lambda path: read(path)[0])
    found = {}
    for method, of_dataset in heatmaps.items():
        path = of_dataset.path(subject)
        found[method] = Heatmap(path, of_dataset.seen(read_once(path)))
    return found


def scan_file(scan: Scan, dataset: str, heatmaps: Mapping[str, Heatmap], truth: bool) -> str:
    """The file of a scored scan.

    dataset: its name.  heatmaps: of each method.  truth: whether the lesion mask says where lesions are.
    Thresholds of a method are threshold_k = anchor + step * k for whole numbers k, where the anchor is the threshold of
    the best Dice. A voxel's level is that of the highest of them which its score reaches: what the page counts from
    levels is what metrics.py counts from scores.
    Raises InputError when a volume is missing, does not fit, or is not upright and isotropic.
    """
    volume, affine = read(scan.volume)
    mask = read_mask(scan.mask)
    lesion = read_mask(scan.lesion) if truth else np.zeros(mask.shape, bool)
    for name, found in {scan.mask: mask, scan.lesion: lesion}.items():
        if found.shape != volume.shape:
            raise InputError(
                f"{name}: shape {found.shape} found, that of the scan {volume.shape} expected; preprocess again"
            )
    spacing = float(affine[0, 0])
    if spacing <= 0 or not np.allclose(affine[:3, :3], np.eye(3) * spacing, atol=1e-4):
        raise InputError(
            f"{scan.volume}: a grid along x, y and z with equal spacing expected; preprocess again"
        )
    inside = mask.ravel("F")
    missed = int(np.count_nonzero(lesion & ~mask))
    if truth:
        missed += round(scan.lost_lesion()[0] / (spacing**3 / 1000))
    methods = {}
    for method, (path, heatmap) in heatmaps.items():
        if heatmap.shape != volume.shape or not np.isfinite(heatmap[mask]).all():
            raise InputError(f"{path}: a score at every voxel of {scan.mask} expected; score the scan again")
        score, of_lesion = heatmap.ravel("F")[inside], lesion.ravel("F")[inside]
        methods[method] = _method(method, score, of_lesion, missed if truth else None)
    top = float(volume.max()) or 1.0
    intensity = np.round(np.clip(volume, 0, None).ravel("F") / top * LEVELS)
    content = {
        "dataset": dataset,
        "subject": scan.subject,
        "modality": scan.modality,
        "truth": truth,
        "shape": volume.shape,
        "spacing": spacing,
        "origin": [float(value) for value in affine[:3, 3]],
        "missed": missed,
        "mask": _packed(np.packbits(inside, bitorder="little")),
        "lesion": _packed(np.packbits(lesion.ravel("F"), bitorder="little")),
        "scan": {
            "levels": _packed(_planes(intensity)),
            "step": top / LEVELS,
            "window": [0.0, gray_range(volume)["vmax"]],
        },
        "methods": methods,
    }
    return f"patch2loc.scan({json.dumps(content, allow_nan=False)});\n"


def scan_score(heatmap: np.ndarray) -> float:
    """One number for a scan: the 99th percentile of its scores; NaN for a heatmap without any.

    heatmap: (x, y, z), NaN outside the brain mask.
    """
    inside = heatmap[np.isfinite(heatmap)]
    return float(np.percentile(inside, HIGH)) if inside.size else float("nan")


def quantized(score: np.ndarray, anchor: float) -> tuple[np.ndarray, float, int]:
    """Levels of scores on a scale of equal steps that has `anchor` among its thresholds.

    score: (voxels,). Returns (levels, step, first): a voxel of level k, 1 at least, has a score of at least
    anchor + step * (first + k - 1), in double precision, and below the next such threshold.
    """
    values = score.astype(np.float64)
    low, high = values.min(), values.max()
    step = float(high - low) / (LEVELS - 3) or 1.0
    first = int(np.floor((low - anchor) / step)) - 1
    thresholds = anchor + step * np.arange(first, first + LEVELS)
    return np.searchsorted(thresholds, values, side="right"), step, first


def thumbnail(
    scan: Scan, heatmap: np.ndarray, truth: bool, color_map: str, score_range: tuple[float, float]
) -> bytes:
    """JPEG of one axial slice in radiological convention: the scan, and beside it the heatmap, lesion outlined.

    heatmap: (x, y, z), NaN outside the mask.  truth: as `scan_file`. The slice is the one with the most lesion,
    without lesion that of the highest score.
    """
    volume = read(scan.volume)[0]
    lesion = read_mask(scan.lesion) if truth else np.zeros(heatmap.shape, bool)
    peak = np.unravel_index(np.nanargmax(heatmap), heatmap.shape)
    z = fullest_slice(lesion) if lesion.any() else int(peak[2])
    brain = np.isfinite(heatmap).any(axis=2)
    frame = tuple(
        slice(max(0, where[0] - 2), where[-1] + 3)
        for where in (np.flatnonzero(brain.any(axis=1)), np.flatnonzero(brain.any(axis=0)))
    )
    low, high = score_range
    gray = np.clip(volume[frame][:, :, z] / gray_range(volume)["vmax"], 0, 1)[..., None].repeat(3, axis=2)
    heat = heatmap[frame][:, :, z]
    colored = mpl.colormaps[color_map](np.clip((heat - low) / (high - low), 0, 1))[..., :3]
    overlay = np.where(np.isfinite(heat)[..., None], 0.45 * gray + 0.55 * colored, gray)
    times = max(1, THUMBNAIL_WIDTH // (2 * gray.shape[0]))
    gray, overlay, outlined = (
        np.repeat(np.repeat(part, times, 0), times, 1) for part in (gray, overlay, lesion[frame][:, :, z])
    )
    overlay[binary_dilation(outlined) & ~outlined] = 1
    # Columns from the subject's right to left, rows from anterior to posterior.
    picture = np.concatenate([part[::-1, ::-1].transpose(1, 0, 2) for part in (gray, overlay)], axis=1)
    stream = io.BytesIO()
    imsave(stream, np.ascontiguousarray(picture), format="jpeg", pil_kwargs={"quality": 85})
    return stream.getvalue()


def color_range(method: str, score: np.ndarray) -> tuple[float, float]:
    """Scores that the colors run over: the paper's 0 to 12, or for methods of another scale percentiles.

    score: those of the scan, any shape, NaN left out.
    """
    if method in PAPER_SCALE:
        return SCORE_RANGE
    low, high = (float(value) for value in np.nanpercentile(score, OTHER_RANGE))
    return (low, high) if low < high else (low, low + 1)


def _method(method: str, score: np.ndarray, lesion: np.ndarray, missed: int | None) -> dict[str, Any]:
    """A method's scores of the brain's voxels; the threshold starts at the best Dice, else at a high percentile."""
    start = np.nan
    if missed is not None:
        start = evaluate_scores(score, lesion, missed)["best_threshold"]
    best = bool(np.isfinite(start))
    start = start if best else float(np.percentile(score, HIGH))
    levels, step, first = quantized(score, start)
    return {
        "levels": _packed(_planes(levels)),
        "anchor": start,
        "step": step,
        "first": first,
        "best": best,
        "range": color_range(method, score),
        "unit": UNITS.get(method, ""),
    }


def _planes(levels: np.ndarray) -> np.ndarray:
    """The low bytes of all levels, then the high ones, which pack a fifth smaller than pairs."""
    return levels.astype("<u2").view(np.uint8).reshape(-1, 2).T.copy()


def _packed(array: np.ndarray) -> str:
    return base64.b64encode(gzip.compress(array.tobytes(), 6, mtime=0)).decode()
