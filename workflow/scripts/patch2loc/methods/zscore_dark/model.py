"""The negative z-score."""

import patch2loc.methods.zscore.model as zscore
from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import Score, State

fit = zscore.fit


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by how many standard deviations a voxel is darker than the mean of the training scans."""
    return zscore.signed_scorer(state, -1)
