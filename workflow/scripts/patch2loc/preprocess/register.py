"""Affine registration of a brain to the atlas by mutual information (paper, section 4)."""

from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar, get_args

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from patch2loc.data.volumes import Grid
from patch2loc.preprocess.atlas import Atlas
from patch2loc.preprocess.images import coarser, to_image, voxel_size
from patch2loc.preprocess.masks import box_around, center_of

Registration = Literal["affine", "rigid", "translation", "none"]
REGISTRATIONS: tuple[Registration, ...] = get_args(Registration)

BINS = 32
PEDESTAL = 0.3  # overlap of masks against likeness inside the brain: more helps the one and costs the other
# Of more voxels than this, a fixed share is sampled, regularly and with a fixed seed.
FINE_VOXELS, FINE_SHARE, SEED = 8000, 0.5, 20625
# Nodding differs most between scanners, and mutual information forgives it least.
PITCHES = (0.0, 20.0, -20.0)
# A climb is restarted with long steps, at most so many times, while mutual information gains that much.
ROUNDS, GAIN = 8, 0.004
FINE_MM, SEARCH_MM = 4.0, 8.0
SAME_VOXELS = 1e-3  # of an edge: a scan 200 voxels long is then off by a fifth of one at its ends

PoseTransform = (
    sitk.Euler3DTransform | sitk.Similarity3DTransform | sitk.AffineTransform | sitk.TranslationTransform
)
AnyTransform = TypeVar("AnyTransform", bound=PoseTransform)


class _MatrixTransform(Protocol):
    """A transform with center, matrix and translation, in LPS mm."""

    def GetCenter(self) -> tuple[float, ...]: ...
    def GetMatrix(self) -> tuple[float, ...]: ...
    def GetTranslation(self) -> tuple[float, ...]: ...


def register(
    volume: np.ndarray,
    brain: np.ndarray,
    affine: np.ndarray,
    atlas: Atlas,
    *,
    kind: Registration = "affine",
    start: sitk.AffineTransform | None = None,
) -> tuple[sitk.AffineTransform, float]:
    """Register the brain in a scan to the atlas.

    Without `start`, and for "rigid", the pose is found at 8 mm from the center and the volume of the brain and three
    nods. The transform is then fitted at 4 mm, inside the atlas brain and its rim, on samples that are the same every
    time.

    Args:
        volume: The scan as stored, (x, y, z) float32.
        brain: Its brain mask, (x, y, z) bool.
        affine: Of the scan, 4 x 4, voxel indices to mm.
        atlas: Of the scan's contrast.
        kind: "affine"; "rigid"; "translation" for a scan that was registered before, in an array that has lost its
            place; or "none" for a scan that is in atlas space: the identity.
        start: A transform that is nearly right.

    Returns:
        The transform from atlas to scan points, LPS mm, and the Mattes mutual information, nats; higher is better.
    """
    atlas = Atlas(with_pedestal(atlas.image, atlas.mask), atlas.mask, atlas.affine, atlas.name)
    stripped, coarse = coarser(with_pedestal(volume, brain), affine, FINE_MM)
    if kind == "none":
        near = prepare_pair(with_rim(atlas, FINE_MM, rim=6.0), stripped, coarse, FINE_MM)
        method, identity = mutual_information(near), sitk.AffineTransform(3)
        method.SetInitialTransform(identity)
        return identity, -method.MetricEvaluate(near.atlas, near.scan)
    if start is not None and kind == "affine":
        return fit(stripped, coarse, atlas, start=start, iterations=40)
    weight, _ = coarser(brain, affine, FINE_MM)
    far = prepare_pair(with_rim(atlas, FINE_MM, rim=8.0), stripped, coarse, SEARCH_MM)
    if kind == "translation":
        shift, _ = climb_until_stable(far, shift_of_centers(atlas, weight, coarse))
        return fit(stripped, coarse, atlas, start=shift, iterations=80)
    poses = [
        climb(
            far, pose_from_moments(atlas, weight, coarse, pitch=pitch, rigid=kind == "rigid"), iterations=40
        )
        for pitch in PITCHES
    ]
    best, _ = max(poses, key=lambda result: result[1])
    pose, _ = climb_until_stable(far, best)
    fit_start = pose if kind == "rigid" else as_affine(pose)
    return fit(stripped, coarse, atlas, start=fit_start, iterations=80)


def in_whole_voxels(
    transform: sitk.AffineTransform, affine: np.ndarray, grid: Grid
) -> tuple[sitk.AffineTransform, np.ndarray]:
    """Round a translation so that the voxels of a scan fall on those of the grid and none is interpolated.

    Only where the two have voxels of one size along the same axes; otherwise nothing changes.

    Args:
        transform: A translation from atlas to scan points.
        affine: Of the scan, 4 x 4, voxel indices to mm.
        grid: The common grid.

    Returns:
        The rounded translation, and the affine without the rounding errors of its header.
    """
    to_grid = np.linalg.inv(grid.affine) @ np.linalg.inv(matrix(transform)) @ affine
    linear = np.rint(to_grid[:3, :3])
    if np.abs(to_grid[:3, :3] - linear).max() > SAME_VOXELS or not np.allclose(linear @ linear.T, np.eye(3)):
        return transform, affine
    on_grid = np.eye(4)
    on_grid[:3, :3], on_grid[:3, 3] = linear, np.rint(to_grid[:3, 3])
    moved = grid.affine @ on_grid  # of the scan, in atlas space
    rounded = sitk.AffineTransform(3)
    rounded.SetTranslation(((affine[:3, 3] - moved[:3, 3]) * (-1, -1, 1)).tolist())
    return rounded, matrix(rounded) @ moved


def fit(
    stripped: np.ndarray, affine: np.ndarray, atlas: Atlas, *, start: PoseTransform, iterations: int
) -> tuple[sitk.AffineTransform, float]:
    """Fit a transform of the type of `start` at 4 mm to a stripped scan: (affine transform, mutual information)."""
    near = prepare_pair(with_rim(atlas, FINE_MM, rim=6.0), stripped, affine, FINE_MM)
    final, value = climb(near, start, iterations)
    return as_affine(final), value


def with_pedestal(image: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Strip an image and brighten all of the brain by a part of its median, so that fluid is not background."""
    raised = np.zeros_like(image)
    if brain.any():
        box = box_around(brain)
        image, brain = image[box], brain[box]
        raised[box] = (image + np.float32(PEDESTAL * np.median(image[brain]))) * brain
    return raised


def pose_from_moments(
    atlas: Atlas, weight: np.ndarray, affine: np.ndarray, *, pitch: float, rigid: bool
) -> sitk.Euler3DTransform | sitk.Similarity3DTransform:
    """The transform that lays the center of the atlas brain on that of the scan's.

    Args:
        atlas: The atlas.
        weight: Share of brain in each voxel of the scan, (x, y, z) float32.
        affine: Of these voxels, 4 x 4, voxel indices to mm.
        pitch: Degrees about the left-right axis.
        rigid: Keep the size. Otherwise the scale is the cube root of the volumes' ratio, at most a quarter off, as a
            cut field of view would give nonsense.
    """
    center = lps(center_of(atlas.mask), atlas.affine)
    target = lps(np.array(ndimage.center_of_mass(weight)), affine)
    if rigid:
        turned = sitk.Euler3DTransform()
        turned.SetCenter(center.tolist())
        turned.SetTranslation((target - center).tolist())
        turned.SetRotation(np.deg2rad(pitch), 0.0, 0.0)
        return turned
    scaled = sitk.Similarity3DTransform()
    scaled.SetCenter(center.tolist())
    scaled.SetTranslation((target - center).tolist())
    scaled.SetRotation((1.0, 0.0, 0.0), np.deg2rad(pitch))
    volume = weight.sum() * voxel_size(affine).prod()
    ratio = volume / (atlas.mask.sum() * voxel_size(atlas.affine).prod())
    scaled.SetScale(float(np.clip(np.cbrt(ratio), 0.8, 1.25)))
    return scaled


def shift_of_centers(atlas: Atlas, weight: np.ndarray, affine: np.ndarray) -> sitk.TranslationTransform:
    """The translation that lays the center of the atlas brain on that of the scan's: as `pose_from_moments`."""
    center = lps(center_of(atlas.mask), atlas.affine)
    target = lps(np.array(ndimage.center_of_mass(weight)), affine)
    return sitk.TranslationTransform(3, (target - center).tolist())


def with_rim(atlas: Atlas, spacing: float, rim: float) -> Atlas:
    """The atlas at `spacing` mm, with `rim` mm of background around the brain in its mask."""
    image, affine = coarser(atlas.image, atlas.affine, spacing)
    share, _ = coarser(atlas.mask, atlas.affine, spacing)
    margin = int(np.ceil(rim / spacing))
    image, affine = with_margin(image, affine, margin)
    distance = ndimage.distance_transform_edt(np.pad(share, margin) <= 0.5, sampling=voxel_size(affine))
    return Atlas(image, distance <= rim, affine, atlas.name)


@dataclass(frozen=True)
class Pair:
    """An atlas and a scan, ready to be compared.

    Attributes:
        atlas: Image of the atlas.
        inside: Its voxels that are compared.
        scan: Image of the scan.
        spacing: Edge of a voxel of the atlas, mm.
    """

    atlas: sitk.Image
    inside: sitk.Image
    scan: sitk.Image
    spacing: float


def prepare_pair(atlas: Atlas, volume: np.ndarray, affine: np.ndarray, spacing: float) -> Pair:
    """Prepare an atlas and a scan for comparison.

    The scan is smoothed: at the last stages as much as the mean over the atlas's voxels smooths the atlas, at the
    first twice as much, so that the way to the optimum is longer and without holes.

    Args:
        atlas: The atlas; its mask says which voxels are compared.
        volume: The scan, (x, y, z) float32.
        affine: Of the scan, 4 x 4, voxel indices to mm.
        spacing: Edge of the atlas voxels that are compared, mm.
    """
    image, coarse = coarser(atlas.image, atlas.affine, spacing)
    inside = coarser(atlas.mask, atlas.affine, spacing)[0] > 0.5
    blur = spacing / 2 if spacing >= SEARCH_MM else spacing / 4
    smooth = sitk.SmoothingRecursiveGaussian(to_image(volume, affine), blur)
    return Pair(to_image(image, coarse), to_image(inside, coarse), smooth, spacing)


def mutual_information(pair: Pair) -> sitk.ImageRegistrationMethod:
    """Mutual information of atlas and scan, as a registration method without an optimizer."""
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricFixedMask(pair.inside)
    if np.count_nonzero(sitk.GetArrayViewFromImage(pair.inside)) > FINE_VOXELS:
        method.SetMetricSamplingStrategy(method.REGULAR)
        method.SetMetricSamplingPercentage(FINE_SHARE, SEED)
    else:
        method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(sitk.sitkLinear)
    return method


def climb(pair: Pair, start: AnyTransform, iterations: int) -> tuple[AnyTransform, float]:
    """Climb the mutual information of atlas and scan from `start`: (transform of its type, value in nats)."""
    transform = type(start)(start)
    method = mutual_information(pair)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0,
        minStep=0.002,
        numberOfIterations=iterations,
        relaxationFactor=0.6,
        gradientMagnitudeTolerance=1e-8,
        estimateLearningRate=method.Once,
        maximumStepSizeInPhysicalUnits=pair.spacing,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(pair.atlas, pair.scan)
    return transform, -method.GetMetricValue()


def climb_until_stable(pair: Pair, start: AnyTransform) -> tuple[AnyTransform, float]:
    """Climb, and climb again with long steps for as long as that gains something; returns what `climb` does."""
    transform, value = climb(pair, start, iterations=30)
    for _ in range(ROUNDS):
        next_transform, next_value = climb(pair, transform, iterations=30)
        if next_value < value + GAIN:
            break
        transform, value = next_transform, next_value
    return transform, value


def as_affine(transform: _MatrixTransform | sitk.TranslationTransform) -> sitk.AffineTransform:
    """The same map as an affine transform with the same center."""
    affine = sitk.AffineTransform(3)
    if isinstance(transform, sitk.TranslationTransform):
        affine.SetTranslation(transform.GetOffset())
        return affine
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
    point: np.ndarray = affine[:3, :3] @ index + affine[:3, 3]
    return point * (-1, -1, 1)


def with_margin(image: np.ndarray, affine: np.ndarray, voxels: int) -> tuple[np.ndarray, np.ndarray]:
    """Add `voxels` zeros on every side, since the atlas brain may touch the end of its array: (image, affine)."""
    moved = affine.copy()
    moved[:3, 3] -= affine[:3, :3].sum(axis=1) * voxels
    return np.pad(image, voxels), moved
