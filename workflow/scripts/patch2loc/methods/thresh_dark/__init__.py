"""Thresh with the sign turned: dark voxels are abnormal, as most lesions are in T1.

A row of its own: the better of the two signs is never chosen on test scans.
"""

from patch2loc.method_declaration import Declaration
from patch2loc.methods.thresh import METHOD as THRESH

METHOD = Declaration(
    order=70,
    network=False,
    scored_once=THRESH.scored_once,
    state=THRESH.state,
)
