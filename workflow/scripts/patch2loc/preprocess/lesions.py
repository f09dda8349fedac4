"""Lesion masks: checked, carried to the grid, small lesions included, with an account of what is lost."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from patch2loc.data.volumes import Grid, voxel_ml
from patch2loc.errors import InputError, first_of
from patch2loc.preprocess.images import read_labels_of, read_values_of, resample, voxel_size
from patch2loc.preprocess.masks import box_around
from patch2loc.preprocess.register import matrix
from patch2loc.preprocess.released_code import TOUCHED

MOST_OUTSIDE = 0.5  # of a lesion outside the brain: more is likelier a wrong mask than a lesion at the edge
# Share of a brain that is lesion.  The largest of 284 drawn strokes (LESYMAP, OpenNeuro ds004889) has 356 ml in MNI
# space, a fifth; gliomas with edema fill up to a quarter; after the loss of a hemisphere it is nearly half.
LARGE_SHARE, LARGEST_SHARE = 0.4, 0.6
# Labels of a file: single lesions may be numbered, and parcellations have hundreds.
MANY_LABELS, MOST_LABELS = 100, 1000
MOST_POINTS = 4  # along each axis of a grid voxel
ABOVE_ZERO = (
    1e-9  # interpolated values below are rounding errors, at points that coincide with voxels of the scan
)
TOUCHING = np.ones((3, 3, 3), bool)


class DrawnLesion(NamedTuple):
    """A lesion mask on the scan's voxels."""

    mask: np.ndarray  # (x, y, z) bool
    touched: np.ndarray  # (x, y, z) bool: of an interpolated mask all voxels above 0, of another one `mask`
    labels: list[int]  # above 0 that its file holds, lesion or not


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
    any_ml: float  # of the voxels on the grid that lesion fills any of, in atlas space
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
    touched: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, LesionReport]:
    """Bring a lesion mask to the grid, by two rules.

    By half: a grid voxel is lesion if lesion fills at least half of it; the share is an average over points as dense
    as the scan's voxels. A lesion (26-connected) that would vanish keeps the voxel that it fills most.

    By any: a grid voxel is lesion if the linearly interpolated mask is above 0 at any point in it, of points about as
    dense as the scan's voxels, or if it holds the center of a lesion voxel. Where grid and scan have voxels of one
    size, the only point is the voxel's center: the rule of the code behind the printed Table 1. It dilates lesions.

    Neither is cut by the brain mask, because lesion that the mask misses has to count as missed.

    Args:
        lesion: Lesion mask on the scan's voxels, (x, y, z) bool.
        affine: Of the scan, 4 x 4, voxel indices to mm.
        grid: The common grid.
        transform: Maps atlas to scan points.
        mask: The brain on the grid, (x, y, z) bool.
        touched: For the rule by any, the voxels that lesion fills any of, (x, y, z) bool; None for those of `lesion`.

    Returns:
        The lesion masks on the grid by half and by any, (x, y, z) bool, and the account of what was lost.
    """
    ml = voxel_ml(affine)
    labels, count = np.zeros(lesion.shape, np.int32), 0
    if lesion.any():
        around = box_around(lesion)
        labels[around], count = ndimage.label(lesion[around], structure=TOUCHING)
    by_half, by_any = np.zeros(grid.shape, bool), np.zeros(grid.shape, bool)
    points = np.argwhere(lesion)
    places = np.rint(indices_on_grid(points, affine, grid, transform)).astype(int)
    in_view = ((places >= 0) & (places < grid.shape)).all(axis=1)
    places_in_view = places[in_view]
    in_mask = mask[tuple(places_in_view.T)]
    labels_in_view = labels[tuple(points[in_view].T)]
    kept_as_one_voxel = 0
    step = np.linalg.norm(matrix(transform)[:3, :3], axis=0).max() * grid.spacing
    density = float(step / voxel_size(affine).min())  # scan voxels along the edge of a grid voxel
    if len(places_in_view):
        box = _box_around(places_in_view, affine, grid, transform=transform)
        share = interpolated(lesion, affine, grid, transform=transform, box=box, points=math.ceil(density))
        share = share.mean(axis=(1, 3, 5))
        low = np.array([edge.start for edge in box])
        by_half[box] = share >= 0.5
        order = np.argsort(labels_in_view, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(labels_in_view[order])) + 1):
            voxels = places_in_view[members]
            if not by_half[tuple(voxels.T)].any():
                by_half[tuple(voxels[np.argmax(share[tuple((voxels - low).T)])])] = True
                kept_as_one_voxel += 1
    if touched is not None:
        places = np.rint(indices_on_grid(np.argwhere(touched), affine, grid, transform)).astype(int)
        places_in_view = places[((places >= 0) & (places < grid.shape)).all(axis=1)]
    if len(places_in_view):
        box = _box_around(places_in_view, affine, grid, transform=transform)
        wide = lesion if touched is None else touched
        values = interpolated(wide, affine, grid, transform=transform, box=box, points=round(density))
        by_any[box] = (values > ABOVE_ZERO).any(axis=(1, 3, 5))
        by_any[tuple(places_in_view.T)] = True
    scale = 1 / np.linalg.det(matrix(transform)[:3, :3])
    report: LesionReport = {
        "source_ml": round(float(len(points) * ml), 6),
        "lost_to_grid_ml": round(float(int(np.count_nonzero(~in_view)) * ml), 6),
        "lost_to_mask_ml": round(float(int(np.count_nonzero(~in_mask)) * ml), 6),
        "kept_ml": round(float(int(np.count_nonzero(in_mask)) * ml), 6),
        "expected_grid_ml": round(float(int(np.count_nonzero(in_view)) * ml * scale), 6),
        "grid_ml": round(float(int(by_half.sum()) * grid.voxel_ml), 6),
        "any_ml": round(float(int(by_any.sum()) * grid.voxel_ml), 6),
        "lesions_source": int(count),
        "lesions_in_view": len(np.unique(labels_in_view)),
        "lesions_kept_as_one_voxel": kept_as_one_voxel,
        "scale": round(float(scale), 6),
    }
    return by_half, by_any, report


def _box_around(
    places: np.ndarray, affine: np.ndarray, grid: Grid, *, transform: sitk.AffineTransform
) -> tuple[slice, ...]:
    """The part of the grid that interpolation of scan voxels reaches whose places on the grid, (n, 3), are these."""
    # Interpolation reaches one voxel of the scan, which is several of the grid across thick slices.
    to_grid = indices_to_grid(affine, grid, transform)[:3, :3]
    reach = np.ceil(np.abs(to_grid).sum(axis=1)).astype(int)
    low = np.maximum(places.min(axis=0) - reach, 0)
    high = np.minimum(places.max(axis=0) + reach + 1, grid.shape)
    return tuple(map(slice, low, high))


def read_lesion(
    path: Path,
    scan_path: Path,
    scan: np.ndarray,
    affine: np.ndarray,
    *,
    labels: Sequence[int] | None = None,
    interpolated_mask: bool = False,
) -> DrawnLesion:
    """Read the lesions that were drawn on the voxels of a scan, or carried there by interpolation.

    Args:
        path: A mask of 0 and 1, or a map of whole labels.
        scan_path: The scan, for messages.
        scan: The scan, (x, y, z).
        affine: Of the scan, 4 x 4, voxel indices to mm.
        labels: The labels that are lesion; None for all above 0.
        interpolated_mask: The file is a mask, or a map of labels, after interpolation: at least half is lesion,
            whatever the label was.

    Raises:
        InputError: As for `images.read_labels_of`; the file holds the scan itself, or so many values that they are
            no labels.
    """
    read = read_values_of if interpolated_mask else read_labels_of
    label_map = read(path, scan_path, scan.shape, affine)
    if np.array_equal(label_map, scan):
        raise InputError(
            f"{path}: the voxels of the scan itself ({scan_path}) found, a lesion mask expected; give the file of the "
            "lesions, or none"
        )
    if interpolated_mask:
        if label_map.max() > MOST_LABELS:
            raise InputError(
                f"{path}: a value of {label_map.max():g} found, shares of lesion or of labels of at most {MOST_LABELS} "
                "expected; these are likely the intensities of a scan: give the file of the lesions, or none"
            )
        lesion = label_map >= 0.5
        return DrawnLesion(lesion, label_map > TOUCHED, [1] if lesion.any() else [])
    found = np.unique(label_map[label_map > 0]).astype(int).tolist()
    if len(found) > MOST_LABELS:
        raise InputError(
            f"{path}: {len(found)} different values found, at most {MOST_LABELS} labels expected; these are likely the "
            "intensities of a scan: give the file of the lesions, or none"
        )
    lesion = label_map > 0 if labels is None else np.isin(label_map, labels)
    return DrawnLesion(lesion, lesion, found)


def share_of_brain(lesion: np.ndarray, brain: np.ndarray, path: Path, scan_path: Path) -> float:
    """Share of a brain that is lesion.

    Args:
        lesion: Lesion mask on the scan's voxels, (x, y, z) bool.
        brain: Brain mask, (x, y, z) bool, not empty.
        path: File of the lesion, for messages.
        scan_path: The scan, for messages.

    Raises:
        InputError: More of the brain is lesion than LARGEST_SHARE.
    """
    share = float(np.count_nonzero(lesion & brain) / np.count_nonzero(brain))
    if share > LARGEST_SHARE:
        raise InputError(
            f"{path}: lesion in {share:.0%} of the brain of {scan_path} found, at most {LARGEST_SHARE:.0%} "
            "expected; it is likely a brain mask, a scan, a parcellation or the reverse of a lesion mask: give the "
            "file of the lesions, or name their labels (lesion_labels)"
        )
    return share


def drawn_flags(found: Sequence[int], labels: Sequence[int] | None, share: float) -> list[str]:
    """Flag a file of lesions that is doubtful as such.

    Args:
        found: Labels above 0 in it.
        labels: The labels that are lesion; None for all above 0.
        share: Of the brain that is lesion.

    Returns:
        A sentence for each doubt.
    """
    flags = []
    if share > LARGE_SHARE:
        flags.append(f"lesion in {share:.0%} of the brain, at most {LARGE_SHARE:.0%} expected")
    if labels is not None and found and not set(found) & set(labels):
        flags.append(
            f"no lesion, because the lesion file has the labels {first_of(found, 10)}, and {first_of(labels, 10)} "
            "expected"
        )
    if labels is None and len(found) > MANY_LABELS:
        flags.append(
            f"{len(found)} labels in the lesion file, all taken for lesion, at most {MANY_LABELS} expected where it "
            "is no parcellation"
        )
    return flags


def lesion_flags(report: LesionReport) -> list[str]:
    """Flag a lesion that is mostly outside the brain or the grid: one sentence, or none."""
    outside = report["lost_to_grid_ml"] + report["lost_to_mask_ml"]
    if outside <= MOST_OUTSIDE * report["source_ml"]:
        return []
    return [
        f"{outside:.2f} of {report['source_ml']:.2f} ml of the lesion outside the brain on the grid, at most "
        f"{MOST_OUTSIDE:.0%} expected"
    ]


def indices_to_grid(affine: np.ndarray, grid: Grid, transform: sitk.AffineTransform) -> np.ndarray:
    """4 x 4 map from voxel indices of the scan to those of the grid."""
    to_grid: np.ndarray = np.linalg.inv(grid.affine) @ np.linalg.inv(matrix(transform)) @ affine
    return to_grid


def indices_on_grid(
    points: np.ndarray, affine: np.ndarray, grid: Grid, transform: sitk.AffineTransform
) -> np.ndarray:
    """Indices on the grid, (n, 3) float, of voxels of the scan, (n, 3) indices."""
    to_grid = indices_to_grid(affine, grid, transform)
    indices: np.ndarray = points.astype(float) @ to_grid[:3, :3].T
    indices += to_grid[:3, 3]
    return indices


def interpolated(
    lesion: np.ndarray,
    affine: np.ndarray,
    grid: Grid,
    *,
    transform: sitk.AffineTransform,
    box: tuple[slice, ...],
    points: int,
) -> np.ndarray:
    """Linearly interpolated lesion mask at points spread evenly over every grid voxel of a box.

    Args:
        lesion: Lesion mask on the scan's voxels, (x, y, z) bool.
        affine: Of the scan, 4 x 4, voxel indices to mm.
        grid: The common grid.
        transform: Maps atlas to scan points.
        box: Of the grid.
        points: Along each axis of a grid voxel; from 1 to MOST_POINTS are taken.

    Returns:
        (voxels, points, voxels, points, voxels, points) float32 along x, y and z.
    """
    points = min(max(points, 1), MOST_POINTS)
    low, high = (np.array([getattr(edge, end) for edge in box]) for end in ("start", "stop"))
    size = high - low
    middle = grid.affine[:3, :3] @ ((low + high - 1) / 2) + grid.affine[:3, 3]
    fine = Grid(tuple((size * points).tolist()), grid.spacing / points, tuple(middle.tolist()))
    values = resample(lesion, affine, fine, transform)
    return values.reshape(size[0], points, size[1], points, size[2], points)
