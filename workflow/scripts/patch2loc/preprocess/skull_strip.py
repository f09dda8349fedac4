"""The brain mask of a stripped scan, or of a whole head with the help of the atlas and no trained weights."""

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from patch2loc.data.volumes import mask_ml
from patch2loc.preprocess.atlas import Atlas
from patch2loc.preprocess.images import coarser, resample_like, to_array, to_image, voxel_size
from patch2loc.preprocess.masks import box_around, fill_holes, largest_part, largest_part_filled, within
from patch2loc.preprocess.register import (
    FINE_MM,
    PITCHES,
    SEARCH_MM,
    Pair,
    as_affine,
    climb,
    climb_until_stable,
    fit,
    lps,
    prepare_pair,
    with_margin,
)

# A head around the atlas brain, in mm from the brain: bone up to the first, scalp up to the second, air up
# to the third.
BONE_MM, SCALP_MM, AIR_MM = 8.0, 15.0, 22.0
RIM_MM = 5.0  # below the orbits only this much around the brain is compared: faces differ too much
# Brightness of bone and scalp in both contrasts, relative to the brain's median; mutual
# information asks for no more than that bone is dark and scalp is not.
BONE, SCALP = 0.1, 0.75
SHIFTS_MM = (0.0, -25.0)
FURTHER, FURTHEST = 20.0, 60.0  # degrees: step and end of nods beyond PITCHES
HEAD_MM = 6.0
CLIP_PERCENTILE = 80.0
BRAIN_ML = (900.0, 2000.0)

# Fitting of the placed atlas mask to the tissue, in mm; the darkest tissue relative to the median, the
# brightest relative to the bright end, of what is certainly brain.
WORK_MM = 2.0
CORE_MM = 6.0
OUT_MM, IN_MM = 3.0, 3.0
ERODE_MM, GROW_MM, CLOSE_MM = 3.0, 2.0, 8.0
STRICT, DARKEST = 0.6, 0.35
BRIGHTEST = 1.2


def stripped_mask(volume: np.ndarray) -> np.ndarray:
    """Brain mask of a scan that is already skull-stripped: the largest part above 0, its holes filled.

    Values below 0 are the ringing of earlier interpolation at the edge of such brains, not brain.
    """
    return largest_part_filled(volume > 0)


def find_brain(
    volume: np.ndarray, affine: np.ndarray, atlas: Atlas
) -> tuple[np.ndarray, sitk.AffineTransform]:
    """Find the brain in a whole head, T1 or T2, without trained weights.

    The atlas brain gets a simulated skull and scalp, which hold it in place, and is registered to the head by mutual
    information from several poses. Its mask, so placed, is fitted to the tissue of the scan, the atlas is registered
    to the tissue in it, and the mask is placed and fitted again.

    Args:
        volume: The scan as stored, with skull, (x, y, z) float32.
        affine: Of the scan, 4 x 4, voxel indices to mm.
        atlas: Of the scan's contrast.

    Returns:
        The mask, (x, y, z) bool on the scan's voxels, and a transform from atlas to scan points, to start `register`.
        The mask is empty if there is no tissue where the brain would be.
    """
    head, coarse = coarser(np.maximum(volume, 0), affine, 4.0)
    # Fat can be many times brighter than brain: clipped, it leaves the histogram to the brain.
    head = np.minimum(head, np.percentile(head[head > head.mean()], CLIP_PERCENTILE))
    model = with_simulated_head(atlas)
    far = prepare_pair(model, head, coarse, SEARCH_MM)
    candidates = climb_from_poses(far, atlas, head, coarse)
    atlas_ml = mask_ml(atlas.mask, atlas.affine)
    # A brain drawn out to the scalp can beat the true one in mutual information, not in size.
    plausible = [
        candidate
        for candidate in candidates
        if BRAIN_ML[0] <= atlas_ml * candidate[0].GetScale() ** 3 <= BRAIN_ML[1]
    ]
    pose, _ = max(plausible or candidates, key=lambda candidate: candidate[1])
    transform, _ = climb_until_stable(far, as_affine(pose))
    transform, _ = climb_until_stable(prepare_pair(model, head, coarse, HEAD_MM), transform)
    work, finer = coarser(volume, affine, WORK_MM)
    # Skulls differ in thickness: the head gives the brain's place, the tissue in it the brain's size.
    first = close_brain(
        *find_tissue(work, finer, atlas, transform=transform, darkest=STRICT), voxel_size(finer)
    )
    if not (work * first).any():
        return np.zeros(volume.shape, bool), transform
    transform, _ = fit(*coarser(work * first, finer, FINE_MM), atlas, start=transform, iterations=30)
    brain = close_brain(
        *find_tissue(work, finer, atlas, transform=transform, darkest=DARKEST), voxel_size(finer)
    )
    identity = sitk.Transform(3, sitk.sitkIdentity)
    share = resample_like(brain, finer, identity, shape=volume.shape, target_affine=affine)
    return share >= 0.5, transform


def place_atlas_mask(
    atlas: Atlas, shape: tuple[int, ...], affine: np.ndarray, transform: sitk.AffineTransform
) -> np.ndarray:
    """The atlas mask on a scan's voxels: (x, y, z) bool, with the scan's shape and affine."""
    share = atlas.mask.astype(np.float32)
    inverse = transform.GetInverse()
    return resample_like(share, atlas.affine, inverse, shape=shape, target_affine=affine) > 0.5


def find_tissue(
    volume: np.ndarray,
    affine: np.ndarray,
    atlas: Atlas,
    *,
    transform: sitk.AffineTransform,
    darkest: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Find brain tissue near the atlas mask placed by `transform`.

    Voxels as bright as brain are eroded until scalp and dura come off, and the largest part is grown back. Further
    than OUT_MM from the placed mask there is no tissue.

    Args:
        volume: The scan at about 2 mm, (x, y, z) float32.
        affine: Of these voxels, 4 x 4, voxel indices to mm.
        atlas: The atlas.
        transform: Maps atlas to scan points.
        darkest: Brightness of the darkest tissue, relative to the median of what is certainly brain.

    Returns:
        The tissue, and what is deeper than IN_MM in the placed mask, both (x, y, z) bool.
    """
    spacing = voxel_size(affine)
    atlas_mask = place_atlas_mask(atlas, volume.shape, affine, transform)
    tissue, inner = np.zeros(volume.shape, bool), np.zeros(volume.shape, bool)
    if not atlas_mask.any():
        return tissue, inner
    margin = np.ceil(OUT_MM / spacing).astype(int) + 1
    box = tuple(
        slice(max(edge.start - extra, 0), edge.stop + extra)
        for edge, extra in zip(box_around(atlas_mask), margin, strict=True)
    )
    placed = atlas_mask[box]
    inner[box] = deeper(placed, IN_MM, spacing)
    head = ndimage.gaussian_filter(volume[box], 0.7 / spacing)
    core = deeper(placed, CORE_MM, spacing)
    certain = head[core if core.any() else placed]
    # In T1 fat is brighter than all brain; in T2 fluid, which is certainly brain too, is the brightest.
    near = within(placed, OUT_MM, spacing)
    bright = near & (head > darkest * np.median(certain)) & (head < BRIGHTEST * np.percentile(certain, 99.5))
    bright |= deeper(placed, IN_MM + ERODE_MM + 1, spacing)
    eroded = largest_part(deeper(bright, ERODE_MM, spacing))
    # Where nothing is thick enough, as in a thin slab, there is nothing to take scalp and dura off.
    tissue[box] = bright & within(eroded, ERODE_MM + GROW_MM, spacing) if eroded.any() else bright
    return tissue, inner


def close_brain(tissue: np.ndarray, inner: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """The brain from its tissue: sulci are closed, and all that is deep in the placed mask is kept, lesions too."""
    if not tissue.any():
        return tissue
    # Room for the closing; an edge that is the end of the scan must not erode what touches it.
    margin = np.ceil(CLOSE_MM / spacing).astype(int) + 1
    box = box_around(tissue | inner)
    padded = np.pad(tissue[box], [(extra, extra) for extra in margin])
    filled = deeper(within(padded, CLOSE_MM, spacing), CLOSE_MM, spacing)
    inside = tuple(slice(extra, -extra) for extra in margin)
    brain = np.zeros(tissue.shape, bool)
    brain[box] = fill_holes(filled[inside] | inner[box])
    return brain


def deeper(mask: np.ndarray, distance: float, spacing: np.ndarray) -> np.ndarray:
    """The voxels of a mask that are further than a distance, mm, from every false one; none if there is no such."""
    return np.zeros_like(mask) if mask.all() else ~within(~mask, distance, spacing)


def with_simulated_head(atlas: Atlas) -> Atlas:
    """The atlas at 2 mm with simulated bone, scalp and air around the brain; its mask says what is compared."""
    image, affine = coarser(atlas.image, atlas.affine, 2.0)
    share, _ = coarser(atlas.mask, atlas.affine, 2.0)
    margin = int(np.ceil(AIR_MM / 2))
    image, affine = with_margin(image, affine, margin)
    brain = np.pad(share, margin) > 0.5
    spacing = voxel_size(affine)
    at_bone, at_scalp = within(brain, BONE_MM, spacing), within(brain, SCALP_MM, spacing)
    height = np.arange(brain.shape[2]) * affine[2, 2] + affine[2, 3]
    # The orbits' roof lies about 60 mm above the lowest point of the cerebellum in either atlas.
    lowest = height[np.flatnonzero(brain.any(axis=(0, 1)))[0]]
    above = np.broadcast_to(height >= lowest + 70.0, brain.shape)
    reference = np.median(image[brain])
    around = np.where(at_bone, BONE, np.where(at_scalp & above, SCALP, 0.0)) * reference
    compared = within(brain, RIM_MM, spacing) | (within(brain, AIR_MM, spacing) & above)
    return Atlas(np.where(brain, image, around).astype(np.float32), compared, affine, atlas.name)


def climb_from_poses(
    far: Pair, atlas: Atlas, head: np.ndarray, affine: np.ndarray
) -> list[tuple[sitk.Similarity3DTransform, float]]:
    """Climb from all poses; while the furthest nod is the best, try a further one: transforms and their values."""
    ends: dict[float, list[tuple[sitk.Similarity3DTransform, float]]] = {}
    pitches: tuple[float, ...] = PITCHES
    while pitches:
        for pitch in pitches:
            ends[pitch] = [climb(far, start, iterations=25) for start in poses(atlas, head, affine, pitch)]
        best = max(ends, key=lambda pitch: max(value for _, value in ends[pitch]))
        further = float(best + np.sign(best) * FURTHER)
        pitches = () if further in ends or abs(further) > FURTHEST else (further,)
    return [end for ends_at_pitch in ends.values() for end in ends_at_pitch]


def poses(
    atlas: Atlas, head: np.ndarray, affine: np.ndarray, pitch: float
) -> list[sitk.Similarity3DTransform]:
    """Poses to start from: the atlas brain below the top of the head, or of what is bright, nodding by `pitch`."""
    bright = to_array(sitk.OtsuThreshold(to_image(head, affine), 0, 1)) > 0
    points = np.argwhere(bright) @ affine[:3, :3].T + affine[:3, 3]
    top = np.percentile(points[:, 2], 99.8)
    upper = points[points[:, 2] > top - 150]
    voxels = np.argwhere(atlas.mask[::4, ::4, ::4]) * 4
    center = voxels.mean(axis=0)
    above = (voxels[:, 2].max() - center[2]) * atlas.affine[2, 2]
    scalp_and_bone = 12.0
    target = np.array([upper[:, 0].mean(), upper[:, 1].mean(), top - scalp_and_bone - 0.95 * above])
    middle = lps(center, atlas.affine)
    starts = []
    for shift in SHIFTS_MM:
        start = sitk.Similarity3DTransform()
        start.SetCenter(middle.tolist())
        start.SetTranslation(((target + np.array([0, 0, shift])) * (-1, -1, 1) - middle).tolist())
        start.SetRotation((1.0, 0.0, 0.0), np.deg2rad(pitch))
        start.SetScale(0.95)
        starts.append(start)
    return starts
