"""Thresh with the sign turned: dark voxels are abnormal, as most lesions are in T1.

A row of its own: the better of the two signs is never chosen on test scans.
"""

import numpy as np

from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import Maps, Score, State
from patch2loc.methods import thresh

ROLE = "addition"
ORDER = 70
SCORED_ONCE = thresh.SCORED_ONCE
STATE = thresh.STATE

fit = thresh.fit


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by the share of the brain that is brighter than a voxel."""
    bright = thresh.scorer(state, device, stride, precision)

    def score(volume: np.ndarray, mask: np.ndarray, region: np.ndarray) -> Maps:
        return {"score": 1 - bright(volume, mask, region)["score"]}

    return score
