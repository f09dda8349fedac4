"""DDPM (Wyatt et al. 2022, as in Behrendt et al. 2024): what one step of denoising does not give back is abnormal."""

from patch2loc.method_declaration import Declaration

PAPER = {
    "widths": [128, 256, 256],
    "blocks": 3,
    "noise_fields": 64,
    "steps": 19200,
    "batch": 32,
    "learning_rate": 1e-4,
    "validations": 40,
    "validation_slices": 256,
}

METHOD = Declaration(
    role="table1",
    order=160,
    as_published={"erosion": 3, "median": 5},
    settings={
        "smoke": PAPER
        | {
            "widths": [8, 16, 32],
            "blocks": 1,
            "noise_fields": 4,
            "steps": 200,
            "batch": 4,
            "learning_rate": 3e-3,
            "validations": 5,
            "validation_slices": 16,
        },
        "short": PAPER | {"steps": 4800, "validations": 20},
        "paper": PAPER,
    },
    state={"weights": "weights", "network": "dictionary", "spacing": "spacing", "noise": "array"},
)
