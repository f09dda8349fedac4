"""Scans as physical images: checks, SimpleITK in and out, coarser copies, one thread.

SimpleITK counts millimeters to the left and the posterior (LPS), and its arrays are (z, y, x); everything
else here is RAS and (x, y, z). Images are converted in this module only.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from nibabel.orientations import inv_ornt_aff

from patch2loc.data import volumes
from patch2loc.data.nifti_header import corner_distance, open_image
from patch2loc.data.volumes import Grid
from patch2loc.errors import InputError
from patch2loc.preprocess.memory import check_memory, memory_errors, out_of_memory

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
VOXEL_MM = (0.1, 15.0)  # smallest and largest edge of a voxel that is believed
# Beyond these, rounding and the small constants of algorithms would decide: the brightest voxel of a believed scan.
BRIGHTEST = (1e-3, 1e9)
ALLOCATION = re.compile("bad_alloc|[Ff]ailed to allocate")  # in errors of SimpleITK
NOTHING_TO_REGISTER = re.compile("Refusing to change spacing|do not sufficiently overlap")  # there, too
BACKWARD = [2, 1, 0, 3]  # columns of an affine for axes in the order z, y, x


@contextmanager
def one_thread() -> Iterator[None]:
    """Let SimpleITK compute in one thread: sums over threads would depend on the number of these."""
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


@contextmanager
def itk_errors(scan_path: Path) -> Iterator[None]:
    """Turn an error of SimpleITK, such as a registration without overlap, into an InputError that names the scan."""
    try:
        with memory_errors(scan_path):
            yield
    except RuntimeError as error:
        lines = str(error).strip().splitlines()
        if ALLOCATION.search(str(error)):
            raise out_of_memory(scan_path, lines[-1].strip()) from error
        if NOTHING_TO_REGISTER.search(str(error)):
            raise InputError(
                f"{scan_path}: nothing found to lay on the atlas, as all of the image, or all but its edge, "
                "has one brightness; a head or a brain expected; look at the scan and its mask, or leave it out"
            ) from error
        raise InputError(
            f"{scan_path}: SimpleITK stopped ({lines[-1].strip() if lines else error}), an image of a head expected; "
            "look at the scan and its mask, or leave it out"
        ) from error


def read_scan(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a raw scan as stored, and check that it can be processed.

    Scans whose numbers are very small or very large are multiplied by a power of two, which rounds nothing.

    Returns:
        The scan, (x, y, z) float32, NaN where the file has it, as many programs write outside the brain, and its 4 x 4
        affine from voxel indices to mm (RAS).

    Raises:
        InputError: The file cannot be read or its header does not tell where it lies (`volumes.read`), its voxels are
            of a size that no scan has, one is infinite, or all are equal.
        ResourceError: The file must not be read, or the memory does not suffice.
    """
    image = open_image(path)
    voxel = voxel_size(image.affine)
    if voxel.min() < VOXEL_MM[0] or voxel.max() > VOXEL_MM[1]:
        raise InputError(
            f"{path}: voxels of {voxel.round(4).tolist()} mm found, {VOXEL_MM[0]} to {VOXEL_MM[1]} mm "
            "expected; check the units in the header"
        )
    check_memory(path, image.shape)
    array, affine = volumes.read(path)
    infinite = np.count_nonzero(np.isinf(array))
    if infinite:
        raise InputError(
            f"{path}: {infinite} voxels are infinite, numbers expected; replace them or leave the subject out"
        )
    brightest = np.fmax.reduce(array, axis=None)  # as all that follows, of the voxels that have a number
    if not brightest > 0 or np.fmin.reduce(array, axis=None) == brightest:
        raise InputError(
            f"{path}: no voxel above 0 or all voxels equal, a scan expected; the file is empty, leave it out"
        )
    return _in_range(array), affine


def _in_range(array: np.ndarray) -> np.ndarray:
    """A scan as it is, or multiplied by a power of two if its brightness is beyond BRIGHTEST; a few voxels may be."""
    if BRIGHTEST[0] <= np.fmax.reduce(array, axis=None) <= BRIGHTEST[1]:
        return array
    median = np.median(array[array > 0])
    if BRIGHTEST[0] <= median <= BRIGHTEST[1]:
        return array
    largest = np.finfo(array.dtype).max
    with np.errstate(over="ignore", under="ignore"):
        scaled: np.ndarray = np.ldexp(array, 7 - np.frexp(median)[1]).clip(-largest, largest)
    return scaled


def read_mask_of(
    path: Path, scan_path: Path, scan: np.ndarray, affine: np.ndarray, *, interpolated: bool = False
) -> np.ndarray:
    """Read a mask that was drawn on the voxels of a scan, or carried there by interpolation.

    Args:
        path: The mask.
        scan_path: The scan, for messages.
        scan: The scan, (x, y, z).
        affine: Of the scan, 4 x 4, voxel indices to mm.
        interpolated: The mask holds shares of voxels.

    Returns:
        (x, y, z) bool, true where the mask is above 0, or, interpolated, at least half.

    Raises:
        InputError: The mask cannot be read, has another shape, or its corners lie more than half a voxel away; or it is
            none (`volumes.as_mask`).
    """
    values = read_values_of(path, scan_path, scan.shape, affine)
    return volumes.as_mask(values, path, scan, interpolated=interpolated)


def read_labels_of(path: Path, scan_path: Path, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """Read a mask of 0 and 1, or a map of whole labels, that was drawn on the voxels of a scan.

    Args:
        path: The mask or map.
        scan_path: The scan, for messages.
        shape: Of the scan.
        affine: Of the scan, 4 x 4, voxel indices to mm.

    Returns:
        (x, y, z) float32, whole numbers of 0 and more.

    Raises:
        InputError: As for `read_mask_of`, and for values that are no labels, such as probabilities: their threshold
            is a choice that is not made here.
    """
    array = read_values_of(path, scan_path, shape, affine)
    drawn = array != 0
    values = array[drawn]
    whole = np.rint(values)
    no_label = ~((np.abs(values - whole) <= volumes.LABEL_TOLERANCE) & (whole >= 0))
    if no_label.any():
        raise InputError(
            f"{path}: {np.count_nonzero(no_label)} voxels such as {values[no_label][0]:g} found, 0 and 1 or whole "
            "labels expected; save a mask, by a threshold where these are probabilities, or set interpolated_masks "
            "where masks were interpolated"
        )
    array[drawn] = whole
    return array


def read_values_of(path: Path, scan_path: Path, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """Read an image on the voxels of a scan, stored in any order of the axes: (x, y, z) float32, its own values.

    Arguments and errors are those of `read_labels_of`, but no value is refused.
    """
    stored, stored_affine = volumes.read(path)
    # Axes that are exchanged or reversed: the same voxels in another order.
    turn = nib.io_orientation(np.linalg.inv(affine) @ stored_affine)
    array: np.ndarray = nib.apply_orientation(stored, turn)
    if array.shape != tuple(shape):
        raise InputError(
            f"{path}: shape {stored.shape} found, {tuple(shape)} of {scan_path} expected; a mask must be on "
            "its scan's voxels"
        )
    distance = corner_distance(stored_affine @ inv_ornt_aff(turn, stored.shape), affine, shape)
    if not distance <= voxel_size(affine).min() / 2:
        raise InputError(
            f"{path}: corners {distance:.2f} mm away from those of {scan_path}, the same grid expected; resample "
            "the mask to the scan"
        )
    return array


def voxel_size(affine: np.ndarray) -> np.ndarray:
    """Edges of a voxel along the three array axes, mm."""
    size: np.ndarray = np.linalg.norm(affine[:3, :3], axis=0)
    return size


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
    """Average over blocks of voxels, as many along each axis as fit into `spacing` mm.

    Voxels that fill no whole block at the end of an axis are left out. Axes that are coarser stay as they are.

    Returns:
        The means, (x, y, z) float32, and their affine.
    """
    factors = np.clip(np.round(spacing / voxel_size(affine)).astype(int), 1, np.array(array.shape) // 2)
    blocks = array
    for axis, factor in enumerate(factors):
        along = np.moveaxis(blocks, axis, 0)
        end = along.shape[0] // factor * factor
        total = along[:end:factor].astype(np.float32)
        for place in range(1, factor):
            total += along[place:end:factor]
        blocks = np.moveaxis(total / np.float32(factor) if factor > 1 else total, 0, axis)
    blocks = np.ascontiguousarray(blocks)
    scaled = affine.astype(float).copy()
    scaled[:3, :3] = affine[:3, :3] * factors
    scaled[:3, 3] = affine[:3, :3] @ ((factors - 1) / 2) + affine[:3, 3]
    return blocks, scaled


def resample(array: np.ndarray, affine: np.ndarray, grid: Grid, transform: sitk.Transform) -> np.ndarray:
    """Bring a volume to a grid by linear interpolation.

    Linear interpolation never leaves the range of its neighbors: no ringing at the edge of a stripped brain.

    Args:
        array: (x, y, z).
        affine: Of the array, 4 x 4, voxel indices to mm.
        grid: Grid in atlas space.
        transform: Maps atlas to scan points.

    Returns:
        (x, y, z) float32, 0 outside the array.
    """
    return resample_like(array, affine, transform, shape=grid.shape, target_affine=grid.affine)


def resample_like(
    array: np.ndarray,
    affine: np.ndarray,
    transform: sitk.Transform,
    *,
    shape: tuple[int, ...],
    target_affine: np.ndarray,
) -> np.ndarray:
    """Bring a volume to voxels of a shape and affine, as `resample` does; `transform` maps target to source points."""
    # Axes are named as they lie in memory, so that no array has to be turned.
    source = array if array.dtype == bool else array.astype(np.float32, copy=False)
    image = to_image(source, affine) if source.flags.f_contiguous else to_image(source.T, affine[:, BACKWARD])
    backward = target_affine[:, BACKWARD]
    lps, spacing = LPS @ backward, voxel_size(backward)
    resampled = sitk.Resample(
        image,
        size=shape[::-1],  # type: ignore[arg-type]  # SimpleITK's annotation is that of its default
        transform=transform,
        interpolator=sitk.sitkLinear,
        outputOrigin=lps[:3, 3].tolist(),
        outputSpacing=spacing.tolist(),
        outputDirection=(lps[:3, :3] / spacing).ravel().tolist(),
        defaultPixelValue=0.0,
        outputPixelType=sitk.sitkFloat32,
    )
    values: np.ndarray = sitk.GetArrayFromImage(resampled).T.transpose(2, 1, 0)
    return values
