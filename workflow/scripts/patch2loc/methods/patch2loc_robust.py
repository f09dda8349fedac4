"""Patch2Loc for other scanners, not the paper's: trained on leveled scans and patches that are changed at random."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from patch2loc.errors import InputError
from patch2loc.method_interface import Volumes
from patch2loc.methods import patch2loc
from patch2loc.network.leveling import LeveledScans, leveled, mean_low_pass
from patch2loc.network.location import PatchNetwork
from patch2loc.network.patch_augmentation import CHANGES, change_patches, margin
from patch2loc.network.sampling import PatchPool
from patch2loc.network.training import Settings, paper_network

ROLE = "variant"
ORDER = 20
LOCATES = True
NETWORK = True
CALIBRATED = True
OWN_SETTINGS = {"leveled": True, "changes": ["contrast", "edge"]}  # without either it is Patch2Loc
CHOICES = {"changes": CHANGES}

predictor = patch2loc.predictor


def fit(
    training: Volumes, validation: Volumes, settings: dict, checkpoint: Path | None, device: str
) -> tuple[dict, pd.DataFrame]:
    """Train the location network on leveled scans; training patches are changed at random, validation's are not.

    settings: leveled, whether scans are; changes, which of `patch_augmentation.CHANGES` training patches go through;
    and those of Patch2Loc.  Raises InputError for changes that there are not.
    """
    return fit_robust("patch2loc_robust", training, validation, settings, checkpoint, device)


def fit_robust(
    name: str,
    training: Volumes,
    validation: Volumes,
    settings: dict,
    checkpoint: Path | None,
    device: str,
    build: Callable[[Settings], PatchNetwork] = paper_network,
) -> tuple[dict, pd.DataFrame]:
    """As `fit`, any location network.  name: of the method, for errors.  build: as of `train.train`."""
    changes, patch = settings["changes"], settings["patch"]
    if not isinstance(changes, (list, tuple)) or not all(change in CHANGES for change in changes):
        raise InputError(
            f"method_settings.{name}.changes: {changes} found, a list of some of {', '.join(CHANGES)} expected, [] for "
            "none; correct it"
        )
    spacing, scans, kept = settings["spacing"], (training, validation), {}
    if settings["leveled"]:
        # The training scans are read twice, for the mean and for the patches: kept, they would fill the memory.
        kept = {"reference": mean_low_pass(training, spacing), "spacing": spacing}
        scans = [LeveledScans(given, **kept) for given in scans]
    change = partial(change_patches, changes=changes, patch=patch) if changes else None
    pools = [
        PatchPool(scans[0], patch, device, change=change, margin=margin(changes, patch)),
        PatchPool(scans[1], patch, device),
    ]
    state, history = patch2loc.fit_network(*pools, settings, checkpoint, build)
    return state | kept, history


def network_input(state: dict, volume: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A standardized scan as the network sees it, (x, y, z) float32: leveled, if those of the training were."""
    if "reference" not in state:
        return volume
    return leveled(volume, mask, state["reference"], state["spacing"])


def scorer(
    state: dict, device: str, stride: int = 1, precision: str = "float32"
) -> Callable[..., dict[str, np.ndarray]]:
    """Score scans as the network sees them, as Patch2Loc does."""
    return scoring_seen(patch2loc.scorer(state, device, stride, precision), state)


def scoring_seen(
    score_seen: Callable[..., dict[str, np.ndarray]], state: dict
) -> Callable[..., dict[str, np.ndarray]]:
    """A function as `scorer` returns, from one that takes scans as the network sees them."""

    def score(volume: np.ndarray, mask: np.ndarray, wanted: np.ndarray) -> dict[str, np.ndarray]:
        return score_seen(network_input(state, volume, mask), mask, wanted)

    return score
