"""Simulated scanner: pose, voxel grid, storage order, coil sensitivity, noise, integer voxels."""

from itertools import product
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from patch2loc.acquire.phantom.fields import Axes, smooth_field

FIELD_OF_VIEW = np.array([200.0, 240.0, 196.0])  # mm along x, y, z
HEAD_CENTER = np.array([0.0, -14.0, 2.0])  # mm in head space, middle of the field of view
MAX_ROTATION = 8.0  # degrees
MAX_SHIFT = 10.0  # mm

# Acquisition plane: chance, and the order in which x, y, z are stored; the last one is the slice direction.
_PLANES = {"axial": (0.6, (0, 1, 2)), "sagittal": (0.25, (1, 2, 0)), "coronal": (0.15, (0, 2, 1))}

Box = tuple[slice, slice, slice]


class SimulatedScan(NamedTuple):
    """A simulated scan, and the truth on the same voxels."""

    array: np.ndarray  # (x, y, z) int16
    affine: np.ndarray  # 4 x 4, voxel indices to mm (RAS)
    lesion: np.ndarray  # (x, y, z) uint8
    brain: np.ndarray  # (x, y, z) uint8


def acquire(
    rng: np.random.Generator,
    image: np.ndarray,
    *,
    mean_white: float,
    lesion: np.ndarray,
    brain: np.ndarray,
    axes: Axes,
    voxel_size: tuple[float, ...],
    noise: float,
) -> SimulatedScan:
    """Scan a head. Its image is interpolated once, from its own grid to the scan's.

    Args:
        rng: Source of pose, grid, coil sensitivity and noise.
        image: Intensity over white matter, (x, y, z).
        mean_white: Intensity of white matter, on average over scans.
        lesion: Membership of the lesion, (x, y, z), 0 to 1.
        brain: Membership of the brain, (x, y, z), 0 to 1.
        axes: Coordinates of these arrays, mm.
        voxel_size: Two edges in the plane and the slice thickness, mm.
        noise: Standard deviation over white matter.
    """
    head_to_world = _pose(rng)
    affine, shape = _prescribe(rng, head_to_world, voxel_size)
    spacing = axes[0][1] - axes[0][0]
    world_to_grid = np.linalg.inv(head_to_world @ _grid_affine(axes, spacing))
    to_grid = world_to_grid @ affine

    def sample(volume: np.ndarray, box: Box) -> np.ndarray:
        start = np.array([s.start for s in box])
        part = ndimage.affine_transform(
            volume,
            to_grid[:3, :3],
            to_grid[:3, 3] + to_grid[:3, :3] @ start,
            tuple(s.stop - s.start for s in box),
            order=1,
        )
        whole = np.zeros(shape, np.float32)
        whole[box] = part
        return whole

    from_grid = np.linalg.inv(to_grid)
    brain_box = _image_of_box(from_grid, brain, shape)
    head_box = _image_of_box(from_grid, image, shape)
    x, y, z = (np.linalg.norm(affine[:3, axis]) * np.arange(count) for axis, count in enumerate(shape))
    white = mean_white * rng.uniform(0.8, 1.2)
    signal = sample(image, head_box) * np.exp(rng.uniform(0.06, 0.16) * smooth_field(rng, (x, y, z), 80.0))
    real = signal + noise * rng.standard_normal(shape, dtype=np.float32)
    imaginary = noise * rng.standard_normal(shape, dtype=np.float32)
    magnitude = np.clip(np.rint(white * np.hypot(real, imaginary)), 0, 4095)
    brain_truth = sample(brain, brain_box) >= 0.5
    lesion_truth = np.zeros(shape, bool)
    if lesion.any():
        lesion_box = _image_of_box(from_grid, lesion, shape)
        lesion_truth = (sample(lesion, lesion_box) >= 0.5) & brain_truth
    return SimulatedScan(
        magnitude.astype(np.int16), affine, lesion_truth.astype(np.uint8), brain_truth.astype(np.uint8)
    )


def _image_of_box(from_grid: np.ndarray, volume: np.ndarray, shape: tuple[int, int, int]) -> Box:
    """The scan's voxels that can hold anything of `volume`, which is on the head's grid."""
    inside = ndimage.find_objects((volume > 0).astype(np.uint8))[0]
    corners = np.array(list(product(*((s.start - 1, s.stop) for s in inside))))
    corners = corners @ from_grid[:3, :3].T + from_grid[:3, 3]
    low = np.clip(np.floor(corners.min(0)).astype(int), 0, shape)
    high = np.clip(np.ceil(corners.max(0)).astype(int) + 1, low + 1, shape)
    x, y, z = (slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))
    return x, y, z


def _grid_affine(axes: Axes, spacing: float) -> np.ndarray:
    """4 x 4, indices on the head's grid to mm."""
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = [axis[0] for axis in axes]
    return affine


def _rotation(degrees: np.ndarray) -> np.ndarray:
    """3 x 3, turned about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        i, j = [(1, 2), (0, 2), (0, 1)][axis]
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def _pose(rng: np.random.Generator) -> np.ndarray:
    """Draw the pose of the head in the scanner: 4 x 4, head space to world, about the head's center."""
    pose = np.eye(4)
    pose[:3, :3] = _rotation(np.clip(rng.normal(0, MAX_ROTATION / 2.5, 3), -MAX_ROTATION, MAX_ROTATION))
    shift = np.clip(rng.normal(0, MAX_SHIFT / 2, 3), -MAX_SHIFT, MAX_SHIFT)
    pose[:3, 3] = HEAD_CENTER + shift - pose[:3, :3] @ HEAD_CENTER
    return pose


def _prescribe(
    rng: np.random.Generator, head_to_world: np.ndarray, voxel_size: tuple[float, ...]
) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Draw the scan's voxel grid: affine to world mm and shape, in the order in which it is stored.

    Centered on the head but for a few mm, in one of three planes, each axis in either direction; one scan in
    three is oblique, tilted by up to 6 degrees.
    """
    chances = [chance for chance, _ in _PLANES.values()]
    order = list(_PLANES.values())[rng.choice(len(_PLANES), p=chances)][1]
    flips = rng.choice([-1, 1], 3)
    tilt = rng.uniform(-6, 6, 3) * (rng.uniform() < 1 / 3)
    shape = np.rint(FIELD_OF_VIEW[list(order)] / voxel_size).astype(int)
    affine = np.eye(4)
    for column, axis in enumerate(order):
        affine[:3, column] = flips[column] * voxel_size[column] * np.eye(3)[axis]
    affine[:3, :3] = _rotation(tilt) @ affine[:3, :3]
    center = (head_to_world @ np.append(HEAD_CENTER, 1))[:3] + rng.uniform(-3, 3, 3)
    affine[:3, 3] = center - affine[:3, :3] @ ((shape - 1) / 2)
    columns, rows, slices = (int(count) for count in shape)
    return affine, (columns, rows, slices)
