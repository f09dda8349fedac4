"""What a mutation is compared by: the result of a scan, and whether another one is the same to a tolerance.

The tolerances lie between what repeating a scan changes and what nobody would call the same.  Rank correlations of the
simulated head at 4 mm: 0.998 with twice the noise, 0.77 of another head, 0.61 mirrored, -0.42 of its T2 scan.
"""

from typing import NamedTuple

import nibabel as nib
import numpy as np
from scipy.stats import spearmanr

from patch2loc.preprocess.register import matrix
from patch2loc.preprocess.scan import read_transform

COVERED = 0.9  # least Dice of the voxels that are scored
RANKS = 0.9  # least rank correlation of the scores
MILLIMETERS = 4.0  # most that a voxel may be moved in the atlas, on average: a voxel


class ScanResult(NamedTuple):
    """A heatmap in the scan's voxels, (x, y, z) by rising x, y, z, and the atlas points that they belong to."""

    heatmap: np.ndarray
    to_atlas: np.ndarray  # 4 x 4, voxels to mm


def read_result(folder):
    """The result that `score_own_scan` wrote."""
    image = nib.as_closest_canonical(nib.load(folder / "heatmap.nii.gz"))
    to_scan = matrix(read_transform(folder / "preprocessed/transform.tfm"))
    return ScanResult(np.asarray(image.dataobj), np.linalg.inv(to_scan) @ image.affine)


def difference(result, expected):
    """How a result differs from the one of the good input, in words; "" if it is the same to the tolerances."""
    result = _in_the_field_of_view(result, expected)
    if result.heatmap.shape != expected.heatmap.shape:
        return f"shape {result.heatmap.shape}, {expected.heatmap.shape} before"
    found, scored = np.isfinite(result.heatmap), np.isfinite(expected.heatmap)
    both = found & scored
    covered = 2 * both.sum() / (found.sum() + scored.sum())
    ranks = spearmanr(result.heatmap[both], expected.heatmap[both])[0] if both.sum() > 2 else 0.0
    points = np.c_[np.argwhere(scored), np.ones(scored.sum())]
    moved = np.linalg.norm((points @ (result.to_atlas - expected.to_atlas).T), axis=1).mean()
    differing = covered < COVERED or not ranks >= RANKS or moved > MILLIMETERS
    return f"coverage {covered:.3f}, rank correlation {ranks:.3f}, moved {moved:.1f} mm" if differing else ""


def _in_the_field_of_view(result, expected):
    """A result of a larger or smaller field of view in that of another one, if it has whole voxels of it."""
    start = np.linalg.inv(expected.to_atlas) @ result.to_atlas
    shift = np.rint(start[:3, 3]).astype(int)
    if result.heatmap.shape == expected.heatmap.shape or np.abs(start[:3, :3] - np.eye(3)).max() > 1e-3:
        return result
    heatmap = np.full(expected.heatmap.shape, np.nan)
    sizes = zip(shift, result.heatmap.shape, heatmap.shape, strict=True)
    taken = [(max(0, first), min(first + size, most)) for first, size, most in sizes]
    if any(first >= last for first, last in taken):
        return result
    part = tuple(slice(first - at, last - at) for (first, last), at in zip(taken, shift, strict=True))
    heatmap[tuple(slice(*each) for each in taken)] = result.heatmap[part]
    moved = np.eye(4)
    moved[:3, 3] = -shift
    return ScanResult(heatmap, result.to_atlas @ moved)
