"""What a network predicts for non-overlapping patches, while their scan is scored, for the patch analysis."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from patch2loc.data.vocabulary import Tiles
from patch2loc.engine.choices import Device, Precision
from patch2loc.heatmap import abnormality, true_location
from patch2loc.method_interface import LocatingMethod, Predictor
from patch2loc.models import Model, from_state
from patch2loc.network import patches

# From a standardized scan (x, y, z) and its mask to a table as of `predicted_patches`.
PredictPatches = Callable[[np.ndarray, np.ndarray], pd.DataFrame]


def patch_predictions_with(
    model: Model, device: Device, precision: Precision, name: str | Path = "model", *, tiles: Tiles = "whole"
) -> PredictPatches:
    """Make a model of a run, whose axes are RAS, of a method that predicts locations ready to predict patches.

    Arguments as of `scoring.heatmap_of`; tiles: see `predicted_patches`.
    """
    state = model["state"]

    def ready(module: Any) -> tuple[LocatingMethod, Predictor]:
        return module, module.predictor(state, device, precision)

    module, predict = from_state(model, name, ready)

    def predict_patches(standardized: np.ndarray, mask: np.ndarray) -> pd.DataFrame:
        volume = module.network_input(state, standardized, mask)
        return predicted_patches(volume, mask, state["patch"], predict, tiles=tiles)

    return predict_patches


def predicted_patches(
    volume: np.ndarray, mask: np.ndarray, patch: int, predict: Predictor, *, tiles: Tiles = "whole"
) -> pd.DataFrame:
    """One row per non-overlapping patch with at least 20 % of brain, in all slices of a scan.

    Args:
        volume: (x, y, z) float32, as the network takes it.
        mask: (x, y, z) boolean, the brain.
        patch: width of a patch, voxels.
        predict: predictions of the network at voxels.
        tiles: whole: the first patch begins at the edge of the grid; from-edge: it is centered there, half outside, as
            in the paper's released code.

    Returns:
        Columns x, y, z (voxel of the center), patch, brain_fraction, mean_x, mean_y (percent), log_variance_x,
        log_variance_y, location_error (Euclidean, percent), log_error, log_variance, score.
    """
    masks = torch.from_numpy(mask).permute(2, 0, 1)
    centers = torch.zeros_like(masks)
    first = patch // 2 if tiles == "whole" else 0
    centers[:, first::patch, first::patch] = True
    if tiles == "whole":  # the last center must have p/2 voxels after it
        centers[:, mask.shape[0] - patch // 2 + 1 :] = False
        centers[:, :, mask.shape[1] - patch // 2 + 1 :] = False
    z, x, y = torch.nonzero(centers & patches.accepted(masks, patch), as_tuple=True)
    voxels = torch.stack([x, y, z], dim=1).numpy()
    mean, log_variance = predict(volume, voxels)
    return pd.DataFrame(
        {
            "x": voxels[:, 0],
            "y": voxels[:, 1],
            "z": voxels[:, 2],
            "patch": patch,
            "brain_fraction": patches.share(masks, patch)[z, x, y].numpy(),
            "mean_x": mean[:, 0],
            "mean_y": mean[:, 1],
            "log_variance_x": log_variance[:, 0],
            "log_variance_y": log_variance[:, 1],
            "location_error": np.linalg.norm(mean - true_location(voxels, volume.shape), axis=1),
            **abnormality(mean, log_variance, voxels, volume.shape),
        }
    )
