"""Simulated lesions: tumors with mass effect, MS plaques, strokes, white-matter hyperintensities.

A lesion is a membership (0 to 1) on the anatomy's grid, and the compartments it is painted with.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from patch2loc.acquire.phantom.anatomy import (
    COARSE,
    Anatomy,
    coarse_points,
    grid_axes,
)
from patch2loc.acquire.phantom.contrast import CONTRASTS, Contrast, Intensities
from patch2loc.acquire.phantom.fields import smooth_field
from patch2loc.acquire.phantom.template import Template, sample_depth

COHORTS = ("healthy", "tumor", "ms", "stroke", "wmh")


@dataclass
class Lesion:
    """A lesion on the anatomy's grid.

    Attributes:
        membership: (x, y, z) float32, 0 to 1.
        compartments: Memberships, and their intensities over white matter.
    """

    membership: np.ndarray
    compartments: list[tuple[np.ndarray, Intensities]] = field(default_factory=list)


@dataclass(frozen=True)
class Mass:
    """The core of a tumor: its center in head space and its radius, mm."""

    center: np.ndarray
    radius: float


def draw_mass(rng: np.random.Generator, template: Template, points: np.ndarray) -> Mass:
    """Draw the core of a tumor: 16 to 34 mm below the surface of a cerebral hemisphere.

    Args:
        rng: Source of place and size.
        template: From `load_template`.
        points: Template coordinates at the coarse grid, (3, x, y, z).
    """
    depth = sample_depth(template, points)
    lateral, height = np.abs(points[0]), points[2]
    allowed = (depth > 16) & (depth < 34) & (lateral > 16) & (height > -8) & (height < 48)
    candidates = np.argwhere(allowed)
    index = candidates[rng.integers(len(candidates))]
    center = np.array([axis[i] for axis, i in zip(grid_axes(COARSE), index, strict=True)])
    return Mass(center + rng.uniform(-COARSE / 2, COARSE / 2, 3), rng.uniform(13, 24))


def displace(mass: Mass, points: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Mass effect: push tissue away from the tumor.

    Tissue within 0.55 of the tumor's radius fills the tumor; tissue around it moves outwards, less and less with
    distance (a third at 18 mm from the edge); the brain's surface stays.

    Args:
        mass: The tumor.
        points: Template coordinates at the coarse grid, (3, x, y, z).
        depth: Depth of these points below the brain's surface, mm, (x, y, z).

    Returns:
        The template coordinates afterwards, (3, x, y, z).
    """
    offset = coarse_points() - mass.center.reshape(3, 1, 1, 1).astype(np.float32)
    distance = np.maximum(np.sqrt((offset**2).sum(0)), 1e-3)
    push = 0.45 * np.minimum(distance, mass.radius) * np.exp(-np.maximum(distance - mass.radius, 0) / 18)
    push *= np.clip(depth / 14, 0, 1)
    origin = np.array([axis[0] for axis in grid_axes(COARSE)], np.float32).reshape(3, 1, 1, 1)
    index = (coarse_points() - offset * (push / distance) - origin) / np.float32(COARSE)
    return np.stack([ndimage.map_coordinates(p, index, order=1, mode="nearest") for p in points])


def grow(
    rng: np.random.Generator,
    cohort: str,
    anatomy: Anatomy,
    *,
    contrast: Contrast,
    mass: Mass | None,
) -> Lesion:
    """Grow the lesion of a subject.

    Args:
        rng: Source of what differs between lesions.
        cohort: One of COHORTS.
        anatomy: The subject's head.
        contrast: The subject's tissue intensities.
        mass: The core of a tumor; None for other cohorts.
    """
    if cohort == "healthy":
        return Lesion(np.zeros(anatomy.brain.shape, np.float32))
    if cohort == "tumor":
        assert mass is not None  # drawn before the anatomy, which it displaces
        return _tumor(rng, anatomy, contrast, mass)
    return {"ms": _ms, "stroke": _stroke, "wmh": _wmh}[cohort](rng, anatomy, contrast)


def _intensities(contrast: Contrast, t1: float, t2: float) -> Intensities:
    """Intensities of a lesion: in T1 and in T2 a share of the way from gray matter to fluid."""
    gray, fluid = contrast["gray"], contrast["csf"]
    shares = {"T1": t1, "T2": t2}
    for modality in gray:
        curve = CONTRASTS[modality].lesion
        if curve is not None:
            shares[modality] = float(np.interp(t2, *curve))
    return {
        modality: gray[modality] + np.float32(shares[modality]) * (fluid[modality] - gray[modality])
        for modality in gray
    }


def _edge(distance: np.ndarray, width: float) -> np.ndarray:
    """Membership from a signed distance (mm, negative inside), soft over `width` mm."""
    return np.clip(0.5 - distance / width, 0, 1).astype(np.float32)


def _distance(anatomy: Anatomy, center: np.ndarray) -> np.ndarray:
    """Distance of the grid's voxels from a center, mm."""
    x, y, z = (np.square(a - c, dtype=np.float32) for a, c in zip(anatomy.axes, center, strict=True))
    distance: np.ndarray = np.sqrt(x[:, None, None] + y[None, :, None] + z[None, None, :])
    return distance


def _threshold(distance: np.ndarray, allowed: np.ndarray, ml: float, voxel_ml: float) -> float:
    """The distance below which the allowed voxels hold `ml` milliliters."""
    values = distance[allowed]
    rank = min(int(ml / voxel_ml), len(values) - 1)
    return float(np.partition(values, rank)[rank])


def _ventricle_distance(anatomy: Anatomy, reach: float) -> np.ndarray:
    """Distance from the lateral ventricles in mm, exact within `reach`, 1000 beyond."""
    ventricles = anatomy.ventricles
    margin = int(np.ceil(reach / anatomy.spacing))
    box = tuple(
        slice(max(s.start - margin, 0), s.stop + margin)
        for s in ndimage.find_objects(ventricles.astype(int))[0]
    )
    distance = np.full(ventricles.shape, 1000, np.float32)
    distance[box] = ndimage.distance_transform_edt(~ventricles[box], anatomy.spacing)
    return np.where(distance <= reach, distance, 1000)


def _tumor(rng: np.random.Generator, anatomy: Anatomy, contrast: Contrast, mass: Mass) -> Lesion:
    """Core with a necrotic center, and edema that reaches further along white matter than into gray."""
    lumps = smooth_field(rng, anatomy.axes, 20.0)
    grain = smooth_field(rng, anatomy.axes, 8.0)
    distance = _distance(anatomy, mass.center) * (1 + 0.10 * lumps) - mass.radius + 0.6 * grain
    white = ndimage.gaussian_filter(anatomy.white, 3.0 / anatomy.spacing, truncate=2.5)
    reach = rng.uniform(10, 22) * (0.1 + white * (1 + 0.3 * smooth_field(rng, anatomy.axes, 14.0)))
    core = _edge(distance, 3.0) * anatomy.brain
    edema = _edge(distance - np.maximum(reach, 0.5), 2.5) * (anatomy.brain - anatomy.csf)
    necrosis = _edge(distance + rng.uniform(0.3, 0.55) * mass.radius + 1.5 * grain, 3.0) * core
    # In T2 edema is bright, the core somewhat less, necrosis nearly as fluid; in T1 all are dark.
    return Lesion(
        np.maximum(core, edema),
        [
            (edema, _intensities(contrast, 0.05, rng.uniform(0.45, 0.60))),
            (core, _intensities(contrast, 0.15, rng.uniform(0.30, 0.42))),
            (necrosis, _intensities(contrast, 0.60, rng.uniform(0.75, 0.9))),
        ],
    )


def _spots(
    rng: np.random.Generator,
    anatomy: Anatomy,
    weight: np.ndarray,
    *,
    radii: np.ndarray,
    elongation: float,
) -> np.ndarray:
    """Membership of separate ellipsoids of some radii (mm), long in x, with centers drawn by `weight`."""
    membership = np.zeros(weight.shape, np.float32)
    bumps = np.clip(0.2 * smooth_field(rng, anatomy.axes, 5.0), -0.25, 0.25)
    allowed = np.flatnonzero(weight > 0)
    chance = weight.ravel()[allowed].astype(np.float64)
    candidates = rng.choice(
        allowed, size=min(40 * len(radii), len(allowed)), replace=False, p=chance / chance.sum()
    )
    placed: list[tuple[np.ndarray, float]] = []
    remaining = sorted(radii, reverse=True)
    for voxel in np.transpose(np.unravel_index(candidates, weight.shape)):
        if not remaining:
            break
        radius, center = remaining[0], voxel * anatomy.spacing
        long = radius * elongation
        if any(np.linalg.norm(center - c) < long + r + 2 * anatomy.spacing for c, r in placed):
            continue
        remaining.pop(0)
        placed.append((center, long))
        half = int(np.ceil(1.5 * long / anatomy.spacing)) + 1
        box = tuple(slice(max(v - half, 0), v + half + 1) for v in voxel)
        offset = [
            (np.arange(s.start, s.start + n) * anatomy.spacing - c).astype(np.float32)
            for s, n, c in zip(box, membership[box].shape, center, strict=True)
        ]
        scaled = np.sqrt(
            (offset[0][:, None, None] / elongation) ** 2
            + offset[1][None, :, None] ** 2
            + offset[2][None, None, :] ** 2
        )
        spot = _edge(scaled * (1 + bumps[box]) - radius, anatomy.spacing)
        membership[box] = np.maximum(membership[box], spot)
    return membership


def _ms(rng: np.random.Generator, anatomy: Anatomy, contrast: Contrast) -> Lesion:
    """6 to 25 plaques of 3 to 10 mm in white matter, most of them near the ventricles and across them."""
    near = _ventricle_distance(anatomy, 40)
    weight = np.where(anatomy.white > 0.75, 0.05 + np.exp(-np.abs(near - 4) / 5), 0)
    weight *= (anatomy.template(2) > -12) & (anatomy.depth > 6)
    radii = np.clip(rng.lognormal(np.log(3.0), 0.3, rng.integers(9, 26)), 1.8, 4.0)
    tissue = 1 - np.clip(anatomy.csf * 1.5, 0, 1)
    membership = _spots(rng, anatomy, weight, radii=radii, elongation=1.25) * tissue * anatomy.brain
    return Lesion(membership, [(membership, _intensities(contrast, -0.05, rng.uniform(0.4, 0.6)))])


def _stroke(rng: np.random.Generator, anatomy: Anatomy, contrast: Contrast) -> Lesion:
    """One old infarct of 10 to 80 ml: a wedge of cortex and white matter on one side, irregular."""
    lateral, height = anatomy.template(0), anatomy.template(2)
    seeds = (
        (anatomy.depth > 5) & (anatomy.depth < 16) & (np.abs(lateral) > 24) & (height > -8) & (height < 52)
    )
    candidates = np.flatnonzero(seeds & (anatomy.gray + anatomy.white > 0.7))
    voxel = np.unravel_index(candidates[rng.integers(len(candidates))], seeds.shape)
    side = np.sign(lateral[voxel])
    center = np.array([axis[i] for axis, i in zip(anatomy.axes, voxel, strict=True)])
    # Territories narrow towards the middle of the hemisphere, where their arteries come from.
    apex = np.array([side * 18.0, -8.0, 10.0])
    inward = (apex - center) / np.linalg.norm(apex - center)
    along = sum(
        (a - c).reshape([-1 if i == k else 1 for i in range(3)]) * inward[k]
        for k, (a, c) in enumerate(zip(anatomy.axes, center, strict=True))
    ).astype(np.float32)
    across = np.sqrt(np.maximum(_distance(anatomy, center) ** 2 - along**2, 0))
    wedge = np.hypot(across * (1 + np.clip(along, 0, None) / 25), along / 1.35)
    rough = 0.22 * smooth_field(rng, anatomy.axes, 18.0) + 0.10 * smooth_field(rng, anatomy.axes, 7.0)
    distance = wedge * (1 + np.clip(rough, -0.6, 0.6))
    ventricle = anatomy.csf * np.clip((anatomy.depth - 14) / 6, 0, 1)
    tissue = np.clip(anatomy.brain - 1.5 * ventricle, 0, 1) * (lateral * side > 2)
    ml = np.clip(rng.lognormal(np.log(30), 0.6), 12, 78)
    edge = _threshold(distance, tissue > 0.5, ml, anatomy.voxel_ml)
    membership = _edge(distance - edge, 3.5) * tissue
    value = _intensities(contrast, rng.uniform(0.45, 0.7), rng.uniform(0.5, 0.75))
    fluid = _intensities(contrast, 0.85, 0.9)
    cavity = 0.8 * np.clip(smooth_field(rng, anatomy.axes, 12.0) - rng.uniform(-0.2, 0.8), 0, 1)
    tissue = membership * (1 - np.clip(anatomy.csf, 0, 1))
    return Lesion(membership, [(tissue, value), (tissue * cavity, fluid)])


def _wmh(rng: np.random.Generator, anatomy: Anatomy, contrast: Contrast) -> Lesion:
    """Caps and bands along both lateral ventricles, 4 to 35 ml, and a few spots in deep white matter."""
    near = _ventricle_distance(anatomy, 30)
    front_back, height = anatomy.template(1), anatomy.template(2)
    # The corpus callosum, in the middle, is spared.
    lateral = np.clip((np.abs(anatomy.template(0)) - 9) / 4, 0, 1) * np.clip((height + 6) / 6, 0, 1)
    front, back = np.exp(-(((front_back - 32) / 10) ** 2)), np.exp(-(((front_back + 42) / 14) ** 2))
    reach = 1 + 1.8 * front + 0.8 * back + 1.2 * np.exp(-(((height - 27) / 7) ** 2))
    rough = 0.30 * smooth_field(rng, anatomy.axes, 10.0) + 0.12 * smooth_field(rng, anatomy.axes, 5.0)
    distance = near * (1 + np.clip(rough, -0.6, 0.6)) / reach
    allowed = (anatomy.white > 0.55) & (near < 25) & (lateral > 0.5)
    ml = np.clip(rng.lognormal(np.log(14), 0.55), 5.5, 35)
    edge = _threshold(distance, allowed, ml, anatomy.voxel_ml)
    tissue = np.clip(2 * anatomy.white, 0, 1)
    bands = _edge(distance - edge, 2.5) * lateral * (near < 25) * tissue
    deep = np.where((anatomy.white > 0.85) & (near > 9) & (anatomy.depth > 8) & (height > 5), 1.0, 0.0)
    radii = rng.uniform(1.8, 3.2, rng.integers(3, 13))
    spots = _spots(rng, anatomy, deep, radii=radii, elongation=1.1) * tissue
    membership = np.maximum(bands, spots).astype(np.float32) * anatomy.brain
    return Lesion(membership, [(membership, _intensities(contrast, rng.uniform(0.0, 0.15), 0.35))])
