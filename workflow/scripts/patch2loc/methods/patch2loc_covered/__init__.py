"""Patch2Loc on the middle of a patch, not the paper's: its score less that of the patch with its middle covered.

Surroundings that are hard to place by themselves, of another scanner or in a variable region, are in both scores.
"""

from patch2loc.method_declaration import Declaration
from patch2loc.methods.patch2loc_robust import METHOD as ROBUST

METHOD = Declaration(
    role="variant",
    order=58,
    locates=True,
    calibrated=True,
    own_settings=ROBUST.own_settings,
    choices=ROBUST.choices,
    state=ROBUST.state,
    optional_state=ROBUST.optional_state,
)
