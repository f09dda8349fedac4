"""Atlases: the brains that scans are registered to, and the grid laid over them.

There are two. `icbm152` comes with nilearn and needs no download; `sri24` is the atlas of the paper
(Rohlfing et al. 2010) and has to be downloaded, so it is given as a folder.
"""

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from patch2loc.data import icbm152, volumes
from patch2loc.data.modalities import MODALITIES, Modality, ModalityRow
from patch2loc.data.volumes import Grid
from patch2loc.errors import InputError
from patch2loc.preprocess.masks import box_around, largest_part_filled

TISSUE_MAPS: tuple[icbm152.Map, ...] = ("gm", "wm")


@dataclass(frozen=True)
class Atlas:
    """A skull-stripped atlas of one contrast.

    Attributes:
        image: (x, y, z) float32, RAS+, 0 outside the brain.
        mask: The brain, (x, y, z) bool.
        affine: 4 x 4, voxel indices to mm.
        name: "icbm152" or "sri24".
    """

    image: np.ndarray
    mask: np.ndarray
    affine: np.ndarray
    name: str


def load_atlas(name_or_folder: str | Path, modality: Modality) -> Atlas:
    """Load an atlas in the contrast of a modality.

    ICBM152 has a T1 map alone in nilearn: its other contrasts are simulated, made from the tissue maps.  They serve
    registration, where nothing but the contrast matters.

    Args:
        name_or_folder: "icbm152", or the folder of the skull-stripped SRI24 atlas.
        modality: The contrast that the atlas's image should have.

    Raises:
        InputError: A file is missing or cannot be used, or there is no such modality.
    """
    if modality not in MODALITIES:
        raise InputError(
            f"modality {modality!r} found, one of {', '.join(MODALITIES)} expected; correct the dataset's modality"
        )
    row = MODALITIES[modality]
    return _load_icbm152(row) if str(name_or_folder) == "icbm152" else _load_sri24(name_or_folder, modality)


def common_grid(atlas: Atlas, shape: tuple[int, int, int], spacing: float) -> Grid:
    """The grid over an atlas that all scans are brought to.

    Where it lies is a choice of ours: the paper mentions no crop, and its released code crops around each brain
    (`released_code.grid_around_brain`).  SRI24: at the center of the atlas's array, in whole atlas voxels wherever the
    grid is 1 mm.  ICBM152, whose brain is off the center of its array: at the center of the brain's bounding box.

    Args:
        atlas: From `load_atlas`.
        shape: Voxels along x, y, z.
        spacing: Edge of a voxel, mm.
    """
    if atlas.name == "sri24":
        extent = np.asarray(shape) * spacing
        size = np.asarray(atlas.image.shape)
        center = size // 2 - extent / 2 + (extent - 1) / 2
    else:
        center = np.asarray([(edge.start + edge.stop - 1) / 2 for edge in box_around(atlas.mask)])
    x, y, z = (float(value) for value in atlas.affine[:3, :3] @ center + atlas.affine[:3, 3])
    columns, rows, slices = shape
    return Grid((columns, rows, slices), float(spacing), (x, y, z))


def _load_icbm152(row: ModalityRow) -> Atlas:
    t1, affine = volumes.read(icbm152.map_path("t1"))
    mask = t1 > 0  # one part without holes, as a test holds
    tissue = row.simulated_atlas
    if tissue is None:
        return Atlas(t1 * mask, mask, affine, "icbm152")
    box = box_around(mask)
    gray, white = (volumes.read(icbm152.map_path(name))[0][box] / 255 for name in TISSUE_MAPS)
    fluid = np.clip(1 - gray - white, 0, 1)
    image = np.zeros_like(t1)
    image[box] = tissue["csf"] * fluid + tissue["gray"] * gray + tissue["white"] * white
    image[box] *= 255 * mask[box]
    return Atlas(image, mask, affine, "icbm152")


def _load_sri24(folder: str | Path, modality: Modality) -> Atlas:
    file = MODALITIES[modality].sri24_file
    if file is None:
        raise InputError(
            f"{folder}: the SRI24 atlas has no {modality} contrast, one that scans can be registered to expected; use "
            "the atlas icbm152, or preprocess.template: T1"
        )
    paths = [path for path in (Path(folder, file), Path(folder, f"{file}.gz")) if path.is_file()]
    if not paths:
        contrasts = " and ".join(
            f"{row.sri24_file} ({name})" for name, row in MODALITIES.items() if row.sri24_file
        )
        raise InputError(
            f"{Path(folder) / file}: no such file; the skull-stripped SRI24 atlas has {contrasts}: "
            "unpack sri24_anatomy_nifti.zip (https://www.nitrc.org/projects/sri24) there, or use the atlas icbm152"
        )
    stored, affine = volumes.read(paths[0])
    canonical = nib.as_closest_canonical(nib.Nifti1Image(stored, affine))
    image = np.ascontiguousarray(canonical.get_fdata(dtype=np.float32))
    if not (image > 0).any():
        raise InputError(f"{paths[0]}: no voxel above 0, a skull-stripped atlas expected; get the file again")
    mask = largest_part_filled(image > 0)
    return Atlas(image * mask, mask, canonical.affine, "sri24")
