"""Simulated strokes in real healthy scans: real lesion outlines, painted in.

The outline of a real stroke, drawn on the MNI grid, is carried to a healthy T1 scan and the tissue inside is
darkened towards cerebrospinal fluid, as in chronic stroke. The scan is real, the lesion is simulated, and the
truth is known exactly. The scans that result are named painted_* and have to be called simulated wherever they
are shown.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from patch2loc.data import volumes
from patch2loc.errors import InputError
from patch2loc.files import replacing

EDGE_MM = 1.0  # standard deviation of the soft edge: a lesion's border is no voxel border
CSF_PERCENTILE = 2.0  # of the brain's intensities: fluid is its darkest part in T1
TISSUE_PERCENTILE = 50.0
STRENGTH = (0.6, 1.0)  # share of the way from tissue to fluid, one value per lesion
UNEVENNESS = 0.15  # by how much the strength varies within a lesion
UNEVENNESS_MM = 6.0
TEXTURE = (0.25, 0.5)  # share of the local contrast that stays
TEXTURE_MM = 4.0
SMALLEST_ML = 0.5  # less than this in the brain is no lesion but a wrong registration
SMALLEST_SHARE = 0.25  # of a lesion whose size is given: the rest was fluid before, or outside the brain


def paint_stroke(
    scan_path: str | Path,
    brain_path: str | Path,
    mask_path: str | Path,
    mni_to_scan: np.ndarray,
    *,
    seed: int,
    outputs: Mapping[str, str | Path],
    mirrored: bool = False,
    strength: float | None = None,
    diameter_mm: float | None = None,
) -> dict[str, float]:
    """Paint a stroke into a healthy T1 scan.

    The scan keeps its data type, scaling and header; the masks are uint8 on the scan's voxels. Voxels that
    were fluid before (ventricles) are not in the lesion mask, and no voxel gets brighter.

    Args:
        scan_path: The healthy scan.
        brain_path: Its brain mask.
        mask_path: The outline of a stroke, in MNI space.
        mni_to_scan: 4 x 4, MNI mm to the scan's mm (RAS), from the registration of the atlas brain to the scan's.
        seed: Seed of what is drawn at random.
        outputs: Files to write, .nii.gz: "scan", "brain" and "lesion".
        mirrored: Swap left and right of the outline.
        strength: Contrast, share of the way from tissue to fluid; drawn from STRENGTH where None.
        diameter_mm: Of a ball of the volume that the outline is scaled to, about its innermost point, so that the
            lesion is in the same place at every size; None leaves it as it is.

    Returns:
        lesion_ml (in the scan), mask_ml (in MNI space), strength and texture.

    Raises:
        InputError: A file cannot be read, scan and brain differ in shape, or the lesion misses the brain.
    """
    image, stored, slope, intercept = read_stored(scan_path)
    volume = (stored * slope + intercept).astype(np.float32)
    brain = read_brain(brain_path, scan_path, volume)
    outline, outline_affine = volumes.read(mask_path)
    mask_ml = volumes.mask_ml(outline > 0, outline_affine)
    smallest_ml = SMALLEST_ML
    if diameter_mm is not None:
        ball_ml = ball_volume_ml(diameter_mm)
        smallest_ml = SMALLEST_SHARE * ball_ml
        outline_affine = scaled_affine(outline > 0, outline_affine, (ball_ml / mask_ml) ** (1 / 3))
    share = share_inside(
        outline > 0,
        outline_affine,
        mni_to_scan=mni_to_scan,
        scan_affine=image.affine,
        shape=volume.shape,
        mirrored=mirrored,
    )
    voxel = np.linalg.norm(image.affine[:3, :3], axis=0)
    painted, lesion, drawn = darken(volume, brain, share * brain, voxel=voxel, seed=seed, strength=strength)
    lesion_ml = lesion.sum() * voxel.prod() / 1000
    if lesion_ml < smallest_ml:
        raise InputError(
            f"{mask_path}: {lesion_ml:.2f} ml of it lie in the brain tissue of {scan_path}, at least "
            f"{smallest_ml:.2g} ml expected; look at the brain mask or take another pair"
        )
    write_like(outputs["scan"], painted, image, dtype=stored.dtype, slope=slope, intercept=intercept)
    for part, mask in (("brain", brain), ("lesion", lesion)):
        write_like(outputs[part], mask, image, dtype=np.dtype(np.uint8), slope=1.0, intercept=0.0)
    return {
        "lesion_ml": float(lesion_ml),
        "mask_ml": mask_ml,
        **drawn,
    }


def ball_volume_ml(diameter_mm: float) -> float:
    """Volume of a ball, ml."""
    return float(np.pi / 6 * diameter_mm**3 / 1000)


def scaled_affine(outline: np.ndarray, affine: np.ndarray, scale: float) -> np.ndarray:
    """Affine of a grid, 4 x 4, by which an outline is `scale` times as large, with its innermost point in place.

    The innermost point is the one farthest from the edge, in voxels, which lies inside whatever the shape.

    Args:
        outline: (x, y, z) bool.
        affine: Of its grid, voxel indices to mm.
        scale: Factor of lengths.
    """
    distance = ndimage.distance_transform_edt(outline)
    innermost = affine @ [*np.unravel_index(distance.argmax(), outline.shape), 1.0]
    scaling = np.diag([scale, scale, scale, 1.0])
    scaling[:3, 3] = (1 - scale) * innermost[:3]
    scaled: np.ndarray = scaling @ affine
    return scaled


def share_inside(
    outline: np.ndarray,
    outline_affine: np.ndarray,
    *,
    mni_to_scan: np.ndarray,
    scan_affine: np.ndarray,
    shape: tuple[int, ...],
    mirrored: bool = False,
) -> np.ndarray:
    """Share of each scan voxel that is inside an outline, with soft edges.

    Args:
        outline: (x, y, z) bool, on a grid in MNI space.
        outline_affine: Of this grid, 4 x 4, voxel indices to mm.
        mni_to_scan: 4 x 4, MNI mm to the scan's mm.
        scan_affine: Of the scan, 4 x 4, voxel indices to mm.
        shape: Of the scan.
        mirrored: Swap left and right (x = 0).

    Returns:
        (x, y, z) float32 of `shape`, 0 to 1.
    """
    # Blurred by the edge and by the scan's voxel, so that sampling at voxel centers is a mean over the voxel.
    scan_voxel = np.linalg.norm(scan_affine[:3, :3], axis=0).mean()
    outline_voxel = np.linalg.norm(outline_affine[:3, :3], axis=0)
    sigma = np.sqrt(EDGE_MM**2 + scan_voxel**2 / 12) / outline_voxel
    soft = ndimage.gaussian_filter(outline.astype(np.float32), sigma)
    mirror = np.diag([-1.0 if mirrored else 1.0, 1.0, 1.0, 1.0])
    to_outline = np.linalg.inv(outline_affine) @ mirror @ np.linalg.inv(mni_to_scan) @ scan_affine
    share: np.ndarray = ndimage.affine_transform(
        soft, to_outline, output_shape=shape, order=1, output=np.float32
    )
    return share


def darken(
    volume: np.ndarray,
    brain: np.ndarray,
    share: np.ndarray,
    *,
    voxel: np.ndarray,
    seed: int,
    strength: float | None = None,
) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Darken a T1 scan's brain inside an outline.

    Args:
        volume: The scan, (x, y, z) float32.
        brain: Its brain mask, (x, y, z) bool.
        share: Share of each voxel inside the outline, (x, y, z), 0 to 1.
        voxel: Edges of a voxel, mm, (3,).
        seed: Seed of what is drawn at random.
        strength: As for `paint_stroke`.

    Returns:
        The darkened scan, float32; the lesion mask, bool: at least half of the voxel inside the outline, and tissue
        before; and the strength and the texture that were drawn.
    """
    random = np.random.default_rng([seed, 1])
    drawn_strength, texture = random.uniform(*STRENGTH), random.uniform(*TEXTURE)
    strength = drawn_strength if strength is None else strength
    fluid, tissue = np.percentile(volume[brain], [CSF_PERCENTILE, TISSUE_PERCENTILE])
    uneven = ndimage.gaussian_filter(
        random.standard_normal(volume.shape).astype(np.float32), UNEVENNESS_MM / voxel
    )
    uneven *= UNEVENNESS / uneven.std()
    # The local mean is of brain only: the skull and the air beside it are no part of a lesion's surroundings.
    sigma = TEXTURE_MM / voxel
    local = ndimage.gaussian_filter(volume * brain, sigma)
    local /= np.maximum(ndimage.gaussian_filter(brain.astype(np.float32), sigma), 1e-3)
    cavity = np.maximum(fluid + texture * (volume - local), volume[brain].min())
    weight = np.clip(share * np.clip(strength + uneven, 0, 1), 0, 1)
    painted = np.where(brain, np.minimum(volume, volume + weight * (cavity - volume)), volume)
    solid = ndimage.gaussian_filter(volume, 1.0 / voxel) > (fluid + tissue) / 2
    lesion = brain & solid & (share >= 0.5)
    return painted.astype(np.float32), lesion, {"strength": float(strength), "texture": float(texture)}


def choose_pairs(
    subjects: Sequence[str],
    mask_ml: Mapping[str, float],
    *,
    count: int,
    seed: int,
    volumes_ml: tuple[float, float],
) -> pd.DataFrame:
    """Choose which outline goes into which healthy scan.

    The volumes are spread evenly on a logarithmic scale, since strokes differ by orders of magnitude. A mask is used
    twice at most, then once as it is and once mirrored, since the outlines may all lie in one hemisphere.

    Args:
        subjects: Subjects with healthy scans.
        mask_ml: Volume of each outline, ml.
        count: Number of pairs.
        seed: Seed of what is drawn at random, and the first of the pairs' own seeds.
        volumes_ml: Smallest and largest volume, ml.

    Returns:
        Columns subject, mask, mirrored (0 or 1) and seed.

    Raises:
        InputError: There are too few scans or masks.
    """
    inside = {name: ml for name, ml in sorted(mask_ml.items()) if volumes_ml[0] <= ml <= volumes_ml[1]}
    if count > min(len(subjects), 2 * len(inside)):
        raise InputError(
            f"{len(subjects)} healthy scans and {len(inside)} masks of {volumes_ml[0]} to {volumes_ml[1]} ml "
            f"found, {count} and {(count + 1) // 2} expected; ask for fewer pairs"
        )
    random = np.random.default_rng([seed, 2])
    first = random.integers(0, 2, len(inside))
    uses = [(name, int(side)) for name, side in zip(inside, first, strict=True)]
    uses += [(name, 1 - side) for name, side in uses]
    smallest, largest = volumes_ml
    targets = np.log(np.geomspace(smallest, largest, count))
    available = np.log([inside[name] for name, _ in uses])
    # A fresh outline first, where it is about as near.
    second_use = 0.05 * (np.arange(len(uses)) >= len(inside))
    _, choices = linear_sum_assignment(np.abs(targets[:, None] - available[None]) + second_use[None])
    scans = random.permutation(sorted(subjects))[:count]
    rows = [
        {"subject": str(scan), "mask": uses[use][0], "mirrored": uses[use][1]}
        for scan, use in zip(scans, choices, strict=True)
    ]
    table = pd.DataFrame(rows).sort_values("subject", ignore_index=True)
    table["seed"] = np.arange(count) + seed
    return table


def read_brain(brain_path: str | Path, scan_path: str | Path, scan: np.ndarray) -> np.ndarray:
    """Brain mask of a scan, (x, y, z), bool of its shape.

    Raises:
        InputError: It cannot be read, has another shape, or is no mask.
    """
    brain, _ = volumes.read(brain_path)
    if brain.shape != scan.shape:
        raise InputError(
            f"{brain_path}: shape {brain.shape} found, {scan.shape} of {scan_path} expected; give the brain mask of "
            "this scan"
        )
    return volumes.as_mask(brain, brain_path, scan)


def read_stored(path: str | Path) -> tuple[nib.Nifti1Image, np.ndarray, float, float]:
    """An image, its voxels as stored, and their slope and intercept."""
    volumes.read(path)  # for its checks and messages
    image: Any = nib.load(path)  # Any: the types of nibabel do not tell slope, intercept and voxels as stored
    slope, intercept = image.dataobj.slope, image.dataobj.inter
    return image, np.asarray(image.dataobj.get_unscaled()), float(slope), float(intercept)


def write_like(
    path: str | Path,
    array: np.ndarray,
    image: nib.Nifti1Image,
    *,
    dtype: np.dtype[Any],
    slope: float,
    intercept: float,
) -> None:
    """Write an array with the header of an image, stored as a type with a slope and intercept."""
    stored = (array.astype(np.float64) - intercept) / slope
    if np.issubdtype(dtype, np.integer):
        stored = np.rint(stored).clip(np.iinfo(dtype).min, np.iinfo(dtype).max)
    header = image.header.copy()
    header.set_data_dtype(dtype)
    output = nib.Nifti1Image(stored.astype(dtype), image.affine, header)
    output.header.set_slope_inter(slope, intercept)  # after the image is made, which forgets it
    with replacing(path) as partial:
        output.to_filename(partial)
