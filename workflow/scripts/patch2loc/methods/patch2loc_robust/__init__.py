"""Patch2Loc for other scanners, not the paper's: trained on leveled scans and patches that are changed at random."""

from patch2loc.method_declaration import Declaration
from patch2loc.methods.patch2loc import METHOD as PATCH2LOC

METHOD = Declaration(
    role="variant",
    order=20,
    locates=True,
    calibrated=True,
    own_settings={"leveled": True, "changes": ["contrast", "edge"]},  # without either it is Patch2Loc
    choices={"changes": ("pose", "contrast", "edge")},  # `network.patch_augmentation` makes them, in turn
    state=PATCH2LOC.state,
    optional_state={
        **PATCH2LOC.optional_state,
        "reference": "map",
        "spacing": "spacing",
    },  # the last two of leveling
)
