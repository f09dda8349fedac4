"""Methods of lesion detection behind one interface: one module per method, its name in the config.

A module has
    fit(training, validation, settings, checkpoint, device) -> (state, history)
        training, validation: (volume (x, y, z) float32 standardised, mask (x, y, z) boolean) of one scan after
        another; they have a length and are read from disk anew each time they are gone through.
        settings: the configuration as a plain dictionary.  checkpoint: file to go on from, or None.
        state: arrays and plain values, all that scoring needs.  history: a table, or None without training.
    scorer(state, device, stride, precision) -> score(volume, mask, wanted) -> maps
        device: "cpu" or "cuda".  stride: voxels between scored places in a slice, for methods that can skip some.
        precision: "float32" or "bfloat16", for methods with a network.
        volume, mask: a standardised scan.  wanted: (x, y, z) boolean, the voxels to score.
        maps: {"score": (x, y, z) float32, NaN where not wanted, higher is more abnormal, ...}.
"""

from collections.abc import Collection
from importlib import import_module
from types import ModuleType

import numpy as np

Volumes = Collection[tuple[np.ndarray, np.ndarray]]  # training and validation above
METHODS = ("patch2loc", "thresh", "zscore")
NETWORKS = ("patch2loc",)  # methods that run a network: on a GPU where there is one


def method(name: str) -> ModuleType:
    """The module of a method; ValueError for a name that is not in METHODS."""
    if name not in METHODS:
        raise ValueError(f"method {name!r} is unknown; expected one of {', '.join(METHODS)}")
    return import_module(f"patch2loc.methods.{name}")
