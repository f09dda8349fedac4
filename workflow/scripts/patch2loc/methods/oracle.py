"""A control that is given the truth: the share of lesion in the patch around a voxel.

How far below 1 it stays is what patches and the median filter cost.  It is never a competitor.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.ndimage import correlate1d

from patch2loc.method_interface import Volumes

ROLE = "control"
ORDER = 240
NEEDS_LESION = True


def fit(
    training: Volumes, validation: Volumes, settings: dict, checkpoint: Path | None, device: str
) -> tuple[dict, None]:
    """Nothing is learnt; the patch is the run's."""
    return {"patch": settings["patch"]}, None


def scorer(
    state: dict, device: str, stride: int = 1, precision: str = "float32"
) -> Callable[..., dict[str, np.ndarray]]:
    """Score by the share of lesion in the patch around a voxel; 0 everywhere in a scan without lesion."""

    def score(
        volume: np.ndarray, mask: np.ndarray, wanted: np.ndarray, lesion: np.ndarray
    ) -> dict[str, np.ndarray]:
        # The patches of `patch2loc.network.patches`, without torch, whose import takes longer than a scan.
        ones, counts = np.ones(state["patch"], np.float32), lesion.astype(np.float32)
        for axis in (0, 1):
            counts = correlate1d(counts, ones, axis, mode="constant")
        return {"score": np.where(wanted, counts / state["patch"] ** 2, np.nan).astype(np.float32)}

    return score
