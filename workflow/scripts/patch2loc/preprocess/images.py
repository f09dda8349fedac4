"""Scans as physical images: checks, SimpleITK in and out, coarser copies, one thread.

SimpleITK counts millimetres to the left and the posterior (LPS) and its arrays are (z, y, x); everything
else here is RAS and (x, y, z). The change happens in this module and nowhere else.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from patch2loc import volumes
from patch2loc.errors import InputError
from patch2loc.volumes import Grid

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
VOXEL_MM = (0.1, 15.0)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let SimpleITK compute with one thread: sums over threads would depend on their number."""
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


@contextmanager
def itk_errors(scan: Path) -> Iterator[None]:
    """Turn an error of SimpleITK, such as a registration without overlap, into an InputError that names the scan."""
    try:
        yield
    except RuntimeError as error:
        said = str(error).strip().splitlines()
        raise InputError(
            f"{scan}: SimpleITK stopped ({said[-1].strip() if said else error}), an image of a head expected; look at "
            "the scan and its mask, or leave it out"
        ) from error


def read_scan(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a raw scan as stored: (float32 array, affine), after checking that it can be processed.

    Raises InputError when the file cannot be read, its affine is no map from voxels to millimetres, a voxel
    is not finite, or no two voxels differ.
    """
    array, affine = volumes.read(path)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-6:
        raise InputError(
            f"{path}: affine {affine[:3].tolist()} found, an invertible one expected; repair the header or "
            "leave it out"
        )
    voxel = voxel_size(affine)
    if voxel.min() < VOXEL_MM[0] or voxel.max() > VOXEL_MM[1]:
        raise InputError(
            f"{path}: voxels of {voxel.round(4).tolist()} mm found, {VOXEL_MM[0]} to {VOXEL_MM[1]} mm "
            "expected; "
            "check the units in the header"
        )
    bad = array.size - np.count_nonzero(np.isfinite(array))
    if bad:
        raise InputError(
            f"{path}: {bad} voxels are not finite, numbers expected; replace them or leave the subject out"
        )
    if array.max() <= 0 or array.min() == array.max():
        raise InputError(
            f"{path}: no voxel above 0 or all voxels equal, a scan expected; the file is empty, leave it out"
        )
    return array, affine


def read_mask_of(
    path: Path,
    scan: Path,
    shape: tuple[int, ...],
    affine: np.ndarray,
    labels: Sequence[int] | None = None,
) -> np.ndarray:
    """Read a mask drawn on the voxels of `scan`, which has `shape` and `affine`: (x, y, z) bool.

    labels: the labels of a label map that are meant; None for all above 0.
    Raises InputError when the mask's grid is another one: corners more than half a voxel apart, or other
    shape.
    """
    array, mask_affine = volumes.read(path)
    if array.shape != tuple(shape):
        raise InputError(
            f"{path}: shape {array.shape} found, {tuple(shape)} of {scan} expected; a mask must be on "
            "its scan's voxels"
        )
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in shape])).reshape(3, -1)
    apart = np.abs((mask_affine - affine)[:3] @ np.vstack([corners, np.ones(8)])).max()
    if not apart <= voxel_size(affine).min() / 2:
        raise InputError(
            f"{path}: corners {apart:.2f} mm away from those of {scan}, the same grid expected; resample "
            "the mask to the scan"
        )
    return array > 0 if labels is None else np.isin(np.rint(array), labels)


def voxel_size(affine: np.ndarray) -> np.ndarray:
    """Voxel size along the three array axes in mm."""
    return np.linalg.norm(affine[:3, :3], axis=0)


def to_image(array: np.ndarray, affine: np.ndarray) -> sitk.Image:
    """SimpleITK image of an (x, y, z) array and its RAS affine; booleans become uint8."""
    if array.dtype == bool:
        array = array.astype(np.uint8)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    lps = LPS @ affine
    spacing = voxel_size(affine)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def to_array(image: sitk.Image) -> np.ndarray:
    """(x, y, z) array of a SimpleITK image."""
    return np.ascontiguousarray(sitk.GetArrayFromImage(image).T)


def coarser(array: np.ndarray, affine: np.ndarray, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Means over blocks of voxels, as many along each axis as fit into `spacing` mm: (array, affine).

    Voxels that fill no whole block at the end of an axis are left out. Coarser axes stay as they are.
    """
    factors = np.clip(np.round(spacing / voxel_size(affine)).astype(int), 1, np.array(array.shape) // 2)
    kept = np.array(array.shape) // factors * factors
    blocks = array[tuple(slice(size) for size in kept)].astype(np.float32)
    for axis, factor in enumerate(factors):
        shape = (*blocks.shape[:axis], blocks.shape[axis] // factor, factor, *blocks.shape[axis + 1 :])
        blocks = blocks.reshape(shape).mean(axis=axis + 1)
    scaled = affine.astype(float).copy()
    scaled[:3, :3] = affine[:3, :3] * factors
    scaled[:3, 3] = affine[:3, :3] @ ((factors - 1) / 2) + affine[:3, 3]
    return blocks, scaled


def resample(
    array: np.ndarray, affine: np.ndarray, grid: Grid, transform: sitk.Transform, outside: float = 0.0
) -> np.ndarray:
    """Bring a volume to `grid` through `transform` (atlas to scan points), linearly: (x, y, z) float32.

    Linear interpolation never leaves the range of its neighbours: no ringing at the edge of a stripped brain.
    """
    return resample_like(array, affine, grid.shape, grid.affine, transform, outside)


def resample_like(
    array: np.ndarray,
    affine: np.ndarray,
    shape: tuple[int, ...],
    target: np.ndarray,
    transform: sitk.Transform,
    outside: float = 0.0,
) -> np.ndarray:
    """Bring a volume to voxels of `shape` and affine `target`; `transform` maps target to source points."""
    image = to_image(array.astype(np.float32, copy=False), affine)
    reference = to_image(np.zeros(shape, np.uint8), target)
    return to_array(sitk.Resample(image, reference, transform, sitk.sitkLinear, outside, sitk.sitkFloat32))
