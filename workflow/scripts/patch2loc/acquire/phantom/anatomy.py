"""Simulated anatomy: the ICBM152 template, deformed anew for every subject, inside a schematic head.

Coordinates are millimeters, RAS, with the origin near the anterior commissure. *Head space* is the
subject's, *template space* the atlas's; a deformation gives the template point for every point of head space.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from patch2loc.acquire.phantom.fields import Axes, smooth_field, upsample
from patch2loc.acquire.phantom.template import STATIC, Template, sample_depth
from patch2loc.data.modalities import Modality
from patch2loc.data.volumes import isotropic_voxel_ml

# The box of head space that is simulated, mm.
EXTENT = ((-96.0, 96.0), (-128.0, 104.0), (-112.0, 104.0))
COARSE = 4.0  # mm: spacing of the deformation and of the distances that shape the head
MEAN_SIZE = 0.915  # linear; the ICBM152 brain, 1.9 l, is larger than most brains

# Gray nuclei that hold iron and are darker than cortex in T2: center (mirrored), extent (mm), strength.
_NUCLEI = (
    ((26, 4, 0), (6, 13, 8), 0.7),
    ((19, -4, -2), (5, 8, 6), 1.3),
    ((13, 14, 8), (5, 8, 9), 0.6),
    ((12, -18, 8), (8, 10, 7), 0.3),
    ((7, -18, -10), (5, 5, 6), 1.0),
    ((16, -56, -32), (7, 7, 5), 0.8),
)


@dataclass(frozen=True)
class Anatomy:
    """A subject's head on a regular grid of head space; arrays are (x, y, z) float32 on the grid.

    Attributes:
        axes: Coordinates of the grid, mm.
        spacing: Of the grid, mm.
        gray: Fraction of gray matter; gray, white and csf add up to brain.
        white: Fraction of white matter.
        csf: Fraction of cerebrospinal fluid.
        brain: Fraction of brain.
        depth: Depth below the brain's surface, mm.
        detail: T1 of the template over that of white matter.
        iron: Darkening of T2 by gray nuclei.
        regions: Regional difference of tissue in each modality, (x, y, z) each, variance 1.
        ventricles: True inside the lateral ventricles.
        template: Gives the template's coordinate along an axis.
        head: Gives the signed distance (mm, negative inside) of another part of the head.
    """

    axes: Axes
    spacing: float
    gray: np.ndarray
    white: np.ndarray
    csf: np.ndarray
    brain: np.ndarray
    depth: np.ndarray
    detail: np.ndarray
    iron: np.ndarray
    regions: dict[Modality, np.ndarray]
    ventricles: np.ndarray
    template: Callable[[int], np.ndarray]
    head: Callable[[str], np.ndarray]

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel of the grid, ml."""
        return isotropic_voxel_ml(self.spacing)


def grid_axes(spacing: float) -> Axes:
    """Coordinates along x, y, z (mm) of the grid of head space."""
    x, y, z = (np.arange(low, high + spacing / 2, spacing) for low, high in EXTENT)
    return x, y, z


def coarse_points() -> np.ndarray:
    """Points of the coarse grid of head space: (3, x, y, z) float32, mm."""
    return np.stack(np.meshgrid(*grid_axes(COARSE), indexing="ij")).astype(np.float32)


def deform(rng: np.random.Generator, template: Template) -> np.ndarray:
    """Draw a deformation.

    Size and shape within 8 %, shear, a coarse field of a few mm, a finer one of about 1 mm for the folds, and
    the ventricles narrowed or widened by up to 4 mm.

    Returns:
        Template coordinates, mm, at the coarse grid of head space: (3, x, y, z).
    """
    axes = grid_axes(COARSE)
    scale = MEAN_SIZE * (1 + np.clip(rng.normal(0, 0.03), -0.06, 0.06)) * (1 + rng.uniform(-0.03, 0.03, 3))
    shear = np.eye(3) + np.triu(rng.normal(0, 0.015, (3, 3)), 1)
    points = np.tensordot(shear / scale[:, None], coarse_points(), axes=1).astype(np.float32)
    for knots, amplitude in ((48.0, 2.5), (26.0, 1.2), (13.0, 0.6)):
        for axis in range(3):
            points[axis] += amplitude * smooth_field(rng, axes, knots)
    # Positive: the template's ventricles reach further out, that is, they are wide.
    widening = np.clip(rng.normal(0.5, 1.8), -2.5, 4.5)
    index = (points - template.static_origin[:, None, None, None]) / STATIC
    for axis in range(3):
        points[axis] += widening * ndimage.map_coordinates(
            template.ventricle_pull[axis], index, order=1, mode="nearest"
        )
    return points


def build_anatomy(
    rng: np.random.Generator, template: Template, points: np.ndarray, spacing: float
) -> Anatomy:
    """Make the tissue and the schematic head of one subject.

    Args:
        rng: Source of what differs between subjects.
        template: From `load_template`.
        points: Template coordinates at the coarse grid, as `deform` gives them.
        spacing: Of the subject's grid, mm.
    """
    coarse, axes = grid_axes(COARSE), grid_axes(spacing)
    depth = upsample(sample_depth(template, points), coarse, axes)
    inside = depth > -4
    index = np.stack([upsample(points[axis], coarse, axes)[inside] for axis in range(3)])
    index -= template.origin[:, None].astype(np.float32)
    gray, white, detail, brain = (
        ndimage.map_coordinates(volume, index, np.float32, order=1, mode="constant") / scale
        for volume, scale in zip(template.maps, template.scales, strict=True)
    )
    # An average of 152 brains has shallow sulci; every subject gets sulci and a cortex of its own.
    surface = np.exp(-np.clip(depth[inside], 0, None) / 9)
    atrophy = np.clip(rng.normal(0, 0.35), -0.6, 0.9)
    static_index = (points - template.static_origin[:, None, None, None]) / STATIC

    def sampled(volume: np.ndarray) -> np.ndarray:
        return upsample(ndimage.map_coordinates(volume, static_index, order=1, mode="nearest"), coarse, axes)

    folds = 0.4 * smooth_field(rng, axes, 6.0)[inside] + 1.1 * sampled(template.sulci)[inside]
    ribbon = smooth_field(rng, axes, 7.0)[inside]
    csf = np.clip(brain - gray - white, 0, None)
    weights = np.stack([gray, white, csf]) ** 2.2
    weights[1] *= np.exp(0.35 * ribbon)
    weights[2] *= np.exp((1.2 + atrophy + 1.5 * folds) * surface)
    weights *= brain / np.maximum(weights.sum(0), 1e-6)

    def on_grid(values: np.ndarray) -> np.ndarray:
        volume = np.zeros(depth.shape, np.float32)
        volume[inside] = values
        return volume

    near = sampled(template.ventricles) > 0.1
    parts = _head_parts(rng, points, -sample_depth(template, points))
    return Anatomy(
        axes=axes,
        spacing=spacing,
        gray=on_grid(weights[0]),
        white=on_grid(weights[1]),
        csf=on_grid(weights[2]),
        brain=on_grid(brain),
        depth=depth,
        detail=on_grid(detail),
        iron=upsample(_iron(points), coarse, axes),
        regions={modality: sampled(volume) for modality, volume in template.regions.items()},
        ventricles=near & (on_grid(weights[2]) > 0.5),
        template=lambda axis: upsample(points[axis], coarse, axes),
        head=lambda name: upsample(parts[name], coarse, axes),
    )


def _iron(points: np.ndarray) -> np.ndarray:
    """Darkening of T2 by gray nuclei, at template points (3, x, y, z)."""
    mirrored = np.stack([np.abs(points[0]), points[1], points[2]])
    total = np.zeros(points.shape[1:], np.float32)
    for center, extent, strength in _NUCLEI:
        offset = (mirrored - np.reshape(center, (3, 1, 1, 1))) / np.reshape(extent, (3, 1, 1, 1))
        total += strength * np.exp(-(offset**2).sum(0))
    return np.clip(total, 0, 1.3)


def _head_parts(rng: np.random.Generator, points: np.ndarray, outside: np.ndarray) -> dict[str, np.ndarray]:
    """Signed distances (mm, negative inside) of the head's parts at the coarse grid.

    outside: mm outside the brain. Thicknesses vary over the head and from subject to subject.
    """
    axes = grid_axes(COARSE)
    x, y, z = np.abs(points[0]), points[1], points[2]

    def varying(mean: float, sd: float, low: float, knots: float) -> np.ndarray:
        thickness = mean + rng.normal(0, sd) + 0.6 * sd * smooth_field(rng, axes, knots)
        return np.clip(thickness, low, None)

    def ellipsoid(center: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
        scaled = [(c - m) / r for c, m, r in zip((x, y, z), center, radii, strict=True)]
        distance: np.ndarray = (np.sqrt(sum(s**2 for s in scaled)) - 1) * min(radii)
        return distance

    # The skull is smoother than the brain: fluid fills what lies between.
    smooth = ndimage.gaussian_filter(outside, 2.0)
    csf = np.minimum(smooth - varying(2.0, 0.6, 0.5, 40), outside - 0.8)
    bone = varying(6.0, 1.2, 3.0, 40)
    skull = np.minimum(smooth - 2.0, csf) - bone
    scalp = skull - varying(6.0, 1.2, 3.0, 48)
    neck = np.maximum(np.hypot(x / 58, (y + 30) / 66) - 1, (z + 30) / 50) * 58
    face = ellipsoid((0, 34, -72), (60, 62, 70))
    nose = ellipsoid((0, 92, -62), (14, 18, 22))
    skin = np.minimum.reduce([scalp, neck, face, nose])
    spine_y = -46 - 0.12 * (z + 72)
    spine = np.hypot(x, y - spine_y)
    below = z + 64
    eye = rng.normal(12.0, 0.5)
    eye_center = (32 + rng.normal(0, 1), 62 + rng.normal(0, 1.5), -38 + rng.normal(0, 1.5))
    return {
        "csf": csf,
        "skull": skull,
        "diploe": np.abs(csf - 0.5 * bone) - 0.17 * bone,
        "skin": skin,
        "fat": skin + varying(5.0, 1.0, 2.5, 40),
        "scalp_fat": skin + 1.8,
        "orbit": ellipsoid((32, 52, -38), (18, 24, 17)),
        "eye": ellipsoid(eye_center, (eye, eye, eye)),
        "lens": ellipsoid((eye_center[0], eye_center[1] + eye - 3, eye_center[2]), (4.5, 2.5, 4.5)),
        "airway": np.minimum(ellipsoid((0, 58, -62), (13, 30, 20)), ellipsoid((30, 50, -70), (13, 15, 13))),
        "throat": np.maximum(np.hypot(x / 11, (y - 2) / 8) - 1, (z + 78) / 8) * 8,
        "vertebra": np.maximum(spine - 20, below),
        "canal": np.maximum(spine - 9, below),
        "cord": np.maximum(spine - 5.5, below),
    }
