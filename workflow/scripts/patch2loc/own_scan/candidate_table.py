"""The table of an answer's candidates: how large, where, in what tissue, and how unusual each of them is."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import SimpleITK as sitk

from patch2loc.data import icbm152
from patch2loc.data.volumes import Grid, read
from patch2loc.own_scan.answer import CANDIDATE_COLUMNS
from patch2loc.preprocess.images import resample
from patch2loc.score.candidates import Candidate

MIDLINE_MM = 3.0  # a peak this near to the plane between the hemispheres belongs to neither
TISSUES = ("gray matter", "white matter", "fluid")


def side(x_mm: float, midline_mm: float) -> str:
    """Side of the person's body of a place: left, right or midline.

    Args:
        x_mm: Coordinate of the place in the atlas, from left to right.
        midline_mm: That of the atlas's midsagittal plane.
    """
    if abs(x_mm - midline_mm) <= MIDLINE_MM:
        return "midline"
    return "right" if x_mm > midline_mm else "left"


def tissue_maps(grid: Grid) -> np.ndarray:
    """Fractions of the TISSUES in the ICBM152 brain at the voxels of a grid, (3, x, y, z) float32."""
    gray, white = (
        resample(*read(icbm152.map_path(name)), grid, sitk.AffineTransform(3)) / 255 for name in ("gm", "wm")
    )
    return np.stack([gray, white, np.clip(1 - gray - white, 0, 1)])


def candidate_table(
    candidates: Sequence[Candidate],
    labels: np.ndarray,
    grid: Grid,
    *,
    midline_mm: float,
    tissues: np.ndarray | None,
    percentiles: Sequence[float],
    native_labels: np.ndarray,
) -> pd.DataFrame:
    """A row for each candidate, as of `Answer.candidates`.

    Args:
        candidates: From `find_candidates`.
        labels: From there, (x, y, z) int16 on the grid.
        grid: Of the labels.
        midline_mm: Coordinate along x of the atlas's midsagittal plane (`data.midsagittal`).
        tissues: From `tissue_maps`; None on an atlas that has no such maps.
        percentiles: Percent of the healthy scans whose largest candidate is smaller, of each candidate; NaN if unknown.
        native_labels: On the scan's own voxels, (x, y, z) int16.
    """
    counts = np.bincount(native_labels.ravel(), minlength=len(candidates) + 1)
    rows = []
    for label, (candidate, percentile) in enumerate(zip(candidates, percentiles, strict=True), start=1):
        x, y, z = (float(value) for value in (grid.affine @ [*candidate.peak_voxel, 1])[:3])
        inside = labels == label
        tissue = None if tissues is None else TISSUES[int(np.argmax(tissues[:, inside].sum(axis=1)))]
        rows.append(
            {
                "label": label,
                "volume_ml": round(candidate.volume_ml, 3),
                "excess": round(candidate.excess, 3),
                "peak": round(candidate.peak, 2),
                "x_mm": round(x, 1),
                "y_mm": round(y, 1),
                "z_mm": round(z, 1),
                "side": side(x, midline_mm),
                "tissue": tissue,
                "percentile": round(percentile, 1),
                "native_voxels": int(counts[label]),
            }
        )
    return pd.DataFrame(rows, columns=list(CANDIDATE_COLUMNS))


def with_warnings(table: pd.DataFrame, names: str) -> pd.DataFrame:
    """A table of candidates with a column of warnings; one without a candidate has a row 0 for them.

    Args:
        table: From `candidate_table`.
        names: Of the warnings, "" without any.
    """
    if names and table.empty:
        none = {"label": 0, "volume_ml": 0.0, "excess": 0.0, "native_voxels": 0}
        table = pd.DataFrame([none], columns=table.columns)
    return table.assign(warnings=names)
