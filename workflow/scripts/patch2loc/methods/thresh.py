"""Thresh (Meissen et al. 2022): bright voxels are abnormal.

The score is the empirical distribution function of the brain's intensities.  Built for hyper-intense lesions, it
says the opposite where lesions are dark (T1), as in the paper's Table 1.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from patch2loc.method_interface import Volumes

ROLE = "table1"
ORDER = 60


def fit(
    training: Volumes, validation: Volumes, settings: dict, checkpoint: Path | None, device: str
) -> tuple[dict, None]:
    """Nothing is learnt."""
    return {}, None


def scorer(
    state: dict, device: str, stride: int = 1, precision: str = "float32"
) -> Callable[..., dict[str, np.ndarray]]:
    """Score by the share of the brain that is darker than a voxel."""

    def score(volume: np.ndarray, mask: np.ndarray, wanted: np.ndarray) -> dict[str, np.ndarray]:
        brain = np.sort(volume[mask])
        equalized = np.full(volume.shape, np.nan, np.float32)
        equalized[wanted] = np.searchsorted(brain, volume[wanted], side="right") / len(brain)
        return {"score": equalized}

    return score
