"""Content of a scan: a hash by which it is the same scan wherever and however its file is stored."""

import hashlib

import nibabel as nib
import numpy as np


def content_hash(array: np.ndarray, affine: np.ndarray) -> str:
    """Hexadecimal SHA-256 of a scan's shape and voxels, float32, in the order of RAS.

    It is the same for a file of another name, compression, byte order, number type that holds the values, order of
    the axes in memory, place or voxel size. Without the voxel size, because nothing else has the same voxels, and
    rounded sizes of one scan can differ between headers. It is another one for a scan that was resampled, cropped,
    stripped, mirrored or scaled: such copies are not recognized.

    Args:
        array: (x, y, z), finite, as stored.
        affine: 4 x 4, voxel indices to mm (RAS).
    """
    in_ras_order = nib.apply_orientation(array, nib.io_orientation(affine))
    digest = hashlib.sha256(str(in_ras_order.shape).encode())
    for section in in_ras_order.T:  # (y, x): no copy of the whole scan
        digest.update((np.ascontiguousarray(section, "<f4") + np.float32(0)).data)  # -0 becomes 0
    return digest.hexdigest()
