"""A control: the voxelwise z-score with its sign, darker than the training scans is abnormal.

A row of its own: the better of the two signs is never chosen on test scans.
"""

from collections.abc import Callable

import numpy as np

from patch2loc.methods import zscore

ROLE = "control"
ORDER = 210

fit = zscore.fit


def scorer(
    state: dict, device: str, stride: int = 1, precision: str = "float32"
) -> Callable[..., dict[str, np.ndarray]]:
    """Score by how many standard deviations a voxel is darker than the mean of the training scans."""
    return zscore.signed_scorer(state, -1)
