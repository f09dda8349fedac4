"""Lesion masks carried to the grid, small lesions included, and an account of what is lost."""

from typing import TypedDict

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from patch2loc.data.volumes import Grid, voxel_ml
from patch2loc.preprocess.images import resample, voxel_size
from patch2loc.preprocess.register import matrix

MOST_OUTSIDE = 0.5  # of a lesion outside the brain: more is likelier a wrong mask than a lesion at the edge
TOUCHING = np.ones((3, 3, 3), bool)


class LesionReport(TypedDict):
    """Account of a lesion mask on its way to the grid, in ml of the scan unless said otherwise.

    source_ml = lost_to_grid_ml + lost_to_mask_ml + kept_ml.
    """

    source_ml: float  # in the scan
    lost_to_grid_ml: float  # outside the grid's field of view
    lost_to_mask_ml: float  # inside it, outside the brain mask
    kept_ml: float
    expected_grid_ml: float  # what grid_ml should be
    grid_ml: float  # of the mask on the grid, in atlas space
    lesions_source: int  # number of lesions (26-connected) in the scan,
    lesions_in_view: int  # of those in the field of view,
    lesions_kept_as_one_voxel: int  # and of those that would have vanished
    scale: float  # the transform's change of volume from scan to atlas


def carry_lesion(
    lesion: np.ndarray,
    affine: np.ndarray,
    grid: Grid,
    *,
    transform: sitk.AffineTransform,
    mask: np.ndarray,
) -> tuple[np.ndarray, LesionReport]:
    """Bring a lesion mask to the grid.

    A grid voxel is lesion if lesion fills at least half of it; the share is an average over points as dense
    as the scan's voxels. A lesion (26-connected) that would vanish keeps the voxel that it fills most.
    The lesion is not cut by the brain mask, because lesion that the mask misses has to count as missed.

    Args:
        lesion: Lesion mask on the scan's voxels, (x, y, z) bool.
        affine: Of the scan, 4 x 4, voxel indices to mm.
        grid: The common grid.
        transform: Maps atlas to scan points.
        mask: The brain on the grid, (x, y, z) bool.

    Returns:
        The lesion mask on the grid, (x, y, z) bool, and the account of what was lost.
    """
    ml = voxel_ml(affine)
    labels, count = ndimage.label(lesion, structure=TOUCHING)
    carried = np.zeros(grid.shape, bool)
    points = np.argwhere(lesion)
    places = np.rint(indices_on_grid(points, affine, grid, transform)).astype(int)
    in_view = ((places >= 0) & (places < grid.shape)).all(axis=1)
    places_in_view = places[in_view]
    in_mask = mask[tuple(places_in_view.T)]
    labels_in_view = labels[tuple(points[in_view].T)]
    kept_as_one_voxel = 0
    if len(places_in_view):
        share, corner = filled_share(lesion, affine, grid, transform=transform, near=places_in_view)
        box = tuple(slice(low, low + size) for low, size in zip(corner, share.shape, strict=True))
        carried[box] = share >= 0.5
        order = np.argsort(labels_in_view, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(labels_in_view[order])) + 1):
            voxels = places_in_view[members]
            if not carried[tuple(voxels.T)].any():
                carried[tuple(voxels[np.argmax(share[tuple((voxels - corner).T)])])] = True
                kept_as_one_voxel += 1
    scale = 1 / np.linalg.det(matrix(transform)[:3, :3])
    return carried, {
        "source_ml": round(float(len(points) * ml), 6),
        "lost_to_grid_ml": round(float((len(points) - len(places_in_view)) * ml), 6),
        "lost_to_mask_ml": round(float(int(np.count_nonzero(~in_mask)) * ml), 6),
        "kept_ml": round(float(int(np.count_nonzero(in_mask)) * ml), 6),
        "expected_grid_ml": round(float(len(places_in_view) * ml * scale), 6),
        "grid_ml": round(float(int(carried.sum()) * grid.voxel_ml), 6),
        "lesions_source": int(count),
        "lesions_in_view": len(np.unique(labels_in_view)),
        "lesions_kept_as_one_voxel": kept_as_one_voxel,
        "scale": round(float(scale), 6),
    }


def lesion_flags(report: LesionReport) -> list[str]:
    """Flag a lesion that is mostly outside the brain or the grid: one sentence, or none."""
    outside = report["lost_to_grid_ml"] + report["lost_to_mask_ml"]
    if outside <= MOST_OUTSIDE * report["source_ml"]:
        return []
    return [
        f"{outside:.2f} of {report['source_ml']:.2f} ml of the lesion outside the brain on the grid, at most "
        f"{MOST_OUTSIDE:.0%} expected"
    ]


def indices_on_grid(
    points: np.ndarray, affine: np.ndarray, grid: Grid, transform: sitk.AffineTransform
) -> np.ndarray:
    """Indices on the grid, (n, 3) float, of voxels of the scan, (n, 3) indices."""
    to_grid = np.linalg.inv(grid.affine) @ np.linalg.inv(matrix(transform)) @ affine
    indices: np.ndarray = points @ to_grid[:3, :3].T + to_grid[:3, 3]
    return indices


def filled_share(
    lesion: np.ndarray,
    affine: np.ndarray,
    grid: Grid,
    *,
    transform: sitk.AffineTransform,
    near: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Share of lesion in the grid voxels around those in `near`, (n, 3): (array, index of its first voxel)."""
    low = np.maximum(near.min(axis=0) - 1, 0)
    high = np.minimum(near.max(axis=0) + 2, grid.shape)
    step = np.linalg.norm(matrix(transform)[:3, :3], axis=0).max() * grid.spacing
    finer = int(np.clip(np.ceil(step / voxel_size(affine).min()), 1, 4))
    size = high - low
    middle = grid.affine[:3, :3] @ ((low + high - 1) / 2) + grid.affine[:3, 3]
    fine = Grid(tuple((size * finer).tolist()), grid.spacing / finer, tuple(middle.tolist()))
    dense = resample(lesion, affine, fine, transform)
    share = dense.reshape(size[0], finer, size[1], finer, size[2], finer).mean(axis=(1, 3, 5))
    return share, low
