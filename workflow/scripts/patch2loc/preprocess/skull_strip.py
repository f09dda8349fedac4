"""The brain mask: given, read off a stripped scan, or found with the atlas and no trained weights."""

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from patch2loc.preprocess.atlas import Atlas
from patch2loc.preprocess.images import coarser, resample_like, to_array, to_image, voxel_size
from patch2loc.preprocess.register import (
    FINE_MM,
    PITCHES,
    SEARCH_MM,
    Pair,
    as_affine,
    climb,
    fit,
    lps,
    pair,
    until_it_stays,
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
FURTHER, FURTHEST = 20.0, 60.0  # degrees: steps and end of nods beyond PITCHES
HEAD_MM = 6.0
CLIP_PERCENTILE = 80.0
BRAIN_ML = (900.0, 2000.0)

# Fitting of the placed atlas mask to the tissue, in mm; the darkest tissue relative to the median, the
# brightest to the bright end of what is certainly brain.
WORK_MM = 2.0
CORE_MM = 6.0
OUT_MM, IN_MM = 3.0, 3.0
ERODE_MM, GROW_MM, CLOSE_MM = 3.0, 2.0, 8.0
STRICT, DARKEST = 0.6, 0.35
BRIGHTEST = 1.2


def stripped_mask(scan: np.ndarray) -> np.ndarray:
    """Brain mask of a scan that is already skull-stripped: the largest part above 0, its holes filled.

    Values below 0 are the ringing of earlier interpolation at the edge of such brains, not brain.
    """
    return ndimage.binary_fill_holes(largest_part(scan > 0))


def find_brain(scan: np.ndarray, affine: np.ndarray, atlas: Atlas) -> tuple[np.ndarray, sitk.AffineTransform]:
    """Find the brain in a whole head, T1 or T2, without trained weights: (mask, atlas-to-scan transform).

    scan: (x, y, z) float32 as stored, with skull.  affine: voxel to mm.  atlas: of the same contrast.
    The mask is (x, y, z) bool on the scan's voxels, the transform a start for `register`.

    The atlas brain is given a simulated skull and scalp, which hold its place, and registered to the head by mutual
    information from several poses. Its mask, so placed, is fitted to the tissue of the scan, the atlas registered to
    what it holds, and the mask placed and fitted again.
    """
    head, coarse = coarser(np.maximum(scan, 0), affine, 4.0)
    # Fat can be many times brighter than brain: clipped, it leaves the histogram to the brain.
    head = np.minimum(head, np.percentile(head[head > head.mean()], CLIP_PERCENTILE))
    model = with_simulated_head(atlas)
    far = pair(model, head, coarse, SEARCH_MM)
    found = climbs(far, atlas, head, coarse)
    volume = atlas.mask.sum() * abs(np.linalg.det(atlas.affine[:3, :3])) / 1000
    # A brain drawn out to the scalp can beat the true one in mutual information, not in size.
    plausible = [
        result for result in found if BRAIN_ML[0] <= volume * result[0].GetScale() ** 3 <= BRAIN_ML[1]
    ]
    pose, _ = max(plausible or found, key=lambda result: result[1])
    transform, _ = until_it_stays(far, as_affine(pose))
    transform, _ = until_it_stays(pair(model, head, coarse, HEAD_MM), transform)
    work, finer = coarser(scan, affine, WORK_MM)
    # Skulls differ in thickness: the head gives the brain's place, the tissue in it the brain's size.
    first = closed(*tissue(work, finer, atlas, transform, STRICT), voxel_size(finer))
    transform, _ = fit(*coarser(work * first, finer, FINE_MM), atlas, transform, iterations=30)
    brain = closed(*tissue(work, finer, atlas, transform, DARKEST), voxel_size(finer))
    identity = sitk.Transform(3, sitk.sitkIdentity)
    mask = resample_like(brain.astype(np.float32), finer, scan.shape, affine, identity) >= 0.5
    return mask, transform


def placed(
    atlas: Atlas, shape: tuple[int, ...], affine: np.ndarray, transform: sitk.AffineTransform
) -> np.ndarray:
    """The atlas mask on a scan's voxels: (x, y, z) bool, with the scan's shape and affine."""
    share = atlas.mask.astype(np.float32)
    return resample_like(share, atlas.affine, shape, affine, transform.GetInverse()) > 0.5


def tissue(
    scan: np.ndarray, affine: np.ndarray, atlas: Atlas, transform: sitk.AffineTransform, darkest: float
) -> tuple[np.ndarray, np.ndarray]:
    """Brain tissue near the atlas mask placed by `transform`: (tissue bool, depth in the placed mask in mm).

    scan: (x, y, z) float32 of about 2 mm with its affine.  What is as bright as brain is eroded until scalp and dura
    come off, and the largest part is grown back. Further than OUT_MM from the placed mask there is no tissue.
    """
    spacing = voxel_size(affine)
    start = placed(atlas, scan.shape, affine, transform)
    found, inner = np.zeros(scan.shape, bool), np.zeros(scan.shape, np.float32)
    if not start.any():
        return found, inner
    margin = np.ceil(OUT_MM / spacing).astype(int) + 1
    box = tuple(
        slice(max(edge.start - extra, 0), edge.stop + extra)
        for edge, extra in zip(ndimage.find_objects(start.astype(np.uint8))[0], margin, strict=True)
    )
    inner[box] = depth(start[box], spacing)
    near = depth(~start[box], spacing) <= OUT_MM
    head = ndimage.gaussian_filter(scan[box], 0.7 / spacing)
    core = inner[box] > CORE_MM
    certain = head[core if core.any() else start[box]]
    # Fat is brighter than all brain in T1; in T2 fluid, which is certain brain too, is the brightest.
    bright = near & (head > darkest * np.median(certain)) & (head < BRIGHTEST * np.percentile(certain, 99.5))
    bright |= inner[box] > IN_MM + ERODE_MM + 1
    kept = largest_part(depth(bright, spacing) > ERODE_MM)
    found[box] = bright & (depth(~kept, spacing) <= ERODE_MM + GROW_MM)
    return found, inner


def closed(found: np.ndarray, inner: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """The brain of its tissue: sulci closed, and all that is deeper than IN_MM in the placed mask: lesions stay in."""
    if not found.any():
        return found
    # Room for the closing; an edge that is the end of the scan must not erode what touches it.
    margin = np.ceil(CLOSE_MM / spacing).astype(int) + 1
    box = ndimage.find_objects((found | (inner > IN_MM)).astype(np.uint8))[0]
    padded = np.pad(found[box], [(extra, extra) for extra in margin])
    filled = depth(depth(~padded, spacing) <= CLOSE_MM, spacing) > CLOSE_MM
    inside = tuple(slice(extra, -extra) for extra in margin)
    brain = np.zeros(found.shape, bool)
    brain[box] = ndimage.binary_fill_holes(filled[inside] | (inner[box] > IN_MM))
    return brain


def depth(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Distance in mm of every true voxel to the nearest false one; 0 in false voxels, and if there is none."""
    if mask.all():
        return np.zeros(mask.shape, np.float32)
    outside = to_image(~mask, np.diag([*spacing, 1.0]))
    return np.maximum(to_array(sitk.SignedMaurerDistanceMap(outside, False, False, True)), 0)


def largest_part(mask: np.ndarray) -> np.ndarray:
    """The largest connected part of a mask; an empty mask stays empty."""
    labels, count = ndimage.label(mask)
    return labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1 if count else mask


def with_simulated_head(atlas: Atlas) -> Atlas:
    """The atlas at 2 mm with simulated bone, scalp and air around the brain; its mask is what is compared."""
    image, affine = coarser(atlas.image, atlas.affine, 2.0)
    share, _ = coarser(atlas.mask.astype(np.float32), atlas.affine, 2.0)
    margin = int(np.ceil(AIR_MM / 2))
    image, affine = with_margin(image, affine, margin)
    brain = np.pad(share, margin) > 0.5
    distance = depth(~brain, voxel_size(affine))
    height = np.arange(brain.shape[2]) * affine[2, 2] + affine[2, 3]
    # The orbits' roof lies about 60 mm above the lowest point of the cerebellum in either atlas.
    lowest = height[np.flatnonzero(brain.any(axis=(0, 1)))[0]]
    above = np.broadcast_to(height >= lowest + 70.0, brain.shape)
    reference = np.median(image[brain])
    around = (
        np.where(distance <= BONE_MM, BONE, np.where((distance <= SCALP_MM) & above, SCALP, 0.0)) * reference
    )
    compared = brain | (distance <= RIM_MM) | ((distance <= AIR_MM) & above)
    return Atlas(np.where(brain, image, around).astype(np.float32), compared, affine, atlas.name)


def climbs(
    far: Pair, atlas: Atlas, head: np.ndarray, affine: np.ndarray
) -> list[tuple[sitk.Similarity3DTransform, float]]:
    """Where climbs from all poses end, with their mutual information.

    While the furthest nod gives the most, a further one is tried.
    """
    found: dict[float, list] = {}
    pitches = PITCHES
    while pitches:
        for pitch in pitches:
            found[pitch] = [climb(far, start, iterations=25) for start in poses(atlas, head, affine, pitch)]
        best = max(found, key=lambda pitch: max(value for _, value in found[pitch]))
        further = best + np.sign(best) * FURTHER
        pitches = () if further in found or abs(further) > FURTHEST else (further,)
    return [end for ends in found.values() for end in ends]


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
