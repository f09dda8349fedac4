"""Volumes: the grid that all scans share, the volume of voxels, and NIfTI in and out.

Arrays are (x, y, z) with x from left to right, y from posterior to anterior and
z from inferior to superior (RAS+); affines map voxel indices to millimeters.
"""

import gzip
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import SerializableImage
from nibabel.spatialimages import SpatialImage

from patch2loc.errors import InputError
from patch2loc.files import replacing

MAX_VOXELS = 1 << 30  # 4 GB as float32; a head at 0.3 mm has a third of it
MAX_COMPRESSION = {
    ".gz": 1032,
    ".bz2": math.inf,
    ".zst": math.inf,
}  # content over file size; .gz by its format
CHUNK = 1 << 20  # bytes
# Where the axes of an array lead: RAS as everywhere here; LPS as arrays of the paper's released code (ITK's "RAI").
Axes = Literal["RAS", "LPS"]
AXES: tuple[Axes, ...] = get_args(Axes)
BLOCK = 2.0  # mm of the slices that the other rows of Table 1 were computed on


def isotropic_voxel_ml(spacing: float) -> float:
    """Volume, ml, of a cubic voxel with edges of `spacing` mm."""
    return spacing**3 / 1000


def voxel_ml(affine: np.ndarray) -> float:
    """Volume, ml, of a voxel of an image with an affine in mm."""
    return float(abs(np.linalg.det(affine[:3, :3])) / 1000)


def mask_ml(mask: np.ndarray, affine: np.ndarray) -> float:
    """Volume, ml, of a boolean mask on voxels with an affine in mm."""
    # Not the product with voxel_ml: that is another number in its last digits.
    return float(mask.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000)


@dataclass(frozen=True)
class Grid:
    """The common grid: isotropic, axis-aligned, centered on a point of the atlas.

    Attributes:
        shape: Voxels along x, y, z.
        spacing: Edge of a voxel, mm.
        center: Center of the grid in atlas space, mm (RAS).
    """

    shape: tuple[int, int, int]
    spacing: float
    center: tuple[float, float, float]

    @property
    def affine(self) -> np.ndarray:
        """4 x 4 matrix from voxel indices to mm (RAS)."""
        affine = np.diag([self.spacing] * 3 + [1.0])
        affine[:3, 3] = np.asarray(self.center) - self.spacing * (np.asarray(self.shape) - 1) / 2
        return affine

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel, ml."""
        return isotropic_voxel_ml(self.spacing)


def reoriented(array: np.ndarray, axes: Axes) -> np.ndarray:
    """Turn an (x, y, z) array from RAS to other axes, or from these to RAS: the same flips."""
    flipped = tuple(number for number in range(3) if axes[number] != "RAS"[number])
    return np.ascontiguousarray(np.flip(array, flipped)) if flipped else array


def block(spacing: float) -> int:
    """Voxels along the edge of a cube of 2 mm on a grid of `spacing` mm; 1 on a coarser grid."""
    return max(1, round(BLOCK / spacing))


def read(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a 3-D NIfTI image as it is stored.

    Returns:
        The voxels, (x, y, z) float32, and the 4 x 4 affine from voxel indices to mm.

    Raises:
        InputError: The file is missing, unreadable, truncated or damaged, claims more voxels than it can hold, is not
            three-dimensional, or has voxels that are no real numbers.
        PermissionError: The file must not be read, which says nothing about the image.
    """
    try:
        with open(path, "rb"):  # nibabel does not say why it cannot read a file
            pass
        image = nib.load(path)
        if not isinstance(image, SpatialImage):
            raise TypeError(f"{type(image).__name__}, not a volume")
        _check_header(path, image)
        array = _stored_voxels(path, image)
    except (InputError, PermissionError):
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; a NIfTI image was expected there") from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path}: not a readable NIfTI image ({reason}); get the file again or leave the subject out"
        ) from error
    return array[..., 0] if array.ndim == 4 else array, image.affine


def _check_header(path: str | Path, image: SpatialImage) -> None:
    """Check a header's claims against the size of its file, before memory is taken for them."""
    shape, dtype = image.shape, image.get_data_dtype()
    spatial = shape[:3] if shape[3:] == (1,) else shape
    if len(spatial) != 3 or min(spatial) < 2:
        raise InputError(
            f"{path}: shape {shape} found, one 3-D volume expected; give one whole volume or leave the subject out"
        )
    if dtype.kind not in "iuf":
        raise InputError(
            f"{path}: voxels of type {dtype} found, real numbers expected; save the magnitude or one channel, or "
            "leave the subject out"
        )
    voxel_file = Path(image.file_map["image"].filename or path)
    size, voxels = voxel_file.stat().st_size, math.prod(shape)
    if voxels > MAX_VOXELS or voxels * dtype.itemsize > size * MAX_COMPRESSION.get(voxel_file.suffix, 1):
        raise InputError(
            f"{path}: a header that claims {shape} voxels of {dtype} found in a file of {size:,} bytes, at most "
            f"{MAX_VOXELS:,} voxels and a file that can hold them expected; get the file again"
        )


def _stored_voxels(path: str | Path, image: SpatialImage) -> np.ndarray:
    """The voxels, float32. A gzipped file is read to its end, where its checksum is: nibabel stops before it."""
    if Path(path).suffix != ".gz" or not isinstance(image, SerializableImage):
        return np.asarray(image.dataobj, dtype=np.float32)
    with gzip.open(path) as stream:
        array = np.asarray(type(image).from_stream(stream).dataobj, dtype=np.float32)
        while stream.read(CHUNK):
            pass
    return array


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask: (x, y, z) boolean, true where the image is above 0. Raises as `read` does."""
    return read(path)[0] > 0


def write(path: str | Path, array: np.ndarray, affine: np.ndarray) -> None:
    """Write a volume as gzipped NIfTI, whole or not at all; the same input gives the same bytes.

    Args:
        path: File to write, .nii.gz.
        array: (x, y, z). Booleans are stored as uint8, floating-point numbers as float32, other types as they are.
        affine: 4 x 4, voxel indices to mm.
    """
    if array.dtype == bool:
        array = array.astype(np.uint8)
    elif array.dtype == np.float64:
        array = array.astype(np.float32)
    image = nib.Nifti1Image(array, affine)
    image.set_qform(affine, code="aligned")
    image.set_sform(affine, code="aligned")
    image.header.set_xyzt_units("mm")
    with replacing(path) as partial:
        image.to_filename(partial)
