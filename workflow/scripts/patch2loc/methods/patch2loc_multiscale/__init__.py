"""Patch2Loc at several patch sizes, not the paper's: one network for each, and the score is the mean of their scores.

A lesion fills more of a small patch; a large one shows more of what tells where it is.
"""

from patch2loc.method_declaration import Declaration

METHOD = Declaration(
    role="variant",
    order=30,
    locates=True,
    calibrated=True,
    own_settings={
        "sizes": [2 / 3, 1, 4 / 3]
    },  # widths of the patches as shares of the configuration's `patch`
    state={"networks": "dictionary", "patch": "patch"},
)
