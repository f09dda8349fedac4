"""SVAE (Behrendt et al. 2022), re-designed after its abstract: a VAE of slices whose codes see each other.

No code of the authors is public, and the abstract says no more than this: slice-wise variational autoencoder,
self-attention between the slices of a scan, about as many parameters as without.
"""

from patch2loc.method_declaration import Declaration
from patch2loc.methods.ae import METHOD as AE

PAPER = {
    "steps": 10000,
    "batch": 8,
    "learning_rate": 1e-4,
    "widths": [32, 64, 128, 128],
    "latent": 128,
    "layers": 2,
    "heads": 4,
    "feedforward": 256,
    "dropout": 0.1,
    "beta": 1.0,
    "validations": 50,
    "validation_slices": 2000,
}

METHOD = Declaration(
    role="table1",
    order=100,
    redesigned=True,  # after its abstract: no code of the authors is public
    as_published=AE.as_published,
    settings={
        "smoke": PAPER
        | {"steps": 240, "batch": 1, "learning_rate": 3e-3, "widths": [8, 16, 32, 32], "latent": 64}
        | {"feedforward": 128, "validations": 6, "validation_slices": 100},
        "short": PAPER
        | {"steps": 500, "batch": 1, "learning_rate": 5e-4, "validations": 10, "validation_slices": 500},
        "paper": PAPER,
    },
    state=AE.state,
)
