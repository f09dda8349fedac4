"""Thresh with the sign turned: dark voxels are abnormal, as most lesions are in T1.

A row of its own: the better of the two signs is never chosen on test scans.
"""

from collections.abc import Callable

import numpy as np

from patch2loc.methods import thresh

ROLE = "addition"
ORDER = 70

fit = thresh.fit


def scorer(
    state: dict, device: str, stride: int = 1, precision: str = "float32"
) -> Callable[..., dict[str, np.ndarray]]:
    """Score by the share of the brain that is brighter than a voxel."""
    bright = thresh.scorer(state, device, stride, precision)

    def score(volume: np.ndarray, mask: np.ndarray, wanted: np.ndarray) -> dict[str, np.ndarray]:
        return {"score": 1 - bright(volume, mask, wanted)["score"]}

    return score
