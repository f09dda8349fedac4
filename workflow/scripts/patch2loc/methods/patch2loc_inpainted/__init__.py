"""Patch2Loc as the first stage of an inpainter: what its heatmap marks is painted anew; what that changes is abnormal.

The pseudo-healthy idea of phanes (Bercea et al. 2023), with Patch2Loc's heatmap in the place of a reconstruction.
"""

from patch2loc.method_declaration import Declaration

PAPER = {
    "steps": 72000,
    "batch": 8,
    "learning_rate": 5e-5,
    "widths": [64, 128, 256],
    "blocks": 8,
    "validations": 60,
    "validation_slices": 512,
}

METHOD = Declaration(
    order=155,
    settings={
        "smoke": PAPER
        | {"steps": 120, "batch": 4, "learning_rate": 1e-3, "widths": [8, 16, 32], "blocks": 4}
        | {"validations": 5, "validation_slices": 64},
        "short": PAPER | {"steps": 18000, "validations": 20},
        "paper": PAPER,
    },
    needs=("patch2loc",),
    state={
        "weights": "weights",
        "network": "dictionary",
        "threshold": "number",
        "patch2loc": "dictionary",
        "spacing": "spacing",
    },
)
