"""Volumes: the grid that all scans share, the volume of voxels, and NIfTI in and out.

Arrays are (x, y, z) with x from left to right, y from posterior to anterior and
z from inferior to superior (RAS+); affines map voxel indices to millimeters.
"""

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.openers import ImageOpener

from patch2loc.data.axes import Axes, axis_order
from patch2loc.data.nifti_header import open_image, reading_image
from patch2loc.errors import InputError
from patch2loc.files import replacing

CHUNK = 1 << 20  # bytes
PADDING = 512  # bytes of zero that a file may end with, as disks and tapes fill their last block
# Above 0 in a mask: a parcellation of a brain has fewer, 8 bits of probability have 255.
MOST_MASK_LABELS = 200
LABEL_TOLERANCE = 1e-3  # labels stored with a scale factor come back as 0.99999
GZIP = 16 + zlib.MAX_WBITS  # format, for zlib
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

    @classmethod
    def of(cls, shape: tuple[int, int, int], affine: np.ndarray) -> "Grid":
        """The grid of an array of some shape that lies as a 4 x 4 affine of a grid says."""
        spacing = float(affine[0, 0])
        x, y, z = (affine[:3, 3] + spacing * (np.asarray(shape) - 1) / 2).tolist()
        return cls(shape, spacing, (x, y, z))

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
    """Turn an (x, y, z) array from RAS to other axes, or from these to RAS: the same exchange and the same flips."""
    order = axis_order(axes)
    flipped = tuple(number for number in range(3) if axes[number] != "RAS"[order[number]])
    if axes == "RAS":
        return array
    return np.ascontiguousarray(np.flip(array.transpose(order), flipped))


def block(spacing: float) -> int:
    """Voxels along the edge of a cube of 2 mm on a grid of `spacing` mm; 1 on a coarser grid."""
    return max(1, round(BLOCK / spacing))


def read(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a 3-D NIfTI image as it is stored.

    Returns:
        The voxels, (x, y, z) float32, and the 4 x 4 affine from voxel indices to mm.

    Raises:
        InputError: The file is missing, unreadable, truncated or damaged, claims more voxels than it can hold, is not
            three-dimensional, has voxels that are no real numbers, or a header that does not tell where they lie.
        ResourceError: The file must not be read, its disk fails, or there is no memory for it, which says nothing about
            the image.
    """
    image = open_image(path)
    with reading_image(path):
        array = _stored_voxels(path, image)
    return array.squeeze(tuple(range(3, array.ndim))), image.affine


def _stored_voxels(path: str | Path, image: nib.Nifti1Pair) -> np.ndarray:
    """The voxels, float32, of a file that ends with them: bytes left over mean that they start or end elsewhere.

    A gzipped file is read to the end of its content, where its checksum is: nibabel stops before it.  What follows a
    whole gzip and is none is no part of the image, and passed over, as gzip itself does.
    """
    voxel_file = str(image.file_map["image"].filename)
    is_gzip = Path(voxel_file).suffix.lower() == ".gz"
    with gzip.open(voxel_file) if is_gzip else ImageOpener(voxel_file) as stream:
        # Of a pair the stream is read for its end alone; voxels that are not compressed are mapped into memory.
        if isinstance(stream, gzip.GzipFile) and isinstance(image, nib.Nifti1Image):
            image = type(image).from_stream(stream)
        proxy: Any = image.dataobj
        array = np.asarray(proxy, dtype=np.float32)
        try:
            stream.seek(proxy.offset + array.size * image.get_data_dtype().itemsize)
            left_over = stream.read(PADDING + 1)
        except gzip.BadGzipFile as error:
            if "Not a gzipped file" not in str(error):  # as a wrong checksum
                raise
            left_over = b""
    if len(left_over) > PADDING or any(left_over):
        raise InputError(
            f"{path}: bytes left over behind the {image.shape} voxels of {image.get_data_dtype()} found, the end of "
            "the file expected there; its header is that of another image, or something was inserted before the "
            "voxels: get the file again"
        )
    return array


def read_mask(path: str | Path, scan: np.ndarray | None = None) -> np.ndarray:
    """Read a mask: (x, y, z) boolean, true where the image is above 0. Arguments and errors as for `as_mask`."""
    return as_mask(read(path)[0], path, scan)


def as_mask(
    values: np.ndarray, path: str | Path, scan: np.ndarray | None = None, *, interpolated: bool = False
) -> np.ndarray:
    """The mask that an image holds, after a check that it is one.

    Args:
        values: Voxels of the image, (x, y, z): 0 outside the mask, and above it one value or a few whole labels.
        path: File of the image, for messages.
        scan: The scan that the mask belongs to, (x, y, z), if there is one: its own voxels, 0 outside the brain, are
            a mask, too.
        interpolated: The image holds shares of voxels.

    Returns:
        (x, y, z) boolean, true where the image is above 0, or, interpolated, at least half.

    Raises:
        InputError: A value is not finite, or there are gray levels, such as probabilities: their threshold is a choice
            that is not made here.
    """
    not_finite = values.size - np.count_nonzero(np.isfinite(values))
    if not_finite:
        raise InputError(
            f"{path}: {not_finite} voxels of a mask are not finite, 0 outside the mask and 1 inside expected; save "
            "them as one of these"
        )
    mask: np.ndarray = values >= 0.5 if interpolated else values > 0
    inside = values[mask]
    if interpolated or not inside.size or inside.min() == inside.max():
        return mask
    levels = np.unique(inside)
    if len(levels) <= MOST_MASK_LABELS and np.abs(levels - np.rint(levels)).max() <= LABEL_TOLERANCE:
        return mask
    if scan is not None and np.allclose(scan[mask], inside * (scan[mask][0] / inside[0]), rtol=1e-3):
        return mask
    raise InputError(
        f"{path}: {len(levels):,} gray levels from {levels[0]:g} to {levels[-1]:g} found, a mask of 0 and 1 or at most "
        f"{MOST_MASK_LABELS} whole labels expected; if these are probabilities or intensities, save what is above a "
        "threshold as 1 and the rest as 0 (in a configuration, interpolated_masks takes shares of at least 0.5)"
    )


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
    content = memoryview(image.to_bytes())
    # Numbers of a scan repeat in runs of 0 alone: with no search for others the file is smaller, in half the time.
    compressor = zlib.compressobj(level=1, wbits=GZIP, strategy=zlib.Z_RLE)
    with replacing(path) as partial, open(partial, "wb") as stream:
        for start in range(0, len(content), CHUNK):
            stream.write(compressor.compress(content[start : start + CHUNK]))
        stream.write(compressor.flush())
