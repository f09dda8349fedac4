"""Brains of any contrast, from the tissue maps of the atlas: scans in atlas space, and damage to them."""

from functools import lru_cache

import numpy as np

from patch2loc.data import icbm152, volumes
from patch2loc.preprocess.atlas import common_grid, load_atlas
from patch2loc.preprocess.images import coarser
from patch2loc.preprocess.scan import preprocess_scan

# Signal of fluid, gray and white matter, typical of what is scanned (spin echoes, FLAIR) at 1.5 T.
SIGNALS = {
    "T1": (0.30, 0.72, 1.00),
    "T2": (1.00, 0.50, 0.38),
    "PD": (0.86, 1.00, 0.82),
    "FLAIR": (0.10, 1.00, 0.82),
}
IN_ATLAS_SPACE = {"skull_strip": "none", "registration": "none", "bias_correction": False}


@lru_cache(maxsize=1)
def tissue():
    """Fractions of fluid, gray and white matter, (3, x, y, z), the brain, and the affine, at 2 mm."""
    t1, affine = volumes.read(icbm152.map_path("t1"))
    gray, white = (volumes.read(icbm152.map_path(name))[0] / 255 for name in ("gm", "wm"))
    brain = t1 > 0
    parts = [np.clip(1 - gray - white, 0, 1) * brain, gray * brain, white * brain, brain]
    *fractions, share = (coarser(part.astype(np.float32), affine, 2.0)[0] for part in parts)
    return np.stack(fractions), share > 0.5, coarser(t1, affine, 2.0)[1]


def brain_of(contrast, noise=0.03, seed=0):
    """A brain of a contrast or of (fluid, gray, white) signals: (x, y, z) int16, 0 outside, and its affine."""
    fractions, brain, affine = tissue()
    signals = SIGNALS.get(contrast, contrast) if isinstance(contrast, str) else contrast
    image = 1000 * np.tensordot(signals, fractions, 1)
    image += 1000 * noise * np.random.default_rng(seed).normal(size=image.shape)
    return np.where(brain, np.maximum(image, 1), 0).astype(np.int16), affine


@lru_cache(maxsize=4)
def atlas_and_grid(modality, spacing, source="icbm152"):
    atlas = load_atlas(source, modality)
    return atlas, common_grid(atlas, (48, 48, 25) if spacing == 4.0 else (96, 96, 50), spacing)


def preprocessed(path, modality, spacing=4.0):
    """Preprocess a scan that lies in atlas space and is stripped."""
    atlas, grid = atlas_and_grid(modality, spacing)
    return preprocess_scan(path, modality, atlas, grid, settings=IN_ATLAS_SPACE)
