"""The positive z-score of the local texture."""

import patch2loc.methods.texture_z.model as texture_z
from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import Score, State

fit = texture_z.fit


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by how many standard deviations the texture is stronger than the mean of the training scans."""
    return texture_z.signed_scorer(state, 1)
