"""Patch2Loc by a network that never pads inside a patch, not the paper's: a slice is one dense pass."""

from patch2loc.method_declaration import Declaration
from patch2loc.methods.patch2loc import METHOD as PATCH2LOC

METHOD = Declaration(
    role="variant",
    order=40,
    locates=True,
    calibrated=True,
    state=PATCH2LOC.state,
    optional_state=PATCH2LOC.optional_state,
)
