"""A control: the z-score of the local texture with its sign, more texture than the training scans is abnormal.

A row of its own: the better of the two signs is never chosen on test scans.
"""

from patch2loc.method_declaration import Declaration
from patch2loc.methods.texture_z import METHOD as TEXTURE_Z

METHOD = Declaration(
    role="control",
    order=217,
    network=False,
    state=TEXTURE_Z.state,
)
