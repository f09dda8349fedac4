"""Thresh (Meissen et al. 2022): bright voxels are abnormal.

The score is the empirical distribution function of the brain's intensities.  Built for hyper-intense lesions, it
says the opposite where lesions are dark (T1), as in the paper's Table 1.
"""

from pathlib import Path

import numpy as np

from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import Maps, MethodSettings, Score, State, StateKinds, Volumes

ROLE = "table1"
ORDER = 60
SCORED_ONCE = True  # a rank, which the landmarks' increasing map leaves as it is
AS_PUBLISHED = {"erosion": 3, "median": 5}  # the printed row's, as of the other rows of Behrendt et al.
STATE: StateKinds = {}


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, None]:
    """Nothing is learnt."""
    return {}, None


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by the share of the brain that is darker than a voxel."""

    def score(volume: np.ndarray, mask: np.ndarray, region: np.ndarray) -> Maps:
        brain = np.sort(volume[mask])
        equalized = np.full(volume.shape, np.nan, np.float32)
        equalized[region] = np.searchsorted(brain, volume[region], side="right") / len(brain)
        return {"score": equalized}

    return score
