"""A control: the voxelwise z-score with its sign, darker than the training scans is abnormal.

A row of its own: the better of the two signs is never chosen on test scans.
"""

from patch2loc.method_declaration import Declaration
from patch2loc.methods.zscore import METHOD as ZSCORE

METHOD = Declaration(
    role="control",
    order=210,
    network=False,
    state=ZSCORE.state,
)
