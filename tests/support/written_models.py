"""Models on disk."""

from patch2loc.models import save_model
from patch2loc.preprocess.atlas import common_grid

SHAPE, SPACING = (48, 48, 25), 4.0


def write_model(path, icbm152, **others):
    """Thresh, which has nothing to learn, on a coarse grid; the preprocessing that takes least time."""
    grid = common_grid(icbm152, SHAPE, SPACING)
    model = {
        "method": "thresh",
        "modality": "T1",
        "fold": 0,
        "atlas": "icbm152",
        "preprocess": {"registration": "affine", "bias_correction": False},
        "state": {},
        "landmarks": {"percentiles": [1, 50, 99], "standard_scale": [0.0, 60.0, 100.0]},
        "grid": {"shape": list(SHAPE), "spacing": SPACING, "affine": grid.affine.tolist()},
    }
    save_model(path, model | others)
    return path
