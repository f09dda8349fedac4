"""Scans as physical images: checks, SimpleITK in and out, coarser copies, one thread.

SimpleITK counts millimeters to the left and the posterior (LPS) and its arrays are (z, y, x); everything
else here is RAS and (x, y, z). The change happens in this module and nowhere else.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from nibabel.openers import ImageOpener
from nibabel.spatialimages import HeaderDataError

from patch2loc.data import volumes
from patch2loc.data.volumes import Grid
from patch2loc.errors import InputError

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
VOXEL_MM = (0.1, 15.0)
LABEL_TOLERANCE = 1e-3  # labels stored with a scale factor come back as 0.99999


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

    Raises InputError when the file cannot be read, its affine is no map from voxels to millimeters, its header does
    not tell where it lies (`check_pose`), a voxel is not finite, or no two voxels differ.
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
    check_pose(path)
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


def check_pose(path: Path) -> None:
    """Raise InputError unless the header of a NIfTI scan tells where its voxels lie, and tells one place only.

    nibabel guesses an orientation where there is neither sform nor qform, replaces voxel sizes that are not above 0,
    and takes the sform where the two disagree. They may, if their codes say that they are of different spaces.
    """
    image = nib.load(path)
    if not isinstance(image, nib.Nifti1Image):
        return
    with ImageOpener(path) as stream:
        stored = image.header_class.from_fileobj(stream, check=False)  # before nibabel's repairs
    sform, qform = int(stored["sform_code"]), int(stored["qform_code"])
    repair = "write its orientation into the header or leave it out"
    if sform == qform == 0:
        raise InputError(
            f"{path}: neither sform nor qform found (both codes 0), one of them expected; {repair}"
        )
    if sform == 0 and not (stored["pixdim"][1:4] > 0).all():
        raise InputError(
            f"{path}: voxels of {stored['pixdim'][1:4].tolist()} mm found, sizes above 0 expected; {repair}"
        )
    if sform == qform:
        try:
            expected = image.header.copy()
            expected.set_qform(image.affine)  # of an affine with shears, what a qform can say
            apart = corners_apart(expected.get_qform(), image.header.get_qform(), image.shape[:3])
        except (HeaderDataError, ValueError):
            apart = np.inf
        if not apart <= voxel_size(image.affine).min() / 2:
            raise InputError(
                f"{path}: sform and qform of the same code ({sform}) found whose corners are {apart:.2f} mm apart, one "
                "place expected; set the code of the wrong one to 0 or leave it out"
            )


def corners_apart(first: np.ndarray, second: np.ndarray, shape: tuple[int, ...]) -> float:
    """Largest distance along an axis, mm, between the corners of a volume of `shape` under two affines."""
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in shape])).reshape(3, -1)
    return float(np.abs((first - second)[:3] @ np.vstack([corners, np.ones(8)])).max())


def read_mask_of(path: Path, scan: Path, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """Read a mask drawn on the voxels of `scan`, which has `shape` and `affine`: (x, y, z) bool, true above 0.

    Raises InputError when the mask's grid is another one: corners more than half a voxel apart, or other shape.
    """
    return _read_on_voxels_of(path, scan, shape, affine) > 0


def read_lesion_of(
    path: Path,
    scan: Path,
    shape: tuple[int, ...],
    affine: np.ndarray,
    labels: Sequence[int] | None = None,
) -> np.ndarray:
    """Read a lesion mask, or a map of whole labels, drawn on the voxels of `scan`: (x, y, z) bool.

    labels: the labels that are lesion; None for all above 0.
    Raises InputError as `read_mask_of` does, and for values that are no labels, such as probabilities: where a lesion
    ends in them is a choice, and not one to be made here.
    """
    array = _read_on_voxels_of(path, scan, shape, affine)
    whole = np.rint(array)
    wrong = ~((np.abs(array - whole) <= LABEL_TOLERANCE) & (whole >= 0))
    if wrong.any():
        raise InputError(
            f"{path}: {np.count_nonzero(wrong)} voxels such as {array[wrong][0]:g} found, 0 and 1 or whole labels "
            "expected; save a mask, by a threshold where these are probabilities"
        )
    return whole > 0 if labels is None else np.isin(whole, labels)


def _read_on_voxels_of(path: Path, scan: Path, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    array, mask_affine = volumes.read(path)
    if array.shape != tuple(shape):
        raise InputError(
            f"{path}: shape {array.shape} found, {tuple(shape)} of {scan} expected; a mask must be on "
            "its scan's voxels"
        )
    apart = corners_apart(mask_affine, affine, shape)
    if not apart <= voxel_size(affine).min() / 2:
        raise InputError(
            f"{path}: corners {apart:.2f} mm away from those of {scan}, the same grid expected; resample "
            "the mask to the scan"
        )
    return array


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

    Linear interpolation never leaves the range of its neighbors: no ringing at the edge of a stripped brain.
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
