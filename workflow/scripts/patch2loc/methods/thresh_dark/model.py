"""The score of Thresh, its sign turned."""

import numpy as np

import patch2loc.methods.thresh.model as thresh
from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import Maps, Score, State

fit = thresh.fit


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by the share of the brain that is brighter than a voxel."""
    bright = thresh.scorer(state, device, stride, precision)

    def score(volume: np.ndarray, mask: np.ndarray, region: np.ndarray) -> Maps:
        return {"score": 1 - bright(volume, mask, region)["score"]}

    return score
