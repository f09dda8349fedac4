"""Simulated contrast: brightness of each tissue in each modality, relative to white matter."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from patch2loc.acquire.phantom.anatomy import Anatomy
from patch2loc.acquire.phantom.fields import smooth_field
from patch2loc.data.modalities import MODALITIES, Modality

Intensities = Mapping[Modality, np.float32]  # of a tissue over white matter
Contrast = Mapping[str, Intensities]  # of a subject: intensities of each tissue
Images = dict[Modality, np.ndarray]  # of a head, (x, y, z) float32, over white matter
Streams = Mapping[Modality, np.random.Generator]  # of what differs between the modalities of a subject
REGIONAL = 0.08  # standard deviation between regions of the same tissue, alike in all subjects


@dataclass(frozen=True)
class SimulatedContrast:
    """How simulated scans of a modality show a head.

    Attributes:
        white: Mean intensity of white matter, so that the brightest tissue is near 1000.
        tissues: Mean intensity of each tissue over white matter, and its standard deviation between subjects.
        iron: Darkening of gray nuclei by iron, over that in T2.
        lesion: A curve from the intensity of a lesion in T2 to that here, each as the share of the way from gray
            matter to fluid: shares in T2, and shares here.  None: `lesions` draws it.
    """

    white: float
    tissues: Mapping[str, tuple[float, float]]
    iron: float
    lesion: tuple[tuple[float, ...], tuple[float, ...]] | None = None


CONTRASTS: dict[Modality, SimulatedContrast] = {
    "T1": SimulatedContrast(
        white=620.0,
        tissues={
            "white": (1.0, 0.0),
            "gray": (0.70, 0.03),
            "csf": (0.26, 0.03),
            "bone": (0.12, 0.02),
            "marrow": (0.55, 0.12),
            "fat": (1.30, 0.12),
            "skin": (0.60, 0.06),
            "muscle": (0.52, 0.04),
            "vitreous": (0.28, 0.02),
            "lens": (0.55, 0.03),
            "air": (0.0, 0.0),
        },
        iron=0.0,
    ),
    "T2": SimulatedContrast(
        white=300.0,
        tissues={
            "white": (1.0, 0.0),
            "gray": (1.42, 0.06),
            "csf": (2.70, 0.12),
            "bone": (0.15, 0.03),
            "marrow": (0.70, 0.12),
            "fat": (1.35, 0.15),
            "skin": (0.75, 0.08),
            "muscle": (0.55, 0.05),
            "vitreous": (2.85, 0.10),
            "lens": (0.50, 0.05),
            "air": (0.0, 0.0),
        },
        iron=1.0,
    ),
    "FLAIR": SimulatedContrast(
        white=600.0,
        tissues={
            "white": (1.0, 0.0),
            "gray": (1.22, 0.04),
            "csf": (0.15, 0.03),
            "bone": (0.12, 0.03),
            "marrow": (0.65, 0.12),
            "fat": (1.15, 0.12),
            "skin": (0.70, 0.08),
            "muscle": (0.55, 0.05),
            "vitreous": (0.15, 0.03),
            "lens": (0.45, 0.05),
            "air": (0.0, 0.0),
        },
        iron=1.0,
        # Brighter than gray matter the longer T2 is, and dark as fluid where it is free.
        lesion=((0.0, 0.6, 0.95), (0.0, -0.45, 1.0)),
    ),
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


def draw_contrast(streams: Streams) -> Contrast:
    """Draw the subject's tissue intensities over white matter."""
    return {
        tissue: {
            modality: np.float32(rng.normal(*CONTRASTS[modality].tissues[tissue]))
            for modality, rng in streams.items()
        }
        for tissue in CONTRASTS["T1"].tissues
    }


def paint(images: Images, membership: np.ndarray, values: Intensities) -> None:
    """Blend `values` into `images` by `membership` (x, y, z; 0 to 1), in place."""
    member = membership > 0
    share = membership[member]
    for modality, image in images.items():
        image[member] += share * (values[modality] - image[member])


def render(rng: np.random.Generator, anatomy: Anatomy, contrast: Contrast) -> Images:
    """Images of the head without lesion, in the modalities of the contrast."""
    images: Images = {modality: np.zeros(anatomy.brain.shape, np.float32) for modality in contrast["white"]}
    for part, tissue in _PARTS:
        edge = np.clip(0.5 - anatomy.head(part) / anatomy.spacing, 0, 1)
        paint(images, edge, contrast[tissue])

    inside = anatomy.brain > 0
    fractions = [volume[inside] for volume in (anatomy.gray, anatomy.white, anatomy.csf)]
    brain = anatomy.brain[inside]
    iron = 0.24 * rng.uniform(0.7, 1.3) * anatomy.iron[inside] * (1 - fractions[2])
    for modality, image in images.items():
        volume = sum(
            fraction * contrast[name][modality]
            for fraction, name in zip(fractions, ("gray", "white", "csf"), strict=True)
        )
        volume = volume / np.maximum(brain, 1e-3)
        if MODALITIES[modality].simulated_atlas is None:
            # The template's own map holds the gray nuclei; near the surface it is too blurred to be of use.
            gray, csf = (float(contrast[name][modality]) for name in ("gray", "csf"))
            detail = np.interp(
                anatomy.detail[inside] / np.maximum(brain, 1e-3),
                (0.31, 0.75, 1.0, 1.1),
                (csf, gray, 1.0, 1.06),
            )
            weight = 0.6 * np.clip((anatomy.depth[inside] - 6) / 12, 0, 1)
            volume += weight * (detail - volume)
        volume *= 1 - CONTRASTS[modality].iron * iron
        volume = volume * (1 + REGIONAL * anatomy.regions[modality][inside] * (1 - fractions[2]))
        image[inside] += brain * (volume - image[inside])
    return images


def add_texture(rng: np.random.Generator, streams: Streams, anatomy: Anatomy, images: Images) -> None:
    """Multiply images by the subject's random fields, in place.

    They vary by about 2 percent, finely and coarsely; the modalities share a part of them.

    Args:
        rng: Source of the part that they share.
        streams: Source of each modality's own part.
        anatomy: The subject's head.
        images: Image of each modality, (x, y, z) float32 on the grid of the anatomy.
    """
    shared = smooth_field(rng, anatomy.axes, 4.0) + 0.6 * smooth_field(rng, anatomy.axes, 22.0)
    for modality, image in images.items():
        rng = streams[modality]
        separate = smooth_field(rng, anatomy.axes, 4.0) + 0.8 * smooth_field(rng, anatomy.axes, 12.0)
        image *= 1 + 0.010 * (shared + separate)
