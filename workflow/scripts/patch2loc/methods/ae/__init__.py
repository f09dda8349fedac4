"""AE (Baur et al. 2021): a dense autoencoder of axial slices; what it does not reconstruct is abnormal."""

from patch2loc.method_declaration import Declaration

PAPER = {
    "steps": 19200,
    "batch": 32,
    "learning_rate": 1e-4,
    "widths": [32, 64, 128, 128],
    "latent": 128,
    "dropout": 0.2,
    "validations": 60,
    "validation_slices": 512,
}

METHOD = Declaration(
    role="table1",
    order=80,
    as_published={"erosion": 3, "median": 5},
    settings={
        "smoke": PAPER
        | {"steps": 400, "batch": 16, "learning_rate": 1e-3, "widths": [16, 32, 64, 64], "latent": 64}
        | {"validations": 8, "validation_slices": 64},
        "short": PAPER | {"steps": 2400, "batch": 16, "learning_rate": 1e-3, "validations": 20},
        "paper": PAPER,
    },
    state={"weights": "weights", "network": "dictionary", "spacing": "spacing"},
)
