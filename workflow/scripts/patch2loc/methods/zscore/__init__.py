"""A control: the absolute voxelwise z-score against the training scans in atlas space.

It sees intensity at a place and nothing of its surroundings: what it finds needs no network.
"""

from patch2loc.method_declaration import Declaration

METHOD = Declaration(
    role="control",
    order=190,
    network=False,
    state={"mean": "map", "spread": "spread"},
)
