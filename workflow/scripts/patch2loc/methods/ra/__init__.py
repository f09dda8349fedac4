"""RA (Bercea et al. 2023): reversed autoencoders; what they do not reconstruct, and networks see, is abnormal."""

from patch2loc.method_declaration import Declaration

PAPER = {
    "steps": 72000,
    "batch": 8,
    "learning_rate": 5e-5,
    "widths": [64, 128, 256, 512, 512],
    "latent": 128,
    "validations": 60,
    "validation_slices": 512,
}

METHOD = Declaration(
    role="table1",
    order=140,
    as_published={"erosion": 0, "median": 1},  # the authors' score, as it is
    settings={
        "smoke": PAPER
        | {"steps": 240, "batch": 4, "learning_rate": 1e-3, "widths": [8, 16, 32, 64, 64], "latent": 64}
        | {"validations": 5, "validation_slices": 64},
        "short": PAPER | {"steps": 18000, "validations": 20},
        "paper": PAPER,
    },
    pretrained=("squeezenet1_1_imagenet", "lpips_squeezenet"),
    state={"weights": "weights", "network": "dictionary", "spacing": "spacing"},
    optional_state={"perception": "weights"},
)
