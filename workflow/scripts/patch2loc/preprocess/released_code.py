"""Steps of preprocessing that the paper's released code does otherwise, each by a setting of its own.

Its landmarks and scale of intensities belong to `patch2loc.standardize`, its bias field to `patch2loc.preprocess.bias`.
"""

from typing import Literal, get_args

import numpy as np
import SimpleITK as sitk

from patch2loc.data.modalities import Modality
from patch2loc.data.volumes import Grid, reoriented
from patch2loc.preprocess.atlas import Atlas
from patch2loc.preprocess.images import resample, to_array, to_image
from patch2loc.preprocess.masks import box_around

# Contrast of the atlas that scans are registered to: that of the scan, or T1 for all.
Template = Literal["same-contrast", "T1"]
TEMPLATES: tuple[Template, ...] = get_args(Template)
Smoothing = Literal["none", "curvature-flow"]
SMOOTHINGS: tuple[Smoothing, ...] = get_args(Smoothing)
# How much of a voxel of the grid is brain where it counts as brain.
BrainMask = Literal["half", "any"]
BRAIN_MASKS: tuple[BrainMask, ...] = get_args(BrainMask)
# Where the grid lies: at one place of the atlas for all scans, or around the brain of each.
Crop = Literal["atlas", "brain"]
CROPS: tuple[Crop, ...] = get_args(Crop)
TOUCHED = 1e-6  # share of a voxel: above 0 but for rounding
CURVATURE_FLOW_STEP, CURVATURE_FLOW_ITERATIONS = 0.125, 3


def template(modality: Modality, setting: Template) -> Modality:
    """The contrast of the atlas that scans of a modality are registered to."""
    return "T1" if setting == "T1" else modality


def mask_on_grid(
    brain: np.ndarray, affine: np.ndarray, grid: Grid, transform: sitk.Transform, setting: BrainMask
) -> np.ndarray:
    """The brain mask of a scan on a grid by one linear interpolation, (x, y, z) bool.

    half: at least one half, which keeps the volume.  any: above 0, as the released code has it, which dilates.

    Args:
        brain: On the scan's voxels, (x, y, z) bool.
        affine: Of the scan, 4 x 4, voxel indices to mm.
        grid: The common grid.
        transform: Maps atlas to scan points.
        setting: Which of the two.
    """
    share = resample(brain, affine, grid, transform)
    mask: np.ndarray = share > TOUCHED if setting == "any" else share >= 0.5
    return mask


def grid_around_brain(
    grid: Grid, brain: np.ndarray, affine: np.ndarray, *, atlas: Atlas, transform: sitk.Transform
) -> Grid:
    """The grid, moved by whole voxels to where the released code crops a scan: around the box of its own brain.

    The released code carries the brain mask to the atlas's array by linear interpolation, cuts the array to the box of
    all voxels above 0, and crops or pads the box at its center (`crop_start`).

    Args:
        grid: The common grid; its voxels are kept, and the array of the atlas is cut into such voxels.
        brain: Brain mask on the scan's voxels, (x, y, z) bool.
        affine: Of the scan, 4 x 4, voxel indices to mm.
        atlas: The atlas that the scan was registered to.
        transform: Maps atlas to scan points.
    """
    corners = np.array([[0, 0, 0], np.array(atlas.image.shape) - 1]) @ atlas.affine[:3, :3].T
    first, last = (corners + atlas.affine[:3, 3] - grid.affine[:3, 3]) / grid.spacing
    low, high = np.ceil(first - TOUCHED).astype(int), np.floor(last + TOUCHED).astype(int)
    columns, rows, slices = (high - low + 1).tolist()
    whole = Grid((columns, rows, slices), grid.spacing, _center(grid, low, high))
    touched = resample(brain, affine, whole, transform) > TOUCHED
    if not touched.any():
        return grid  # without a brain, as the caller will find
    start = low + crop_start(touched, grid.shape)
    return Grid(grid.shape, grid.spacing, _center(grid, start, start + np.array(grid.shape) - 1))


def crop_start(brain: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """The first voxel of the released code's crop of an array: (3,) integers, below 0 where it pads.

    Its own arrays are LPS, and each of its roundings is meant there.  It cuts an array to the box of the brain without
    the box's last voxel along each axis.  Where box and shape differ by an odd number of voxels, TorchIO's CropOrPad
    crops, or pads, one voxel more at the beginning.

    Args:
        brain: Voxels that hold any brain, (x, y, z) bool, RAS, not empty.
        shape: Shape of the crop.
    """
    box = box_around(reoriented(brain, "LPS"))
    first = np.array([edge.start for edge in box])
    excess = np.array([edge.stop - 1 for edge in box]) - first - shape
    start: np.ndarray = first + np.sign(excess) * ((abs(excess) + 1) // 2)
    start[:2] = (np.array(brain.shape) - start - shape)[:2]  # counted along RAS
    return start


def _center(grid: Grid, first: np.ndarray, last: np.ndarray) -> tuple[float, float, float]:
    """The middle, mm, between two voxels that are counted as the grid's own."""
    x, y, z = (grid.affine[:3, 3] + grid.spacing * (first + last) / 2).tolist()
    return x, y, z


def curvature_flow(volume: np.ndarray, mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Smooth a stripped volume along its edges (curvature flow; Sethian 1996). What flows out of the mask is cut.

    Args:
        volume: (x, y, z) float32, 0 outside the mask.
        mask: The brain, (x, y, z) bool.
        affine: 4 x 4, voxel indices to mm.

    Returns:
        (x, y, z) float32.
    """
    image = to_image(volume, affine)
    smooth = sitk.CurvatureFlow(image, CURVATURE_FLOW_STEP, CURVATURE_FLOW_ITERATIONS)
    return np.where(mask, to_array(smooth), 0).astype(np.float32)
