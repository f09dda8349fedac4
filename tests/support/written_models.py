"""Models on disk, and complete ones for tests that are about a few of their keys."""

from patch2loc.models import save_model, sealed
from patch2loc.preprocess.atlas import common_grid

SHAPE, SPACING = (48, 48, 25), 4.0


def complete_model(**others):
    """A model of thresh, which has nothing to learn, on a tiny grid, with all that a model has to hold."""
    shape, spacing = others.pop("shape", [24, 20, 6]), 2.0
    model = {
        "method": "thresh",
        "modality": "T1",
        "fold": 0,
        "atlas": "icbm152",
        "preprocess": {"registration": "affine", "bias_correction": False},
        "state": {},
        "landmarks": {"percentiles": [1, 50, 99], "standard_scale": [0.0, 60.0, 100.0]},
        "grid": {
            "shape": list(shape),
            "spacing": spacing,
            "affine": [[spacing, 0, 0, 0], [0, spacing, 0, 0], [0, 0, spacing, 0], [0, 0, 0, 1]],
        },
        "training_subjects": ["s0"],
        "validation_subjects": ["s1"],
        "provenance": {},
    }
    return model | others


def write_model(path, icbm152, **others):
    """Thresh on a coarse grid of the atlas; the preprocessing that takes least time."""
    grid = common_grid(icbm152, SHAPE, SPACING)
    on_atlas = {"shape": list(SHAPE), "spacing": SPACING, "affine": grid.affine.tolist()}
    save_model(path, sealed(complete_model(**({"grid": on_atlas} | others))))
    return path
