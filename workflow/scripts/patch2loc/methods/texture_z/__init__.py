"""A control: the absolute z-score of the local texture against the training scans in atlas space.

The texture at a voxel is the standard deviation of the intensities around it. The score sees no location but that of
the atlas: what it finds needs no network.
"""

from patch2loc.method_declaration import Declaration
from patch2loc.methods.zscore import METHOD as ZSCORE

METHOD = Declaration(
    role="control",
    order=212,
    network=False,
    state={**(ZSCORE.state or {}), "window": "positive"},
)
