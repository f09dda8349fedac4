"""Volumes: the grid that all scans share, and NIfTI in and out.

Arrays are (x, y, z) with x from left to right, y from posterior to anterior and
z from inferior to superior (RAS+); affines map voxel indices to millimeters.
"""

import gzip
import math
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import SerializableImage

from patch2loc.errors import InputError
from patch2loc.files import replacing

MOST_VOXELS = 1 << 30  # 4 GB as float32; a head at 0.3 mm has a third of it
SHRUNK = {".gz": 1032, ".bz2": math.inf, ".zst": math.inf}  # by what factor at most, .gz by its format
CHUNK = 1 << 20


@dataclass(frozen=True)
class Grid:
    """The common grid: isotropic, axis-aligned, centered on a point of the atlas (paper, section 4).

    shape: voxels along x, y, z.  spacing: mm.  center: mm in atlas space (RAS).
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
        """Volume of a voxel in milliliters."""
        return self.spacing**3 / 1000


def read(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a 3-D NIfTI image as it is stored: (float32 array, affine).

    Raises InputError when the file is missing, unreadable, truncated or damaged, claims more voxels than it can hold,
    is not three-dimensional, or has voxels that are no real numbers; PermissionError without the right to read it,
    which says nothing of the image.
    """
    try:
        with open(path, "rb"):  # nibabel does not say why it cannot read a file
            pass
        image = nib.load(path)
        _check_claims(path, image)
        array = _stored(path, image)
    except (InputError, PermissionError):
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; a NIfTI image was expected there") from error
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path}: not a readable NIfTI image ({said}); get the file again or leave the subject out"
        ) from error
    return array[..., 0] if array.ndim == 4 else array, image.affine


def _check_claims(path: str | Path, image: nib.spatialimages.SpatialImage) -> None:
    """Hold what a header says against the size of its file, before memory is taken for it."""
    shape, stored = image.shape, image.get_data_dtype()
    spatial = shape[:3] if shape[3:] == (1,) else shape
    if len(spatial) != 3 or min(spatial) < 2:
        raise InputError(
            f"{path}: shape {shape} found, one 3-D volume expected; give one whole volume or leave the subject out"
        )
    if stored.kind not in "iuf":
        raise InputError(
            f"{path}: voxels of type {stored} found, real numbers expected; save the magnitude or one channel, or "
            "leave the subject out"
        )
    holder = Path(image.file_map["image"].filename)
    size, voxels = holder.stat().st_size, math.prod(shape)
    if voxels > MOST_VOXELS or voxels * stored.itemsize > size * SHRUNK.get(holder.suffix, 1):
        raise InputError(
            f"{path}: a header that claims {shape} voxels of {stored} found in a file of {size:,} bytes, at most "
            f"{MOST_VOXELS:,} voxels and a file that can hold them expected; get the file again"
        )


def _stored(path: str | Path, image: nib.spatialimages.SpatialImage) -> np.ndarray:
    """The voxels, float32. Of a gzipped file the checksum at its end is looked at too, before which nibabel stops."""
    if Path(path).suffix != ".gz" or not isinstance(image, SerializableImage):
        return np.asarray(image.dataobj, dtype=np.float32)
    with gzip.open(path) as stream:
        array = np.asarray(type(image).from_stream(stream).dataobj, dtype=np.float32)
        while stream.read(CHUNK):
            pass
    return array


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask: boolean array, true where the image is above 0."""
    return read(path)[0] > 0


def write(path: str | Path, array: np.ndarray, affine: np.ndarray) -> None:
    """Write a volume as gzipped NIfTI, whole or not at all; the same input gives the same bytes.

    Booleans are stored as uint8, floating-point numbers as float32, other types as they are.
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


BLOCK = 2.0  # mm of the slices that the other rows of Table 1 were computed on


def block(spacing: float) -> int:
    """Voxels of a grid, spacing in mm, along the edge of a cube of 2 mm; 1 on a coarser grid."""
    return max(1, round(BLOCK / spacing))
