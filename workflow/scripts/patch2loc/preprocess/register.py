"""Affine registration of a brain to the atlas by mutual information (paper, section 4)."""

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from patch2loc.atlas import Atlas
from patch2loc.preprocess.images import coarser, to_image, voxel_size

BINS = 32
# Of more voxels than this, a fixed share is sampled, regularly and with a fixed seed.
FINE_VOXELS, FINE_SHARE, SEED = 20000, 0.6, 20625
# Nodding is the pose that differs most between scanners and the one that mutual information forgives least.
PITCHES = (0.0, 20.0, -20.0)


def register(
    scan: np.ndarray,
    brain: np.ndarray,
    affine: np.ndarray,
    atlas: Atlas,
    kind: str = "affine",
    start: sitk.AffineTransform | None = None,
) -> tuple[sitk.AffineTransform, float]:
    """Register the brain in a scan to the atlas: (transform from atlas to scan points, mutual information).

    scan: (x, y, z) float32 as stored.  brain: its mask, same shape.  affine: voxel to mm.  kind: "affine" or
    "rigid".  start: an affine transform that is roughly right; without it, and for "rigid", the pose is found
    at 8 mm from the centre and the volume of the brain and three nods. The transform is then fitted at 4 mm,
    inside the atlas brain and its rim, on samples that are the same every time.
    The value is Mattes mutual information in nats, higher is better.
    """
    stripped, coarse = coarser(scan * brain, affine, 4.0)
    if start is None or kind == "rigid":
        weight, _ = coarser(brain.astype(np.float32), affine, 4.0)
        far = compared(atlas, 4.0, rim=8.0)
        starts = [moments(atlas, weight, coarse, kind, pitch) for pitch in PITCHES]
        poses = [climb(far, stripped, coarse, pose, spacing=8.0, iterations=40) for pose in starts]
        start, _ = max(poses, key=lambda found: found[1])
        if kind == "affine":
            start = as_affine(start)
    final, value = climb(compared(atlas, 4.0, rim=6.0), stripped, coarse, start, spacing=4.0, iterations=80)
    return as_affine(final), value


def moments(atlas: Atlas, weight: np.ndarray, affine: np.ndarray, kind: str, pitch: float) -> sitk.Transform:
    """The transform that lays the centre of the atlas brain on that of the scan's, at the scan's size.

    weight: share of brain in each voxel.  Rigid: an Euler transform. Affine: a similarity, whose scale is
    the cube root of the volumes' ratio, at most a quarter off, as a cut field of view would give nonsense.
    pitch: degrees about the left-right axis.
    """
    centre = lps(np.argwhere(atlas.mask).mean(axis=0), atlas.affine)
    target = lps(np.array(ndimage.center_of_mass(weight)), affine)
    transform = sitk.Euler3DTransform() if kind == "rigid" else sitk.Similarity3DTransform()
    transform.SetCenter(centre.tolist())
    transform.SetTranslation((target - centre).tolist())
    if kind == "rigid":
        transform.SetRotation(np.deg2rad(pitch), 0.0, 0.0)
    else:
        transform.SetRotation((1.0, 0.0, 0.0), np.deg2rad(pitch))
    if kind != "rigid":
        volume = weight.sum() * voxel_size(affine).prod()
        ratio = volume / (atlas.mask.sum() * voxel_size(atlas.affine).prod())
        transform.SetScale(float(np.clip(np.cbrt(ratio), 0.8, 1.25)))
    return transform


def compared(atlas: Atlas, spacing: float, rim: float) -> Atlas:
    """The atlas at `spacing` mm, `rim` mm of background around its brain in the mask as well."""
    image, affine = coarser(atlas.image, atlas.affine, spacing)
    share, _ = coarser(atlas.mask.astype(np.float32), atlas.affine, spacing)
    margin = int(np.ceil(rim / spacing))
    image, affine = with_margin(image, affine, margin)
    distance = ndimage.distance_transform_edt(np.pad(share, margin) <= 0.5, sampling=voxel_size(affine))
    return Atlas(image, distance <= rim, affine, atlas.name)


def climb(
    atlas: Atlas, scan: np.ndarray, affine: np.ndarray, start: sitk.Transform, spacing: float, iterations: int
) -> tuple[sitk.Transform, float]:
    """Climb the mutual information of atlas and scan from `start`: (transform of its type, value in nats).

    atlas: its mask says which voxels are compared.  scan: (x, y, z) float32 with its affine.
    spacing: mm of the atlas voxels that are compared; the scan is smoothed to match.
    """
    image, coarse = coarser(atlas.image, atlas.affine, spacing)
    inside = coarser(atlas.mask.astype(np.float32), atlas.affine, spacing)[0] > 0.5
    moving = sitk.SmoothingRecursiveGaussian(to_image(scan, affine), spacing / 2)
    transform = type(start)(start)
    fine = inside.sum() > FINE_VOXELS

    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricFixedMask(to_image(inside, coarse))
    if fine:
        method.SetMetricSamplingStrategy(method.REGULAR)
        method.SetMetricSamplingPercentage(FINE_SHARE, SEED)
    else:
        method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0,
        minStep=0.002,
        numberOfIterations=iterations,
        relaxationFactor=0.6,
        gradientMagnitudeTolerance=1e-8,
        estimateLearningRate=method.Once,
        maximumStepSizeInPhysicalUnits=spacing,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(to_image(image, coarse), moving)
    return transform, -method.GetMetricValue()


def as_affine(transform: sitk.Transform) -> sitk.AffineTransform:
    """The same map as an affine transform with the same centre."""
    affine = sitk.AffineTransform(3)
    affine.SetCenter(transform.GetCenter())
    affine.SetMatrix(transform.GetMatrix())
    affine.SetTranslation(transform.GetTranslation())
    return affine


def matrix(transform: sitk.AffineTransform) -> np.ndarray:
    """4 x 4 matrix from atlas to scan points, both in RAS mm."""
    linear = np.array(transform.GetMatrix()).reshape(3, 3)
    centre = np.array(transform.GetCenter())
    full = np.eye(4)
    full[:3, :3] = linear
    full[:3, 3] = np.array(transform.GetTranslation()) + centre - linear @ centre
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    return flip @ full @ flip


def lps(index: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Physical point, in SimpleITK's LPS mm, of a voxel index."""
    point = affine[:3, :3] @ index + affine[:3, 3]
    return point * (-1, -1, 1)


def with_margin(image: np.ndarray, affine: np.ndarray, voxels: int) -> tuple[np.ndarray, np.ndarray]:
    """Add `voxels` zeros on every side, for an atlas brain that touches the end of its array."""
    moved = affine.copy()
    moved[:3, 3] -= affine[:3, :3].sum(axis=1) * voxels
    return np.pad(image, voxels), moved
