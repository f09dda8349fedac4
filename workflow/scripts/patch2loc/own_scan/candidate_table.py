"""The table of an answer's candidates: how large, where, in what tissue, and how unusual each of them is."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import SimpleITK as sitk

from patch2loc.data import icbm152
from patch2loc.data.midsagittal import mirrored
from patch2loc.data.volumes import Grid, read
from patch2loc.own_scan.answer import CANDIDATE_COLUMNS, CUT_MM
from patch2loc.preprocess.images import resample
from patch2loc.preprocess.masks import within
from patch2loc.score.candidates import Candidate

MIDLINE_MM = 3.0  # voxels this near to the plane between the hemispheres belong to neither
ON_BOTH_SIDES = 0.2  # of a candidate's volume on its lesser side, from which on it lies on both
MIRROR_MM = 4.0  # how far apart a candidate and the mirror image of another may lie
MIRRORED = 0.3  # share of the larger candidate that they have in common, from which on they are a pair
TISSUES = ("gray matter", "white matter", "fluid")
PURE = 0.95  # fraction of a tissue in the atlas, from which on a scan shows how bright it is there


def side(x_mm: np.ndarray, midline_mm: float) -> str:
    """Side of the person's body that voxels lie on: left, right, both sides or midline.

    Args:
        x_mm: Coordinates of the voxels in the atlas, from left to right, (n,).
        midline_mm: Coordinate of the atlas's midsagittal plane.
    """
    left = np.count_nonzero(x_mm < midline_mm - MIDLINE_MM)
    right = np.count_nonzero(x_mm > midline_mm + MIDLINE_MM)
    if left + right == 0:
        return "midline"
    if min(left, right) >= ON_BOTH_SIDES * (left + right):
        return "both sides"
    return "right" if right > left else "left"


def tissue_maps(grid: Grid) -> np.ndarray:
    """Fractions of the TISSUES in the ICBM152 brain at the voxels of a grid, (3, x, y, z) float32."""
    gray, white = (
        resample(*read(icbm152.map_path(name)), grid, sitk.AffineTransform(3)) / 255 for name in ("gm", "wm")
    )
    return np.stack([gray, white, np.clip(1 - gray - white, 0, 1)])


def is_fluid(volume: np.ndarray, mask: np.ndarray, tissues: np.ndarray) -> np.ndarray:
    """Voxels that are as dark (T1) or as bright (T2) as fluid in a scan, (x, y, z) bool.

    They are twice as near to fluid as to gray matter, which the scan shows where the atlas has nothing else.  So a
    widened ventricle is fluid, whatever the atlas has there, and a lesion somewhat darker than gray matter is not.

    Args:
        volume: Preprocessed scan, (x, y, z) float32.
        mask: Its brain mask, (x, y, z) bool.
        tissues: Fractions of gray matter, white matter and fluid in the atlas, (3, x, y, z) (`tissue_maps`).
    """
    gray, fluid = (volume[mask & (tissues[place] >= PURE)] for place in (0, 2))
    if not (gray.size and fluid.size):
        return np.zeros(mask.shape, bool)
    like_fluid: np.ndarray = mask & (2 * np.abs(volume - np.median(fluid)) < np.abs(volume - np.median(gray)))
    return like_fluid


def _tissue(inside: np.ndarray, tissues: np.ndarray, fluid: np.ndarray) -> str:
    """What most of a candidate is: fluid by the scan, else gray or white matter by the atlas."""
    if 2 * np.count_nonzero(fluid & inside) > np.count_nonzero(inside):
        return TISSUES[2]
    return TISSUES[int(np.argmax(tissues[:2, inside].sum(axis=1)))]


def _mirror_images(labels: np.ndarray, count: int, plane: float, spacing: float) -> list[int | None]:
    """For each candidate the number of its mirror image, whose mirror image it is, too; None without one.

    They are of like size: what a small candidate has on the other side of a large one is no sign of anatomy.

    Args:
        labels: Candidates, (x, y, z) int16.
        count: Number of candidates.
        plane: Index along x of the midsagittal plane.
        spacing: Edge of a voxel, mm.
    """
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    reflected = mirrored(labels, plane)
    partners: list[int | None] = []
    for label in range(1, count + 1):
        near = within(reflected == label, MIRROR_MM, np.full(3, spacing))
        shared = np.bincount(labels[near], minlength=count + 1) / np.maximum(sizes, sizes[label])
        shared[[0, label]] = 0
        best = int(np.argmax(shared))
        partners.append(best if shared[best] >= MIRRORED else None)
    return [
        partner if partner and partners[partner - 1] == label else None
        for label, partner in enumerate(partners, start=1)
    ]


def candidate_table(
    candidates: Sequence[Candidate],
    labels: np.ndarray,
    grid: Grid,
    *,
    midline_mm: float,
    tissues: np.ndarray | None,
    volume: np.ndarray,
    mask: np.ndarray,
    percentiles: Sequence[float],
    native_labels: np.ndarray,
    missing: np.ndarray | None = None,
) -> pd.DataFrame:
    """A row for each candidate, as of `Answer.candidates`.

    Args:
        candidates: From `find_candidates`.
        labels: From there, (x, y, z) int16 on the grid.
        grid: Of the labels.
        midline_mm: Coordinate along x of the atlas's midsagittal plane (`data.midsagittal`).
        tissues: From `tissue_maps`; None on an atlas that has no such maps.
        volume: Preprocessed scan, (x, y, z) float32.
        mask: Its brain mask, (x, y, z) bool.
        percentiles: Percent of the healthy scans whose largest candidate is smaller, of each candidate; NaN if unknown.
        native_labels: On the scan's own voxels, (x, y, z) int16.
        missing: Brain that is not in the scan or not in its mask, (x, y, z) bool; None if nothing is.
    """
    counts = np.bincount(native_labels.ravel(), minlength=len(candidates) + 1)
    plane = float((midline_mm - grid.affine[0, 3]) / grid.spacing)
    mirror_images = _mirror_images(labels, len(candidates), plane, grid.spacing)
    fluid = is_fluid(volume, mask, tissues) if tissues is not None else np.zeros(mask.shape, bool)
    cut = (
        within(missing, CUT_MM, np.full(3, grid.spacing))
        if missing is not None
        else np.zeros(mask.shape, bool)
    )
    rows = []
    described = zip(candidates, percentiles, mirror_images, strict=True)
    for label, (candidate, percentile, mirror_of) in enumerate(described, start=1):
        x, y, z = (float(value) for value in (grid.affine @ [*candidate.peak_voxel, 1])[:3])
        inside = labels == label
        rows.append(
            {
                "label": label,
                "volume_ml": round(candidate.volume_ml, 3),
                "excess": round(candidate.excess, 3),
                "peak": round(candidate.peak, 2),
                "x_mm": round(x, 1),
                "y_mm": round(y, 1),
                "z_mm": round(z, 1),
                "side": side(grid.affine[0, 0] * np.nonzero(inside)[0] + grid.affine[0, 3], midline_mm),
                "tissue": None if tissues is None else _tissue(inside, tissues, fluid),
                "mirror_of": mirror_of,
                "at_cut": int((inside & cut).any()),
                "percentile": round(percentile, 1),
                "native_voxels": int(counts[label]),
            }
        )
    table = pd.DataFrame(rows, columns=list(CANDIDATE_COLUMNS))
    return table.astype({"mirror_of": "Int64"})


def with_warnings(table: pd.DataFrame, names: str, *, judged: bool) -> pd.DataFrame:
    """A table of candidates with a column of warnings; one without a candidate has a row 0 for them.

    Args:
        table: Table of candidates, a row for each, from `candidate_table`.
        names: Names of the warnings, separated by blanks; "" without any.
        judged: False for a scan that cannot be judged, which has no volume, not even one of 0.
    """
    if names and table.empty:
        none = {"volume_ml": 0.0, "excess": 0.0, "native_voxels": 0} if judged else {}
        table = pd.DataFrame([{"label": 0, **none}], columns=table.columns)
    return table.assign(warnings=names)
