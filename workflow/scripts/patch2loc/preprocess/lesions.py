"""Lesion masks carried to the grid, small lesions included, and an account of what is lost."""

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from patch2loc.data.volumes import Grid
from patch2loc.preprocess.images import resample, voxel_size
from patch2loc.preprocess.register import matrix

MOST_OUTSIDE = 0.5  # of a lesion outside the brain: more is likelier a wrong mask than a lesion at the edge
TOUCHING = np.ones((3, 3, 3), bool)


def carry_lesion(
    lesion: np.ndarray, affine: np.ndarray, grid: Grid, transform: sitk.AffineTransform, mask: np.ndarray
) -> tuple[np.ndarray, dict]:
    """Bring a lesion mask to the grid: ((x, y, z) bool, report).

    lesion: on the scan's voxels, with `affine`.  mask: the brain on the grid.
    A grid voxel is lesion if lesion fills at least half of it; the share is an average over points as dense
    as the scan's voxels. A lesion (26-connected) that would vanish so keeps the voxel that it fills most.
    The lesion is not cut by the brain mask, because lesion that the mask misses has to count as missed.

    Report, in milliliters of the scan: source_ml = lost_to_grid_ml (outside the grid's field of view) +
    lost_to_mask_ml (inside it, outside the brain mask) + kept_ml.  grid_ml is the volume of the mask on the
    grid, in atlas space, where `scale` is the transform's change of volume: expected_grid_ml is what it
    should be.  Also the number of lesions in the scan, of those in the field of view, and of those kept as
    one voxel.
    """
    voxel_ml = abs(np.linalg.det(affine[:3, :3])) / 1000
    labels, count = ndimage.label(lesion, structure=TOUCHING)
    carried = np.zeros(grid.shape, bool)
    points = np.argwhere(lesion)
    place = np.rint(indices_on_grid(points, affine, grid, transform)).astype(int)
    inside = ((place >= 0) & (place < grid.shape)).all(axis=1)
    kept = place[inside]
    in_mask = mask[tuple(kept.T)]
    in_view = labels[tuple(points[inside].T)]
    saved = 0
    if len(kept):
        share, corner = filled_share(lesion, affine, grid, transform, kept)
        box = tuple(slice(low, low + size) for low, size in zip(corner, share.shape, strict=True))
        carried[box] = share >= 0.5
        order = np.argsort(in_view, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(in_view[order])) + 1):
            voxels = kept[members]
            if not carried[tuple(voxels.T)].any():
                carried[tuple(voxels[np.argmax(share[tuple((voxels - corner).T)])])] = True
                saved += 1
    scale = 1 / np.linalg.det(matrix(transform)[:3, :3])
    report = {
        "source_ml": len(points) * voxel_ml,
        "lost_to_grid_ml": (len(points) - len(kept)) * voxel_ml,
        "lost_to_mask_ml": int(np.count_nonzero(~in_mask)) * voxel_ml,
        "kept_ml": int(np.count_nonzero(in_mask)) * voxel_ml,
        "expected_grid_ml": len(kept) * voxel_ml * scale,
        "grid_ml": int(carried.sum()) * grid.voxel_ml,
        "lesions_source": int(count),
        "lesions_in_view": len(np.unique(in_view)),
        "lesions_kept_as_one_voxel": saved,
    }
    report["scale"] = float(scale)
    return carried, {
        name: round(float(value), 6) if isinstance(value, float) or name.endswith("_ml") else int(value)
        for name, value in report.items()
    }


def lesion_flags(report: dict) -> list[str]:
    """What is doubtful in the report of `carry_lesion`: lesion that is mostly outside the brain or the grid."""
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
    """Where voxels of the scan, (n, 3) indices, lie on the grid: (n, 3) float indices."""
    to_grid = np.linalg.inv(grid.affine) @ np.linalg.inv(matrix(transform)) @ affine
    return points @ to_grid[:3, :3].T + to_grid[:3, 3]


def filled_share(
    lesion: np.ndarray, affine: np.ndarray, grid: Grid, transform: sitk.AffineTransform, near: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Share of lesion in the grid voxels around those in `near`, (n, 3): (array, its first voxel's index)."""
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
