"""A control: the voxelwise z-score with its sign, darker than the training scans is abnormal.

A row of its own: the better of the two signs is never chosen on test scans.
"""

from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import Score, State
from patch2loc.methods import zscore

ROLE = "control"
ORDER = 210
STATE = zscore.STATE

fit = zscore.fit


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by how many standard deviations a voxel is darker than the mean of the training scans."""
    return zscore.signed_scorer(state, -1)
