"""DAE (Kascenas et al. 2022): a U-Net that takes coarse noise off; what it changes without noise is abnormal."""

from patch2loc.method_declaration import Declaration

PAPER = {
    "steps": 67200,
    "batch": 16,
    "learning_rate": 1e-4,
    "half_period": 3200,  # steps from the highest learning rate to 0; then up again
    "widths": [64, 128, 256, 512],
    "validations": 60,
    "validation_slices": 512,
}

METHOD = Declaration(
    role="table1",
    order=110,
    as_published={"erosion": 3, "median": 5},
    settings={
        "smoke": PAPER
        | {"steps": 256, "batch": 8, "learning_rate": 1e-3, "half_period": 256, "widths": [8, 16, 32, 64]}
        | {"validations": 5, "validation_slices": 64},
        "short": PAPER | {"steps": 16000, "validations": 20},
        "paper": PAPER,
    },
    state={"weights": "weights", "widths": "widths", "spacing": "spacing"},
)
