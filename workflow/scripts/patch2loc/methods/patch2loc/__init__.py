"""Patch2Loc (paper, section 2): a patch that is hard to place is abnormal."""

from patch2loc.method_declaration import Declaration

METHOD = Declaration(
    role="table1",
    order=10,
    locates=True,
    calibrated=True,
    state={"weights": "weights", "widths": "widths", "patch": "patch"},
    optional_state={
        "slice_code": "flag",  # these two are the paper's in models that do not say
        "heads": "text",
        "epsilon": "positive",  # of a checkpoint of the authors
    },
)
