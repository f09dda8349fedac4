"""A control: a random score, which knows nothing.

What it reaches is what the lesions' share of the brain and the median filter give to any score.
"""

from patch2loc.method_declaration import Declaration

METHOD = Declaration(
    role="control",
    order=230,
    network=False,
    state={"seed": "seed"},
)
