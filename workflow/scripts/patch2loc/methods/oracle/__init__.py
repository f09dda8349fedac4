"""A control that is given the truth: the share of lesion in the patch around a voxel.

How far below 1 it stays is what patches and the median filter cost.  It is never a competitor.
"""

from patch2loc.method_declaration import Declaration

METHOD = Declaration(
    role="control",
    order=240,
    network=False,
    scored_once=True,
    needs_lesion=True,
    state={"patch": "patch"},
)
