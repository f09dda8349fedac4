"""The brain mask of a scan by any of the methods: given, none, atlas, or another program."""

from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from patch2loc.data import volumes
from patch2loc.errors import InputError
from patch2loc.preprocess.atlas import Atlas
from patch2loc.preprocess.background import without_empty
from patch2loc.preprocess.external_tools import TOOLS, extract_brain
from patch2loc.preprocess.images import coarser, read_mask_of, voxel_size
from patch2loc.preprocess.masks import largest_part, largest_part_filled, share_of_holes
from patch2loc.preprocess.skull_strip import deeper, find_brain, stripped_mask

AUTOMATIC = "auto"
SKULL_STRIP = ("given", "none", "atlas", AUTOMATIC, *TOOLS)
SMALLEST_BRAIN_ML = 50.0
LARGEST_BRAIN_ML = 3500.0  # the largest brains on record have 2,900 ml; a whole head has 3,000 to 6,000
# More than any brain, less than a head: brains of public datasets have 1,100 to 2,080 ml above 0, heads 2,570 and more.
LARGEST_STRIPPED_ML = 2300.0
# Share of a brain mask: 157 masks of public scans have at most 0.0002, and two stripped scans, as masks, 0.0017.
MOST_HOLES = 0.002
# Share of a brain: single voxels, such as those of a program's own mask, may have no number.
MOST_MISSING = 0.0002
# Of a stripped scan, hardly anything above 0 lies apart from the brain.
STRIPPED_SHARE = 0.99
# Bone lies 6 to 15 mm below the surface of a head, and brain below that of a brain. Share of dark voxels there: up to
# 0.11 in 239 brains, 0.22 and more in 102 heads whose air was set to 0.
BONE_MM = (6.0, 15.0)
DARK, BONE_SHARE = 0.4, 0.16
# How a brain was found, by the method that was taken.
FOUND_BY = {"given": "given mask", "none": "taken as skull-stripped", "atlas": "found by the atlas"}


def brain_mask(
    scan_path: Path,
    volume: np.ndarray,
    affine: np.ndarray,
    *,
    method: str,
    given_mask: np.ndarray | None,
    atlas: Atlas,
    device: str = "cpu",
) -> tuple[np.ndarray, sitk.AffineTransform | None, str]:
    """Find the brain in a scan.

    Args:
        scan_path: File of the scan, for messages.
        volume: The scan as stored, (x, y, z) float32.
        affine: Of the scan, 4 x 4, voxel indices to mm.
        method: One of SKULL_STRIP.
        given_mask: The mask that came with the scan, (x, y, z) bool, if there is one; taken by the method "given".
        atlas: Of the scan's contrast; used by the method "atlas".
        device: Where HD-BET and SynthStrip run: "auto", "cpu" or "cuda".

    Returns:
        The mask, (x, y, z) bool on the scan's voxels; a start for the registration if the method has one; and how the
        brain was found, in words.

    Raises:
        InputError: There is no mask, or no brain in it, or more than any brain, or a program is not installed or fails.
    """
    start = None
    if method == AUTOMATIC:
        method = "none" if is_stripped(volume, affine) else "atlas"
    if method == "atlas":
        mask, start = find_brain(volume, affine, atlas)
    elif method == "none":
        mask = stripped_mask(volume)
    elif method in TOOLS:
        mask = mask_by_tool(method, scan_path, volume, affine, device=device)
    elif given_mask is not None:
        mask = given_mask
    else:
        raise InputError(
            f"{scan_path}: no brain mask found, one expected (skull_strip: given); give one, or set skull_strip "
            "to none (already stripped) or atlas"
        )
    brain_ml = volumes.mask_ml(mask, affine)
    if brain_ml < SMALLEST_BRAIN_ML:
        raise InputError(
            f"{scan_path}: brain mask of {brain_ml:.1f} ml found (skull_strip: {method}), a brain expected; "
            "check the mask or leave the subject out"
        )
    if brain_ml > LARGEST_BRAIN_ML:
        raise InputError(
            f"{scan_path}: brain mask of {brain_ml:,.0f} ml found (skull_strip: {method}), at most "
            f"{LARGEST_BRAIN_ML:,.0f} ml expected, as no brain is larger; check that the mask is of the brain, not of "
            "the head, and the voxel size in the header"
        )
    brightness = volume[mask]
    if brightness.min() == brightness.max():
        raise InputError(
            f"{scan_path}: one brightness ({brightness[0]:g}) in the whole brain mask found (skull_strip: {method}), "
            "a brain expected; check the mask, or leave the scan out"
        )
    return without_empty(mask, volume, affine), start, FOUND_BY.get(method, f"found by {method}")


def holes_of(mask: np.ndarray, method: str) -> tuple[dict[str, float], list[str]]:
    """Measure holes in a brain mask, (x, y, z) bool, that was not made here, where masks have none.

    Args:
        mask: The mask.
        method: One of SKULL_STRIP by which it was found.

    Returns:
        For qc.json: the share of the brain that is holes; and a flag if it is too large.
    """
    if method in ("none", "atlas", AUTOMATIC):
        return {}, []
    share = round(share_of_holes(mask), 5)
    flag = f"holes of {share:.1%} of the brain in its mask, at most {MOST_HOLES:.1%} expected: a lesion there is missed"
    return {"mask_holes": share}, [flag] if share > MOST_HOLES else []


def stop_if_missing_inside(missing: np.ndarray, brain: np.ndarray, scan_path: Path) -> None:
    """Raise InputError, naming the scan, if voxels that are missing lie in its brain; both (x, y, z) bool."""
    if not missing.any():
        return
    # The brain mask leaves out places that hold nothing: what is missing there is a hole in it.
    count = np.count_nonzero(missing & ndimage.binary_fill_holes(brain))
    if count > MOST_MISSING * np.count_nonzero(brain):
        raise InputError(
            f"{scan_path}: {count} voxels of the brain are not finite (NaN), numbers expected; NaN is background "
            "outside the brain only: replace these voxels or leave the scan out"
        )


def is_stripped(volume: np.ndarray, affine: np.ndarray) -> bool:
    """True for a scan (x, y, z) with nothing but a brain: one part above 0, too small for a head, and no bone in it."""
    brain = largest_part(volume > 0)
    is_alone = np.count_nonzero(brain) > STRIPPED_SHARE * np.count_nonzero(volume > 0)
    is_small = volumes.mask_ml(brain, affine) < LARGEST_STRIPPED_ML
    return bool(is_alone and is_small and not has_bone(volume, brain, affine))


def has_bone(volume: np.ndarray, inside: np.ndarray, affine: np.ndarray) -> bool:
    """True if a dark layer lies below the surface of a brain or head (`inside`), both (x, y, z): a small head."""
    image, coarse = coarser(np.where(inside, volume, 0), affine, 2.0)
    image = np.pad(image, 1)
    solid, spacing = largest_part_filled(image > 0), voxel_size(coarse)
    core = deeper(solid, BONE_MM[1], spacing)
    layer = deeper(solid, BONE_MM[0], spacing) & ~core
    if not core.any():
        return False
    return bool(np.mean(image[layer] < DARK * np.median(image[core])) > BONE_SHARE)


def mask_by_tool(
    tool: str, scan_path: Path, volume: np.ndarray, affine: np.ndarray, *, device: str
) -> np.ndarray:
    """The mask of HD-BET or SynthStrip: (x, y, z) bool on the voxels as stored.

    The program sees the scan in the orientation that it was trained on: right, anterior, superior.
    """
    canonical = nib.as_closest_canonical(nib.Nifti1Image(volume, affine))
    with TemporaryDirectory() as folder:
        copy_path = Path(folder) / "head.nii.gz"
        volumes.write(copy_path, np.asarray(canonical.dataobj), canonical.affine)
        mask_path = extract_brain(tool, copy_path, Path(folder), device=device, name=str(scan_path))
        mask = read_mask_of(mask_path, scan_path, np.asarray(canonical.dataobj), canonical.affine)
    stored = nib.orientations.io_orientation(affine)
    turn = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), stored)
    return np.ascontiguousarray(nib.orientations.apply_orientation(mask, turn))
