"""Patch2Loc for other scanners, not the paper's: trained on levelled scans and patches of changed contrast."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from patch2loc.levelling import LevelledScans, levelled, mean_low_pass
from patch2loc.methods import Volumes, patch2loc
from patch2loc.patch_augmentation import change_patches
from patch2loc.sampling import PatchPool


def fit(
    training: Volumes, validation: Volumes, settings: dict, checkpoint: Path | None, device: str
) -> tuple[dict, pd.DataFrame]:
    """Train the location network on levelled scans; training patches are changed at random, validation's are not."""
    spacing = settings["spacing"]
    reference = mean_low_pass(training, spacing)
    scans = [LevelledScans(given, reference, spacing) for given in (training, validation)]
    pools = [
        PatchPool(given, settings["patch"], device, change)
        for given, change in zip(scans, (change_patches, None), strict=True)
    ]
    state, history = patch2loc.fit_network(*pools, settings, checkpoint)
    return state | {"reference": reference, "spacing": spacing}, history


def as_seen(state: dict, volume: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A standardised scan as the network sees it, (x, y, z) float32: levelled."""
    return levelled(volume, mask, state["reference"], state["spacing"])


def scorer(
    state: dict, device: str, stride: int = 1, precision: str = "float32"
) -> Callable[..., dict[str, np.ndarray]]:
    """Score levelled scans as Patch2Loc does."""
    score_seen = patch2loc.scorer(state, device, stride, precision)

    def score(volume: np.ndarray, mask: np.ndarray, wanted: np.ndarray) -> dict[str, np.ndarray]:
        return score_seen(as_seen(state, volume, mask), mask, wanted)

    return score
