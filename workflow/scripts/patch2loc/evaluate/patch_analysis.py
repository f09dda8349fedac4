"""Patch analysis: predictions for non-overlapping patches, and the share of lesion in each (paper, section 5.2).

The predictions were made when the scans were scored (`score.patch_predictions`): here they meet the truth.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import ndimage

from patch2loc.data.scans import Scan
from patch2loc.data.vocabulary import Truth
from patch2loc.data.volumes import read_mask

COLUMNS = [
    "x",
    "y",
    "z",
    "brain_fraction",
    "lesion_fraction",
    "edge_distance",
]  # of a patch; then what is predicted


def patch_table(
    predictions: pd.DataFrame, mask: np.ndarray, lesion: np.ndarray, spacing: float
) -> pd.DataFrame:
    """Table of a scan's patches with their lesion and their place in the brain.

    Args:
        predictions: as of `score.patch_predictions.predicted_patches`.
        mask: (x, y, z) boolean, the brain.
        lesion: (x, y, z) boolean.
        spacing: edge of a voxel, mm.

    Returns:
        One row per patch: COLUMNS (voxel of the center; edge_distance in mm, see `edge_distance`), and what was
        predicted: mean_x, mean_y (percent), log_variance_x, log_variance_y, location_error (Euclidean, percent),
        log_error, log_variance, score.
    """
    voxels = tuple(predictions[["x", "y", "z"]].to_numpy().T)
    table = predictions.assign(
        lesion_fraction=_shares(lesion, voxels, predictions["patch"]),
        edge_distance=edge_distance(mask, spacing)[voxels],
    )
    predicted = [name for name in predictions if name not in (*COLUMNS, "patch")]
    return table[[*COLUMNS, *predicted]]


def _shares(lesion: np.ndarray, voxels: tuple[np.ndarray, ...], widths: pd.Series) -> np.ndarray:
    """Share of lesion, (n,) float32, in the patches of some widths around voxels; there is none outside the grid."""
    x, y, z = voxels
    # Number of lesion voxels before each corner of a slice.
    counts = np.pad(lesion, ((1, 0), (1, 0), (0, 0))).cumsum(axis=0, dtype=np.int32).cumsum(axis=1)
    columns, rows, _ = lesion.shape
    left, front = x - widths // 2, y - widths // 2
    right, back = (left + widths).clip(upper=columns), (front + widths).clip(upper=rows)
    left, front = left.clip(lower=0), front.clip(lower=0)
    inside = counts[right, back, z] - counts[left, back, z] - counts[right, front, z] + counts[left, front, z]
    shares: np.ndarray = inside.astype(np.float32) / widths.to_numpy(np.float32) ** 2
    return shares


def edge_distance(mask: np.ndarray, spacing: float) -> np.ndarray:
    """Distance of every voxel from the edge of the brain within its slice, mm, negative outside the brain.

    Within the slice, because that is all that a patch shows. The edge lies between two voxels, half a voxel from the
    center of each. Where the grid cuts the brain off is no edge.

    Args:
        mask: (x, y, z) boolean, the brain.
        spacing: edge of a voxel, mm.

    Returns:
        (x, y, z) float32; NaN in slices without an edge, which are all brain or have none.
    """
    distances = np.full(mask.shape, np.nan, np.float32)
    for z in np.flatnonzero(mask.any(axis=(0, 1)) & ~mask.all(axis=(0, 1))):
        inside, outside = (ndimage.distance_transform_edt(part) for part in (mask[:, :, z], ~mask[:, :, z]))
        distances[:, :, z] = spacing * np.where(mask[:, :, z], inside - 0.5, 0.5 - outside)
    return distances


def analyze_patches(
    predictions: pd.DataFrame, scans: Sequence[Scan], spacing: float, truth: Truth = "half"
) -> pd.DataFrame:
    """Patch tables of scored scans, one below the other, with a column subject.

    Args:
        predictions: of all scans (`score.heatmap_folder.read_patch_predictions`).
        scans: in the order of the table.
        spacing: of their grid, mm.
        truth: which of the lesion masks of a scan the share of lesion is of.
    """
    by_subject = dict(iter(predictions.groupby("subject")))
    return pd.concat(
        [
            patch_table(
                by_subject[scan.subject],
                read_mask(scan.mask_path),
                read_mask(scan.truth_path(truth)),
                spacing,
            )
            for scan in scans
            if scan.subject in by_subject  # a scan may have no patch
        ],
        ignore_index=True,
    )
