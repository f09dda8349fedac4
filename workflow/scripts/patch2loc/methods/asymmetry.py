"""A control: the absolute difference of a voxel from its counterpart in the other hemisphere.

Scans are registered to the atlas, so that its midsagittal plane halves them.  Where the plane is, the grid does not
say (SRI24 has its origin at a corner): it is where the mean of the training scans is most like its mirror image.
"""

from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import Maps, MethodSettings, Score, State, Volumes

ROLE = "control"
ORDER = 220
SMOOTHING_MM = 2.0  # standard deviation of the Gaussian: gyri have no exact counterpart
SEARCH_MM = 10.0  # how far from the middle of the grid the plane may be


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, None]:
    """Find the midsagittal plane of the training scans, and the smoothing in voxels."""
    total = sum(volume for volume, _ in training)
    spacing = settings["spacing"]
    return {"plane": midsagittal_plane(np.asarray(total), spacing), "smoothing": SMOOTHING_MM / spacing}, None


def midsagittal_plane(volume: np.ndarray, spacing: float) -> float:
    """The plane of constant x about which a volume differs least from its mirror image, to half a voxel.

    Args:
        volume: (x, y, z), x from left to right, 0 outside the brain.
        spacing: Voxel size, mm.

    Returns:
        Index along x: whole on a voxel, half between two; no further than SEARCH_MM from the middle of the grid.
    """
    middle = volume.shape[0] - 1  # in half voxels, as the planes below
    reach = round(2 * SEARCH_MM / spacing)
    planes: list[float] = [(middle + offset) / 2 for offset in range(-reach, reach + 1)]

    def difference(plane: float) -> float:
        return float(np.abs(volume - mirrored(volume, plane)).sum())

    return min(planes, key=difference)


def mirrored(volume: np.ndarray, plane: float) -> np.ndarray:
    """A volume, (x, y, z), mirrored about a plane of constant x (`midsagittal_plane`); 0 from beyond the grid."""
    size = len(volume)
    counterpart = round(2 * plane) - np.arange(size)
    inside = (counterpart >= 0) & (counterpart < size)
    mirror_image = np.zeros_like(volume)
    mirror_image[inside] = volume[counterpart[inside]]
    return mirror_image


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by |intensity - the counterpart's|, both smoothed inside the brain; 0 for a counterpart outside it."""

    def score(volume: np.ndarray, mask: np.ndarray, region: np.ndarray) -> Maps:
        brain = mask.astype(np.float32)
        brain_share = gaussian_filter(brain, state["smoothing"], mode="constant")
        inside = np.where(mask, volume, 0).astype(np.float32)
        smooth = gaussian_filter(inside, state["smoothing"], mode="constant") / np.maximum(brain_share, 1e-6)
        paired = mask & mirrored(mask, state["plane"])
        difference = np.where(paired, np.abs(smooth - mirrored(smooth, state["plane"])), 0)
        return {"score": np.where(region, difference, np.nan).astype(np.float32)}

    return score
