"""Patch2Loc at several patch sizes for other scanners, not the paper's: the mean of patch2loc_robust_unpadded's scores.

Each size has a network of its own; the scans of all are leveled to the same reference.
"""

from patch2loc.method_declaration import Declaration
from patch2loc.methods.patch2loc_multiscale import METHOD as MULTISCALE
from patch2loc.methods.patch2loc_robust import METHOD as ROBUST

METHOD = Declaration(
    role="variant",
    order=56,
    locates=True,
    calibrated=True,
    own_settings={**MULTISCALE.own_settings, **ROBUST.own_settings},
    choices=ROBUST.choices,
    state=MULTISCALE.state,
    optional_state={"reference": "map", "spacing": "spacing"},  # of leveling, for all networks
)
