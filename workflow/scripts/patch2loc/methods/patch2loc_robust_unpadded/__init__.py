"""Patch2Loc for other scanners by the network of patch2loc_unpadded, not the paper's."""

from patch2loc.method_declaration import Declaration
from patch2loc.methods.patch2loc_robust import METHOD as ROBUST

METHOD = Declaration(
    role="variant",
    order=50,
    locates=True,
    calibrated=True,
    own_settings=ROBUST.own_settings,
    choices=ROBUST.choices,
    state=ROBUST.state,
    optional_state=ROBUST.optional_state,
)
