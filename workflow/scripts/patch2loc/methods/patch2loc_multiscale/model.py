"""Training of a network for each patch size, and the mean of their scores."""

import math
from collections.abc import Callable, Sequence
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import patch2loc.methods.patch2loc.model as patch2loc
from patch2loc.engine.choices import Device, Precision
from patch2loc.errors import InputError
from patch2loc.method_interface import Maps, MethodSettings, Predictor, Score, State, Volumes

SMALLEST = 8  # voxels, as of the configuration's `patch`

network_input = patch2loc.network_input


def patch_sizes(patch: int, sizes: Sequence[float], name: str = "patch2loc_multiscale") -> list[int]:
    """Widths of the patches in voxels: the nearest even numbers to sizes * patch, of two the greater.

    name: of the method, for errors.

    Raises:
        InputError: Unless these are different widths of 8 voxels at least.
    """
    try:
        widths = [2 * math.floor(patch * share / 2 + 0.5) for share in sizes]
    except (TypeError, ValueError, OverflowError):
        widths = []
    if not widths or min(widths) < SMALLEST or len(set(widths)) < len(widths):
        meaning = f", which are {', '.join(map(str, widths))} voxels at patch {patch}," if widths else ""
        raise InputError(
            f"method_settings.{name}.sizes: {sizes}{meaning} found, a list of shares of `patch` expected "
            f"that make different widths of {SMALLEST} voxels at least; change sizes or patch"
        )
    return widths


def network_settings(settings: MethodSettings, name: str = "patch2loc_multiscale") -> list[dict[str, Any]]:
    """Settings that each network is trained by: a width, a share of the budget and a seed of its own.

    settings: as of `fit`.  `patches` and `validations` are shared out equally, each share rounded up.
    name: of the method, for errors.
    """
    widths = patch_sizes(settings["patch"], settings["sizes"], name)
    shares = {shared: math.ceil(settings[shared] / len(widths)) for shared in ("patches", "validations")}
    seeds = [np.random.SeedSequence((settings["seed"], number)) for number in range(len(widths))]
    common = {key: value for key, value in settings.items() if key != "sizes"}
    return [
        common | shares | {"patch": width, "seed": int(seed.generate_state(1)[0])}
        for width, seed in zip(widths, seeds, strict=True)
    ]


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, pd.DataFrame]:
    """Train the location networks as `fit_networks` does."""
    networks, history = fit_networks(
        training, validation, network_settings(settings), checkpoint, device=device
    )
    return {"networks": networks, "patch": settings["patch"]}, history


def fit_networks(
    training: Volumes,
    validation: Volumes,
    settings_of_networks: Sequence[MethodSettings],
    checkpoint: Path | None,
    *,
    device: Device,
    fit_one: Callable[..., tuple[State, pd.DataFrame]] = patch2loc.fit,
) -> tuple[dict[str, State], pd.DataFrame]:
    """Train location networks one after the other, each with a checkpoint of its own beside the given path.

    The scans are read for each network, so that the patches of one alone are in memory.  A training that goes on
    finds the networks that are done in their last checkpoints.  The history has a column patch (voxels); its steps
    and patches count on from one network to the next.

    Args:
        training: As of a method.
        validation: As of a method.
        settings_of_networks: From `network_settings`.
        checkpoint: As of a method.
        device: As of a method.
        fit_one: Trains a network, with the arguments of a method's `fit`.

    Returns:
        States of the networks by width, {"patch12": ...}, and history.
    """
    checkpoints = [
        checkpoint and checkpoint.with_name(f"patch{each['patch']}-{checkpoint.name}")
        for each in settings_of_networks
    ]
    if checkpoint:
        # The tables and pictures of the networks (`watching.record`) are written again as each goes on.
        of_networks = (
            path for kind in ("checkpoint", "progress") for path in checkpoint.parent.glob(f"patch*-{kind}*")
        )
        for stale in set(of_networks) - set(checkpoints):
            stale.unlink()
    networks, histories, done = {}, [], {"step": 0, "patches": 0}
    for number, (each, its_checkpoint) in enumerate(
        zip(settings_of_networks, checkpoints, strict=True), start=1
    ):
        print(f"network {number} of {len(checkpoints)}: patches of {each['patch']} voxels")
        state, history = fit_one(training, validation, each, its_checkpoint, device=device)
        networks[f"patch{each['patch']}"] = state
        for name, before in done.items():
            history[name] += before
            done[name] = int(history[name].iloc[-1])
        histories.append(history.assign(patch=each["patch"]))
    return networks, pd.concat(histories, ignore_index=True)


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by the mean of the networks' maps: of scores, log-errors and log-variances (paper, equation 5)."""
    return mean_score([patch2loc.scorer(network, device, stride, precision) for network in by_width(state)])


def mean_score(scores: Sequence[Score]) -> Score:
    """A score whose maps are the means of those of several."""

    def score(volume: np.ndarray, mask: np.ndarray, region: np.ndarray) -> Maps:
        maps = [score_one(volume, mask, region) for score_one in scores]
        return {name: reduce(add, (each[name] for each in maps)) / len(maps) for name in maps[0]}

    return score


def predictor(state: State, device: Device, precision: Precision = "float32") -> Predictor:
    """For the patch analysis: the mean over the networks of the predicted means, and of the log-variances."""
    return mean_predictor([patch2loc.predictor(network, device, precision) for network in by_width(state)])


def mean_predictor(predictors: Sequence[Predictor]) -> Predictor:
    """A predictor of the mean of several's predicted means, and of their log-variances."""

    def predict(volume: np.ndarray, voxels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        means, log_variances = zip(*(predict_one(volume, voxels) for predict_one in predictors), strict=True)
        return np.mean(means, axis=0), np.mean(log_variances, axis=0)

    return predict


def by_width(state: State) -> list[State]:
    """States of the networks, narrowest patch first: a model's file has them in another order."""
    epsilon = {"epsilon": state["epsilon"]} if "epsilon" in state else {}
    networks = sorted(state["networks"].values(), key=lambda network: network["patch"])
    return [network | epsilon for network in networks]
