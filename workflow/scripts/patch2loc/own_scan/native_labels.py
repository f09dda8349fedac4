"""Candidates on the voxels of the scan that they were found in."""

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

from patch2loc.data.volumes import Grid
from patch2loc.preprocess.images import one_thread, to_array, to_image
from patch2loc.preprocess.register import matrix
from patch2loc.score.candidates import Candidate


def labels_on_scan(
    labels: np.ndarray,
    candidates: Sequence[Candidate],
    grid: Grid,
    transform: sitk.AffineTransform,
    *,
    shape: tuple[int, ...],
    affine: np.ndarray,
) -> np.ndarray:
    """Carry labels on the grid to a scan's voxels: each voxel has the label of the nearest voxel of the grid.

    A candidate that no voxel of a coarse scan has for its nearest gets the voxel that its peak lies in, so that none is
    lost but one whose peak lies outside the scan.

    Args:
        labels: (x, y, z) int16 on the grid, 0 where there is no candidate.
        candidates: By label, from 1.
        grid: Of the labels.
        transform: Maps atlas to scan points, LPS mm.
        shape: Of the scan.
        affine: Of the scan, 4 x 4, voxel indices to mm.

    Returns:
        (x, y, z) int16 on the scan's voxels as stored.
    """
    reference = to_image(np.zeros(shape, np.uint8), affine)
    with one_thread():
        carried = to_array(
            sitk.Resample(
                to_image(labels, grid.affine),
                reference,
                transform.GetInverse(),
                sitk.sitkNearestNeighbor,
                0,
                sitk.sitkInt16,
            )
        )
    counts = np.bincount(carried.ravel(), minlength=len(candidates) + 1)
    to_voxels = np.linalg.inv(affine) @ matrix(transform) @ grid.affine
    for label, candidate in enumerate(candidates, start=1):
        voxel = np.rint(to_voxels @ [*candidate.peak_voxel, 1])[:3].astype(int)
        if not counts[label] and ((voxel >= 0) & (voxel < shape)).all():
            carried[tuple(voxel)] = label
    return carried
