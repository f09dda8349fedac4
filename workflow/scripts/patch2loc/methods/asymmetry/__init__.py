"""A control: the absolute difference of a voxel from its counterpart in the other hemisphere.

Scans are registered to the atlas, so that its midsagittal plane halves them.  Where the plane is, the grid does not
say (SRI24 has its origin at a corner): it is where the mean of the training scans is most like its mirror image.
"""

from patch2loc.method_declaration import Declaration

METHOD = Declaration(
    role="control",
    order=220,
    network=False,
    state={"plane": "number", "smoothing": "positive"},
)
