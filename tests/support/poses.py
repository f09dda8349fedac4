"""Scans whose place is known: an atlas brain or a head, moved by a known map."""

import numpy as np
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from patch2loc.preprocess.images import coarser, resample_like


def rigid(degrees, millimeters):
    """4 x 4 map: turned about x, y, z, then shifted."""
    move = np.eye(4)
    move[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    move[:3, 3] = millimeters
    return move


def turned(axis, degrees, millimeters, stretch=(1.0, 1.0, 1.0)):
    """4 x 4 map: stretched along x, y, z, turned about an axis, then shifted."""
    move = np.eye(4)
    axis = np.array(axis) / np.linalg.norm(axis)
    move[:3, :3] = Rotation.from_rotvec(np.deg2rad(degrees) * axis).as_matrix() @ np.diag(stretch)
    move[:3, 3] = millimeters
    return move


def moved_brain(atlas, move, seed=1):
    """The atlas brain at 2 mm with another gain and noise, its affine moved: (image, affine)."""
    image, affine = coarser(atlas.image, atlas.affine, 2.0)
    noise = np.random.default_rng(seed).normal(0, 4, image.shape)
    image = np.where(image > 20, np.maximum(image + noise, 1) * 3 + 50, 0).astype(np.float32)
    return image, move @ affine


def scanned(image, affine, move):
    """A head moved by `move` and sampled on a straight grid of 2 mm around it: (image, affine)."""
    back = sitk.AffineTransform(3)
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])  # to SimpleITK's axes
    inverse = flip @ np.linalg.inv(move) @ flip
    back.SetMatrix(inverse[:3, :3].ravel().tolist())
    back.SetTranslation(inverse[:3, 3].tolist())
    size = 128
    center = move @ affine @ np.append((np.array(image.shape) - 1) / 2, 1)
    grid = np.diag([2.0, 2.0, 2.0, 1.0])
    grid[:3, 3] = center[:3] - (size - 1)
    return resample_like(image, affine, back, shape=(size, size, size), target_affine=grid), grid


def distance(first, second, atlas):
    """Mean distance in mm between where two maps send the voxels of the atlas brain."""
    voxels = np.argwhere(atlas.mask)[::997]
    points = np.c_[voxels, np.ones(len(voxels))] @ atlas.affine.T
    return np.linalg.norm(points @ (first - second).T, axis=1).mean()
