"""A control: the z-score of the local texture with its sign, more texture than the training scans is abnormal.

A row of its own: the better of the two signs is never chosen on test scans.
"""

from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import Score, State
from patch2loc.methods import texture_z

ROLE = "control"
ORDER = 217
STATE = texture_z.STATE

fit = texture_z.fit


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by how many standard deviations the texture is stronger than the mean of the training scans."""
    return texture_z.signed_scorer(state, 1)
