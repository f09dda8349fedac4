"""Training on leveled scans and changed patches, and the score of leveled scans."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

import patch2loc.methods.patch2loc.model as patch2loc
from patch2loc.engine.choices import Device, Precision
from patch2loc.method_interface import Maps, MethodSettings, Score, State, Volumes
from patch2loc.network.leveling import LeveledScans, leveled, mean_low_pass
from patch2loc.network.location import PatchNetwork
from patch2loc.network.patch_augmentation import change_patches, margin
from patch2loc.network.sampling import PatchPool
from patch2loc.network.training import Settings, paper_network

# Of patches, (n, 1, p, p), by random numbers of a generator.
Change = Callable[[Tensor, torch.Generator], Tensor]

predictor = patch2loc.predictor


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, pd.DataFrame]:
    """Train the location network on leveled scans; training patches are changed at random, validation's are not.

    Args:
        training: As of a method.
        validation: As of a method.
        settings: leveled, True to level the scans; changes, those of `patch_augmentation` that training patches
            go through; and those of Patch2Loc.
        checkpoint: As of a method.
        device: As of a method.
    """
    return fit_robust(training, validation, settings=settings, checkpoint=checkpoint, device=device)


def fit_robust(
    training: Volumes,
    validation: Volumes,
    *,
    settings: MethodSettings,
    checkpoint: Path | None,
    device: Device,
    build: Callable[[Settings], PatchNetwork] = paper_network,
    cover: Change | None = None,
) -> tuple[State, pd.DataFrame]:
    """Like `fit`, for any location network.

    Args:
        training: As of `fit`.
        validation: As of `fit`.
        settings: As of `fit`.
        checkpoint: As of `fit`.
        device: As of `fit`.
        build: Makes the network.
        cover: As of `fit_changed`.
    """
    leveling = leveling_of(training, settings)
    state, history = fit_changed(
        leveled_scans(training, leveling),
        leveled_scans(validation, leveling),
        settings,
        checkpoint,
        device=device,
        build=build,
        cover=cover,
    )
    return state | leveling, history


def leveling_of(training: Volumes, settings: MethodSettings) -> State:
    """Values of a state that scans are leveled by: reference and spacing; none where the settings level no scans."""
    if not settings["leveled"]:
        return {}
    spacing = settings["spacing"]
    return {"reference": mean_low_pass(training, spacing), "spacing": spacing}


def leveled_scans(scans: Volumes, leveling: State) -> Volumes:
    """Scans as the network sees them.  leveling: from `leveling_of`."""
    # Leveled anew whenever they are read: kept, they would fill the memory.
    return LeveledScans(scans, **leveling) if leveling else scans


def fit_changed(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
    build: Callable[[Settings], PatchNetwork] = paper_network,
    cover: Change | None = None,
) -> tuple[State, pd.DataFrame]:
    """Train a location network on changed patches of scans as it sees them.

    Args:
        training: Scans from `leveled_scans`.
        validation: Scans from `leveled_scans`.
        settings: As of `fit`.
        checkpoint: As of `fit`.
        device: As of `fit`.
        build: Makes the network.
        cover: A last change, which validation patches go through, too.
    """
    changes, patch = settings["changes"], settings["patch"]
    change = partial(change_patches, changes=changes, patch=patch) if changes else None
    return patch2loc.fit_network(
        PatchPool(training, patch, device, change=_in_turn(change, cover), margin=margin(changes, patch)),
        PatchPool(validation, patch, device, change=cover),
        settings={key: value for key, value in settings.items() if key not in ("leveled", "changes")},
        checkpoint=checkpoint,
        build=build,
    )


def _in_turn(first: Change | None, second: Change | None) -> Change | None:
    """Two changes of patches as one; None leaves them as they are."""
    if first is None or second is None:
        return first or second
    return lambda patches, generator: second(first(patches, generator), generator)


def network_input(state: State, volume: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A standardized scan as the network sees it, (x, y, z) float32: leveled, if those of the training were."""
    if "reference" not in state:
        return volume
    return leveled(volume, mask, state["reference"], state["spacing"])


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score scans as the network sees them, as Patch2Loc does."""
    return with_network_input(patch2loc.scorer(state, device, stride, precision), state)


def with_network_input(score_input: Score, state: State) -> Score:
    """A score of standardized scans, from one of scans as the network sees them."""

    def score(volume: np.ndarray, mask: np.ndarray, region: np.ndarray) -> Maps:
        return score_input(network_input(state, volume, mask), mask, region)

    return score
