"""The ICBM152 template that simulated heads are made from: its maps, and what is derived from them once."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import nibabel as nib
import numpy as np
from scipy import ndimage

from patch2loc.acquire.phantom.fields import smooth_field
from patch2loc.data.icbm152 import map_path
from patch2loc.data.modalities import MODALITIES, Modality

STATIC = 3.0  # mm: spacing of what is derived from the template once

# Part of the template's 197 x 233 x 189 voxels that holds the brain, and mm of its first voxel.
_CROP = (slice(20, 178), slice(20, 214), slice(0, 162))
_CROP_ORIGIN = np.array([20 - 98.0, 20 - 134.0, -72.0])
_MAPS: tuple[Literal["gm", "wm", "t1"], ...] = ("gm", "wm", "t1")


@dataclass(frozen=True)
class Template:
    """The template, and coarse maps derived from it.

    Attributes:
        maps: Gray matter, white matter, T1 and brain, each (x, y, z), integers.
        scales: The value that stands for 1 in each map, (4,); for T1 that of white matter.
        origin: mm of the maps' first voxel.
        depth: Depth below the brain's surface, mm, negative outside; like all that follows, on voxels of STATIC mm.
        ventricles: The lateral ventricles, 0 to 1, blurred.
        ventricle_pull: Direction towards the ventricles, (3, x, y, z), largest length 1.
        sulci: Field that is high where all brains fold, mean 0, variance 1.
        regions: For each modality a field of how tissue differs between regions in all brains, likewise.
        static_origin: mm of the coarse maps' first voxel.
    """

    maps: tuple[np.ndarray, ...]
    scales: np.ndarray
    origin: np.ndarray
    depth: np.ndarray
    ventricles: np.ndarray
    ventricle_pull: np.ndarray
    sulci: np.ndarray
    regions: dict[Modality, np.ndarray]
    static_origin: np.ndarray


@lru_cache(maxsize=1)
def load_template(spacing: float) -> Template:
    """Load the ICBM152 2009a symmetric maps, smoothed to be sampled at `spacing` mm.

    Raises:
        InputError: nilearn, or the maps in it, are missing.
    """
    maps = [_cropped_map(name) for name in _MAPS]
    gray, white, t1 = maps
    white_t1 = np.median(t1[white > 240])
    maps = [gray, white, t1, (t1 > 0).astype(np.uint8)]
    scales = np.array([255, 255, white_t1, 1], np.float32)
    origin = _CROP_ORIGIN
    if spacing >= 1.5:
        # The sum over 2 x 2 x 2 mm at every mm, so that a coarse grid is not aliased; integers are quicker.
        maps = [volume.astype(np.uint16) for volume in maps]
        maps = [volume[:-1] + volume[1:] for volume in maps]
        maps = [volume[:, :-1] + volume[:, 1:] for volume in maps]
        maps = [volume[:, :, :-1] + volume[:, :, 1:] for volume in maps]
        scales, origin = scales * 8, origin + 0.5

    step, margin = int(STATIC), 9
    brain = np.pad(t1[::step, ::step, ::step] > 0, margin)
    depth = STATIC * (ndimage.distance_transform_edt(brain) - ndimage.distance_transform_edt(~brain))
    depth = ndimage.gaussian_filter(depth, 1.0).astype(np.float32)
    tissue = np.pad(gray[::step, ::step, ::step] / 255 + white[::step, ::step, ::step] / 255, margin)
    static_origin = _CROP_ORIGIN - margin * STATIC
    x, y, z = np.meshgrid(
        *(o + STATIC * np.arange(n) for o, n in zip(static_origin, depth.shape, strict=True)),
        indexing="ij",
        sparse=True,
    )
    # Left and right: the midline holds the third ventricle and cisterns, which are as deep.
    lateral = (np.abs(x) > 3) & (np.abs(x) < 38) & (y < 34) & (y > -60) & (z > -4) & (z < 32)
    labels, count = ndimage.label((tissue < 0.5) & (depth > 20) & lateral)
    largest = 1 + np.argsort(np.bincount(labels.ravel(), minlength=count + 1)[1:])[-2:]
    ventricles = ndimage.gaussian_filter(np.isin(labels, largest).astype(np.float32), 1.0)
    pull = np.stack(np.gradient(ndimage.gaussian_filter(ventricles, 2.3))).astype(np.float32)
    pull /= np.sqrt((pull**2).sum(0)).max()
    # Real cortex folds much alike in all brains, and the same tissue relaxes differently in different regions.  The
    # template, an average, has lost both; these fixed fields stand for them.
    rng = np.random.default_rng(152)
    axes = tuple(o + STATIC * np.arange(n) for o, n in zip(static_origin, depth.shape, strict=True))
    sulci = smooth_field(rng, axes, 9.0)
    regions = {
        modality: 0.8 * smooth_field(rng, axes, 12.0) + 0.6 * smooth_field(rng, axes, 24.0)
        for modality in MODALITIES
    }
    return Template(tuple(maps), scales, origin, depth, ventricles, pull, sulci, regions, static_origin)


def _cropped_map(name: Literal["gm", "wm", "t1"]) -> np.ndarray:
    image: Any = nib.load(map_path(name))
    return np.asarray(image.dataobj)[_CROP]


def sample_depth(template: Template, points: np.ndarray) -> np.ndarray:
    """Depth below the brain's surface (mm, negative outside) at template points (3, ...) mm."""
    index = (points - template.static_origin.reshape(3, *[1] * (points.ndim - 1))) / STATIC
    depth: np.ndarray = ndimage.map_coordinates(template.depth, index, order=1, mode="nearest")
    return depth
