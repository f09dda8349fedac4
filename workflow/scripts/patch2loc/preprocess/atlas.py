"""Atlases: the brains that scans are registered to, and the grid laid over them.

Two atlases are known by name. `icbm152` comes with nilearn and needs no download; `sri24` is the
atlas of the paper (Rohlfing et al. 2010) and has to be fetched, so it is given as a folder.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from patch2loc.data import volumes
from patch2loc.data.volumes import Grid
from patch2loc.errors import InputError

SRI24_FILES = {"T1": "spgr.nii", "T2": "late.nii"}
ICBM152_FILE = "mni_icbm152_{tissue}_tal_nlin_sym_09a_converted.nii.gz"
# Brightness of pure tissue in the simulated T2 contrast, relative to cerebrospinal fluid.
T2_CONTRAST = {"csf": 1.0, "gm": 0.55, "wm": 0.40}


@dataclass(frozen=True)
class Atlas:
    """A skull-stripped atlas of one contrast.

    image: (x, y, z) float32, RAS+, 0 outside the brain.  mask: (x, y, z) bool, the brain.
    affine: 4 x 4, voxel indices to mm.  name: `icbm152` or `sri24`.
    """

    image: np.ndarray
    mask: np.ndarray
    affine: np.ndarray
    name: str


def load_atlas(name_or_folder: str | Path, modality: str) -> Atlas:
    """Load the atlas whose contrast is that of `modality` ("T1" or "T2").

    `name_or_folder` is "icbm152" or a folder with the skull-stripped SRI24 atlas (spgr.nii is T1, late.nii
    T2). ICBM152 has no T2 map in nilearn: its T2 is a simulated contrast, made from the tissue maps with
    bright fluid, mid-gray cortex and dark white matter. It serves registration, where only the contrast
    matters. Raises InputError when a file is missing or the modality is neither T1 nor T2.
    """
    if modality not in SRI24_FILES:
        raise InputError(f"modality {modality!r} found, T1 or T2 expected; correct the dataset's modality")
    return (
        _load_icbm152(modality) if str(name_or_folder) == "icbm152" else _load_sri24(name_or_folder, modality)
    )


def common_grid(atlas: Atlas, shape: tuple[int, int, int], spacing: float) -> Grid:
    """The grid over `atlas` that all scans are brought to: `shape` voxels of `spacing` mm.

    SRI24: the center crop of the paper (section 4), which is whole atlas voxels wherever the grid is 1 mm.
    ICBM152, whose brain is off the center of its array: centered on the brain's bounding box.
    """
    if atlas.name == "sri24":
        extent = np.asarray(shape) * spacing
        size = np.asarray(atlas.image.shape)
        center = size // 2 - extent / 2 + (extent - 1) / 2
    else:
        center = [
            (edge.start + edge.stop - 1) / 2 for edge in ndimage.find_objects(atlas.mask.astype(np.uint8))[0]
        ]
    millimeters = atlas.affine[:3, :3] @ np.asarray(center) + atlas.affine[:3, 3]
    return Grid(tuple(shape), float(spacing), tuple(float(value) for value in millimeters))


def _load_icbm152(modality: str) -> Atlas:
    # The package's location without its import, which would take longer than reading the maps.
    folder = Path(find_spec("nilearn").origin).parent / "datasets" / "data"
    t1, affine = volumes.read(folder / ICBM152_FILE.format(tissue="t1"))
    mask = _brain(t1)
    if modality == "T1":
        return Atlas(t1 * mask, mask, affine, "icbm152")
    gray, white = (
        volumes.read(folder / ICBM152_FILE.format(tissue=tissue))[0] / 255 for tissue in ("gm", "wm")
    )
    fluid = np.clip(1 - gray - white, 0, 1)
    t2 = T2_CONTRAST["csf"] * fluid + T2_CONTRAST["gm"] * gray + T2_CONTRAST["wm"] * white
    return Atlas((255 * t2 * mask).astype(np.float32), mask, affine, "icbm152")


def _load_sri24(folder: str | Path, modality: str) -> Atlas:
    names = (SRI24_FILES[modality], SRI24_FILES[modality] + ".gz")
    found = [Path(folder) / name for name in names if (Path(folder) / name).is_file()]
    if not found:
        raise InputError(
            f"{Path(folder) / names[0]}: no such file; the skull-stripped SRI24 atlas has spgr.nii (T1) and "
            "late.nii (T2): "
            "unpack sri24_anatomy_nifti.zip (https://www.nitrc.org/projects/sri24) there, or use the atlas "
            "icbm152"
        )
    stored, affine = volumes.read(found[0])
    canonical = nib.as_closest_canonical(nib.Nifti1Image(stored, affine))
    image = np.ascontiguousarray(canonical.get_fdata(dtype=np.float32))
    if not (image > 0).any():
        raise InputError(f"{found[0]}: no voxel above 0, a skull-stripped atlas expected; get the file again")
    mask = _brain(image)
    return Atlas(image * mask, mask, canonical.affine, "sri24")


def _brain(image: np.ndarray) -> np.ndarray:
    """The largest connected part of the voxels above 0, its holes filled."""
    box = ndimage.find_objects((image > 0).astype(np.uint8))[0]
    labels, _ = ndimage.label(image[box] > 0)
    mask = np.zeros(image.shape, bool)
    mask[box] = ndimage.binary_fill_holes(labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1)
    return mask
