"""Simulated contrast: brightness of each tissue in T1 and T2, relative to white matter."""

from collections.abc import Mapping
from typing import get_args

import numpy as np

from patch2loc.acquire.phantom.anatomy import Anatomy
from patch2loc.acquire.phantom.fields import smooth_field
from patch2loc.data.vocabulary import Modality

Contrast = Mapping[str, np.ndarray]  # of a subject: tissue -> (T1, T2) over white matter
MODALITIES: tuple[Modality, ...] = get_args(Modality)
REGIONAL = 0.08  # standard deviation between regions of the same tissue, alike in all subjects

# Mean intensity over white matter in (T1, T2), and its standard deviation between subjects.
TISSUES = {
    "white": ((1.0, 1.0), (0.0, 0.0)),
    "gray": ((0.70, 1.42), (0.03, 0.06)),
    "csf": ((0.26, 2.70), (0.03, 0.12)),
    "bone": ((0.12, 0.15), (0.02, 0.03)),
    "marrow": ((0.55, 0.70), (0.12, 0.12)),
    "fat": ((1.30, 1.35), (0.12, 0.15)),
    "skin": ((0.60, 0.75), (0.06, 0.08)),
    "muscle": ((0.52, 0.55), (0.04, 0.05)),
    "vitreous": ((0.28, 2.85), (0.02, 0.10)),
    "lens": ((0.55, 0.50), (0.03, 0.05)),
    "air": ((0.0, 0.0), (0.0, 0.0)),
}

# The head from outside to inside: each part is painted over those before it.
_PARTS = (
    ("skin", "skin"),
    ("scalp_fat", "fat"),
    ("fat", "muscle"),
    ("airway", "air"),
    ("throat", "air"),
    ("vertebra", "marrow"),
    ("orbit", "fat"),
    ("eye", "vitreous"),
    ("lens", "lens"),
    ("skull", "bone"),
    ("diploe", "marrow"),
    ("canal", "csf"),
    ("cord", "white"),
    ("csf", "csf"),
)


def draw_contrast(rng: np.random.Generator) -> Contrast:
    """Draw the subject's tissue intensities over white matter: name -> (T1, T2)."""
    return {name: rng.normal(mean, sd).astype(np.float32) for name, (mean, sd) in TISSUES.items()}


def paint(images: np.ndarray, membership: np.ndarray, values: np.ndarray) -> None:
    """Blend `values` (T1, T2) into `images` (2, x, y, z) by `membership` (x, y, z; 0 to 1), in place."""
    member = membership > 0
    share = membership[member]
    for image, value in zip(images, values, strict=True):
        image[member] += share * (value - image[member])


def render(rng: np.random.Generator, anatomy: Anatomy, contrast: Contrast) -> np.ndarray:
    """Images of the head without lesion, (2, x, y, z) float32: T1 and T2 over white matter."""
    images = np.zeros((2, *anatomy.brain.shape), np.float32)
    for part, tissue in _PARTS:
        edge = np.clip(0.5 - anatomy.head(part) / anatomy.spacing, 0, 1)
        paint(images, edge, contrast[tissue])

    inside = anatomy.brain > 0
    fractions = [volume[inside] for volume in (anatomy.gray, anatomy.white, anatomy.csf)]
    model = [
        sum(
            fraction * contrast[name][m]
            for fraction, name in zip(fractions, ("gray", "white", "csf"), strict=True)
        )
        for m in range(2)
    ]
    brain = anatomy.brain[inside]
    model = [volume / np.maximum(brain, 1e-3) for volume in model]
    # The template's own T1 holds the gray nuclei; near the surface it is too blurred to be of use.
    gray, csf = contrast["gray"][0], contrast["csf"][0]
    detail = np.interp(
        anatomy.detail[inside] / np.maximum(brain, 1e-3), (0.31, 0.75, 1.0, 1.1), (csf, gray, 1.0, 1.06)
    )
    weight = 0.6 * np.clip((anatomy.depth[inside] - 6) / 12, 0, 1)
    model[0] += weight * (detail - model[0])
    iron = 0.24 * rng.uniform(0.7, 1.3) * anatomy.iron[inside] * (1 - fractions[2])
    model[1] *= 1 - iron
    for image, volume, region in zip(images, model, anatomy.regions, strict=True):
        volume = volume * (1 + REGIONAL * region[inside] * (1 - fractions[2]))
        image[inside] += brain * (volume - image[inside])
    return images


def add_texture(rng: np.random.Generator, anatomy: Anatomy, images: np.ndarray) -> None:
    """Multiply `images` (2, x, y, z) by the subject's random fields, in place.

    They vary by about 2 percent, finely and coarsely; the modalities share a part of them.
    """
    shared = smooth_field(rng, anatomy.axes, 4.0) + 0.6 * smooth_field(rng, anatomy.axes, 22.0)
    for image in images:
        separate = smooth_field(rng, anatomy.axes, 4.0) + 0.8 * smooth_field(rng, anatomy.axes, 12.0)
        image *= 1 + 0.010 * (shared + separate)
