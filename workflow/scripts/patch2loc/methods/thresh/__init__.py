"""Thresh (Meissen et al. 2022): bright voxels are abnormal.

The score is the empirical distribution function of the brain's intensities.  Built for hyper-intense lesions, it
says the opposite where lesions are dark (T1), as in the paper's Table 1.
"""

from patch2loc.method_declaration import Declaration

METHOD = Declaration(
    role="table1",
    order=60,
    network=False,
    scored_once=True,  # a rank, which the landmarks' increasing map leaves as it is
    as_published={"erosion": 3, "median": 5},  # the printed row's, as of the other rows of Behrendt et al.
    state={},
)
