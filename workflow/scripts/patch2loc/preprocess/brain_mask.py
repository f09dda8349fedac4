"""The brain mask of a scan by any of the methods: given, none, atlas, or another program."""

from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from patch2loc.data import volumes
from patch2loc.errors import InputError
from patch2loc.preprocess.atlas import Atlas
from patch2loc.preprocess.external_tools import TOOLS, extract_brain
from patch2loc.preprocess.images import read_mask_of
from patch2loc.preprocess.skull_strip import find_brain, stripped_mask

SKULL_STRIP = ("given", "none", "atlas", *TOOLS)
SMALLEST_BRAIN_ML = 50.0


def brain_mask(
    scan: Path,
    array: np.ndarray,
    affine: np.ndarray,
    given: np.ndarray | None,
    atlas: Atlas,
    method: str,
    device: str = "cpu",
) -> tuple[np.ndarray, sitk.AffineTransform | None]:
    """The brain mask on the scan's voxels, and a start for the registration where the method has one.

    array, affine: of the scan, which messages name.  given: its mask, if there is one.  method: of SKULL_STRIP.
    device: where HD-BET and SynthStrip run, as in the configuration.
    Raises InputError when there is no brain in the mask, or a program is not installed or fails.
    """
    start = None
    if method == "atlas":
        found, start = find_brain(array, affine, atlas)
    elif method == "none":
        found = stripped_mask(array)
    elif method in TOOLS:
        found = mask_by_tool(method, scan, array, affine, device)
    elif given is not None:
        found = given
    else:
        raise InputError(
            f"{scan}: no brain mask found, one expected (skull_strip: given); give one, or set skull_strip "
            "to none (already stripped) or atlas"
        )
    volume = found.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000
    if volume < SMALLEST_BRAIN_ML:
        raise InputError(
            f"{scan}: brain mask of {volume:.1f} ml found (skull_strip: {method}), a brain expected; "
            "check the mask or leave the subject out"
        )
    return found, start


def mask_by_tool(tool: str, scan: Path, array: np.ndarray, affine: np.ndarray, device: str) -> np.ndarray:
    """The mask that HD-BET or SynthStrip gives: (x, y, z) bool on the voxels as stored.

    The program sees the scan in the orientation that it knows: right, anterior, superior.
    """
    canonical = nib.as_closest_canonical(nib.Nifti1Image(array, affine))
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "head.nii.gz"
        volumes.write(copy, np.asarray(canonical.dataobj), canonical.affine)
        path = extract_brain(tool, copy, Path(folder), device, str(scan))
        mask = read_mask_of(path, scan, canonical.shape, canonical.affine)
    stored = nib.orientations.io_orientation(affine)
    turn = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), stored)
    return np.ascontiguousarray(nib.orientations.apply_orientation(mask, turn))
