"""Volumes: the grid that all scans share, and NIfTI in and out.

Arrays are (x, y, z) with x from left to right, y from posterior to anterior and
z from inferior to superior (RAS+); affines map voxel indices to millimetres.
"""

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from patch2loc.errors import InputError
from patch2loc.files import replacing


@dataclass(frozen=True)
class Grid:
    """The common grid: isotropic, axis-aligned, centred on a point of the atlas (paper, section 4).

    shape: voxels along x, y, z.  spacing: mm.  centre: mm in atlas space (RAS).
    """

    shape: tuple[int, int, int]
    spacing: float
    centre: tuple[float, float, float]

    @property
    def affine(self) -> np.ndarray:
        """4 x 4 matrix from voxel indices to mm (RAS)."""
        affine = np.diag([self.spacing] * 3 + [1.0])
        affine[:3, 3] = np.asarray(self.centre) - self.spacing * (np.asarray(self.shape) - 1) / 2
        return affine

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in millilitres."""
        return self.spacing**3 / 1000


def read(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a 3-D NIfTI image as it is stored: (float32 array, affine).

    Raises InputError when the file is missing, unreadable, truncated or not three-dimensional.
    """
    try:
        image = nib.load(path)
        array = np.asarray(image.dataobj, dtype=np.float32)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; a NIfTI image was expected there") from error
    except Exception as error:
        raise InputError(
            f"{path}: not a readable NIfTI image ({error}); get the file again or leave the subject out"
        ) from error
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if array.ndim != 3 or min(array.shape) < 2:
        raise InputError(f"{path}: shape {array.shape} found, one 3-D volume expected")
    return array, image.affine


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
