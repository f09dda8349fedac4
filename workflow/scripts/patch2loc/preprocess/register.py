"""Affine registration of a brain to the atlas by mutual information (paper, section 4)."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from patch2loc.preprocess.atlas import Atlas
from patch2loc.preprocess.images import coarser, to_image, voxel_size

BINS = 32
PEDESTAL = 0.3  # overlap of masks against likeness inside the brain: more helps the one and costs the other
# Of more voxels than this, a fixed share is sampled, regularly and with a fixed seed.
FINE_VOXELS, FINE_SHARE, SEED = 8000, 0.5, 20625
# Nodding is the pose that differs most between scanners and the one that mutual information forgives least.
PITCHES = (0.0, 20.0, -20.0)
# A climb begins again with long steps, so many times at most, while mutual information gains that much.
ROUNDS, GAIN = 8, 0.004
FINE_MM, SEARCH_MM = 4.0, 8.0


def register(
    scan: np.ndarray,
    brain: np.ndarray,
    affine: np.ndarray,
    atlas: Atlas,
    kind: str = "affine",
    start: sitk.AffineTransform | None = None,
) -> tuple[sitk.AffineTransform, float]:
    """Register the brain in a scan to the atlas: (transform from atlas to scan points, mutual information).

    scan: (x, y, z) float32 as stored.  brain: its mask, same shape.  affine: voxel to mm.  kind: "affine",
    "rigid", or "none" for a scan that is in atlas space: the identity.  start: an affine transform that is nearly
    right; without it, and for "rigid", the pose is found at 8 mm from the center and the volume of the brain and
    three nods. The transform is then fitted at 4 mm, inside the atlas brain and its rim, on samples that are the same
    every time.
    The value is Mattes mutual information in nats, higher is better.
    """
    atlas = Atlas(raised(atlas.image, atlas.mask), atlas.mask, atlas.affine, atlas.name)
    stripped, coarse = coarser(raised(scan, brain), affine, FINE_MM)
    if kind == "none":
        near = pair(with_rim(atlas, FINE_MM, rim=6.0), stripped, coarse, FINE_MM)
        method, identity = information(near), sitk.AffineTransform(3)
        method.SetInitialTransform(identity)
        return identity, -method.MetricEvaluate(near.atlas, near.scan)
    if start is not None and kind == "affine":
        return fit(stripped, coarse, atlas, start, iterations=40)
    weight, _ = coarser(brain.astype(np.float32), affine, FINE_MM)
    far = pair(with_rim(atlas, FINE_MM, rim=8.0), stripped, coarse, SEARCH_MM)
    poses = [climb(far, moments(atlas, weight, coarse, kind, pitch), iterations=40) for pitch in PITCHES]
    best, _ = max(poses, key=lambda found: found[1])
    pose, _ = until_it_stays(far, best)
    return fit(stripped, coarse, atlas, pose if kind == "rigid" else as_affine(pose), iterations=80)


def fit(
    stripped: np.ndarray, affine: np.ndarray, atlas: Atlas, start: sitk.Transform, iterations: int
) -> tuple[sitk.AffineTransform, float]:
    """Fit a transform of the type of `start` at 4 mm to a stripped scan: (affine transform, mutual information)."""
    near = pair(with_rim(atlas, FINE_MM, rim=6.0), stripped, affine, FINE_MM)
    final, value = climb(near, start, iterations)
    return as_affine(final), value


def raised(image: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """The stripped image, all brain brighter by a part of its median: so fluid at its edge is not background."""
    pedestal = PEDESTAL * np.median(image[brain]) if brain.any() else 0.0
    return (image + np.float32(pedestal)) * brain


def moments(atlas: Atlas, weight: np.ndarray, affine: np.ndarray, kind: str, pitch: float) -> sitk.Transform:
    """The transform that lays the center of the atlas brain on that of the scan's, at the scan's size.

    weight: share of brain in each voxel.  Rigid: an Euler transform. Affine: a similarity, whose scale is
    the cube root of the volumes' ratio, at most a quarter off, as a cut field of view would give nonsense.
    pitch: degrees about the left-right axis.
    """
    center = lps(np.argwhere(atlas.mask).mean(axis=0), atlas.affine)
    target = lps(np.array(ndimage.center_of_mass(weight)), affine)
    transform = sitk.Euler3DTransform() if kind == "rigid" else sitk.Similarity3DTransform()
    transform.SetCenter(center.tolist())
    transform.SetTranslation((target - center).tolist())
    if kind == "rigid":
        transform.SetRotation(np.deg2rad(pitch), 0.0, 0.0)
    else:
        transform.SetRotation((1.0, 0.0, 0.0), np.deg2rad(pitch))
    if kind != "rigid":
        volume = weight.sum() * voxel_size(affine).prod()
        ratio = volume / (atlas.mask.sum() * voxel_size(atlas.affine).prod())
        transform.SetScale(float(np.clip(np.cbrt(ratio), 0.8, 1.25)))
    return transform


def with_rim(atlas: Atlas, spacing: float, rim: float) -> Atlas:
    """The atlas at `spacing` mm, `rim` mm of background around its brain in the mask as well."""
    image, affine = coarser(atlas.image, atlas.affine, spacing)
    share, _ = coarser(atlas.mask.astype(np.float32), atlas.affine, spacing)
    margin = int(np.ceil(rim / spacing))
    image, affine = with_margin(image, affine, margin)
    distance = ndimage.distance_transform_edt(np.pad(share, margin) <= 0.5, sampling=voxel_size(affine))
    return Atlas(image, distance <= rim, affine, atlas.name)


@dataclass(frozen=True)
class Pair:
    """An atlas and a scan as they are compared: the atlas, the voxels of it that count, the scan, and mm a voxel."""

    atlas: sitk.Image
    inside: sitk.Image
    scan: sitk.Image
    spacing: float


def pair(atlas: Atlas, scan: np.ndarray, affine: np.ndarray, spacing: float) -> Pair:
    """Prepare an atlas, whose mask says which voxels are compared, and a scan (x, y, z) with its affine.

    spacing: mm of the atlas voxels that are compared.  The scan is smoothed: at the last stages as much as the mean
    over such voxels smooths the atlas, at the first twice as much, so that the way there is longer and without holes.
    """
    image, coarse = coarser(atlas.image, atlas.affine, spacing)
    inside = coarser(atlas.mask.astype(np.float32), atlas.affine, spacing)[0] > 0.5
    blur = spacing / 2 if spacing >= SEARCH_MM else spacing / 4
    smooth = sitk.SmoothingRecursiveGaussian(to_image(scan, affine), blur)
    return Pair(to_image(image, coarse), to_image(inside, coarse), smooth, spacing)


def information(compared: Pair) -> sitk.ImageRegistrationMethod:
    """Mutual information of atlas and scan, as a method that has no optimizer yet."""
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricFixedMask(compared.inside)
    if np.count_nonzero(sitk.GetArrayViewFromImage(compared.inside)) > FINE_VOXELS:
        method.SetMetricSamplingStrategy(method.REGULAR)
        method.SetMetricSamplingPercentage(FINE_SHARE, SEED)
    else:
        method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(sitk.sitkLinear)
    return method


def climb(compared: Pair, start: sitk.Transform, iterations: int) -> tuple[sitk.Transform, float]:
    """Climb the mutual information of atlas and scan from `start`: (transform of its type, value in nats)."""
    transform = type(start)(start)
    method = information(compared)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0,
        minStep=0.002,
        numberOfIterations=iterations,
        relaxationFactor=0.6,
        gradientMagnitudeTolerance=1e-8,
        estimateLearningRate=method.Once,
        maximumStepSizeInPhysicalUnits=compared.spacing,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(compared.atlas, compared.scan)
    return transform, -method.GetMetricValue()


def until_it_stays(compared: Pair, start: sitk.Transform) -> tuple[sitk.Transform, float]:
    """Climb, and climb on with long steps again, while that gains something: what `climb` gives."""
    transform, value = climb(compared, start, iterations=30)
    for _ in range(ROUNDS):
        further, reached = climb(compared, transform, iterations=30)
        if reached < value + GAIN:
            break
        transform, value = further, reached
    return transform, value


def as_affine(transform: sitk.Transform) -> sitk.AffineTransform:
    """The same map as an affine transform with the same center."""
    affine = sitk.AffineTransform(3)
    affine.SetCenter(transform.GetCenter())
    affine.SetMatrix(transform.GetMatrix())
    affine.SetTranslation(transform.GetTranslation())
    return affine


def matrix(transform: sitk.AffineTransform) -> np.ndarray:
    """4 x 4 matrix from atlas to scan points, both in RAS mm."""
    linear = np.array(transform.GetMatrix()).reshape(3, 3)
    center = np.array(transform.GetCenter())
    full = np.eye(4)
    full[:3, :3] = linear
    full[:3, 3] = np.array(transform.GetTranslation()) + center - linear @ center
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
