"""A method that is added to a copy of the library: two files in one folder."""

DECLARATION = '''
"""Toy: a score that every method beats."""

from patch2loc.method_declaration import Declaration

METHOD = Declaration(
    title="Toy",
    role="control",
    network=False,
    calibrated=True,
    as_published={"erosion": 3, "median": 5},
    settings={"smoke": {"power": 1.0}, "short": {"power": 1.0}, "paper": {"power": 2.0}},
)
'''
CODE = '''
"""The score of the toy."""

import numpy as np


def fit(training, validation, settings, checkpoint, device):
    return {"power": settings["power"]}, None


def scorer(state, device, stride=1, precision="float32"):
    def score(volume, mask, region):
        return {"score": np.where(region, volume ** state["power"], np.nan).astype(np.float32)}

    return score
'''


def write_toy(library):
    """Add the method `toy` to a copy of the library; returns the files that this takes."""
    folder = library / "methods/toy"
    folder.mkdir()
    files = {folder / "__init__.py": DECLARATION, folder / "model.py": CODE}
    for path, text in files.items():
        path.write_text(text)
    return set(files)
