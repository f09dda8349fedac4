"""The midsagittal plane, and the score of asymmetry."""

from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from patch2loc.data.midsagittal import midsagittal_plane, mirrored
from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import Maps, MethodSettings, Score, State, Volumes

SMOOTHING_MM = 2.0  # standard deviation of the Gaussian: gyri have no exact counterpart


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
