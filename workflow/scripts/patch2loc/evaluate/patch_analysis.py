"""Patch analysis: predictions for non-overlapping patches and how much lesion each holds (paper, section 5.2)."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from patch2loc.data.scans import Scan
from patch2loc.data.volumes import read_mask
from patch2loc.heatmap import abnormality, true_location
from patch2loc.method_interface import method
from patch2loc.network import patches
from patch2loc.standardize import read_standardized

# From a scan as a method sees it, (x, y, z), and voxels (n, 3) to mean and log-variance of their predicted locations,
# (n, 2) each, percent and log percent squared.
Predictor = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def patch_table(
    volume: np.ndarray,
    mask: np.ndarray,
    lesion: np.ndarray,
    patch: int,
    predicted: Predictor,
) -> pd.DataFrame:
    """One row per non-overlapping patch with at least 20 % of brain, in all slices.

    volume: (x, y, z) float32, as the method sees it.  mask, lesion: (x, y, z) boolean.  patch: voxels.
    Columns: x, y, z (voxel of the center), brain_fraction, lesion_fraction, mean_x, mean_y (percent),
    log_variance_x, log_variance_y, location_error (Euclidean, percent), log_error, log_variance, score.
    """
    masks, lesions = (torch.from_numpy(part).permute(2, 0, 1) for part in (mask, lesion))
    centers = torch.zeros_like(masks)
    centers[:, patch // 2 :: patch, patch // 2 :: patch] = True
    # Only whole patches tile the slice: the last center must have p/2 voxels after it.
    centers[:, mask.shape[0] - patch // 2 + 1 :] = False
    centers[:, :, mask.shape[1] - patch // 2 + 1 :] = False
    z, x, y = torch.nonzero(centers & patches.accepted(masks, patch), as_tuple=True)
    voxels = torch.stack([x, y, z], dim=1).numpy()
    mean, log_variance = predicted(volume, voxels)
    return pd.DataFrame(
        {
            "x": voxels[:, 0],
            "y": voxels[:, 1],
            "z": voxels[:, 2],
            "brain_fraction": patches.share(masks, patch)[z, x, y].numpy(),
            "lesion_fraction": patches.share(lesions, patch)[z, x, y].numpy(),
            "mean_x": mean[:, 0],
            "mean_y": mean[:, 1],
            "log_variance_x": log_variance[:, 0],
            "log_variance_y": log_variance[:, 1],
            "location_error": np.linalg.norm(mean - true_location(voxels, volume.shape), axis=1),
            **abnormality(mean, log_variance, voxels, volume.shape),
        }
    )


def cohort_patches(
    model: dict[str, Any], scans: Sequence[Scan], device: str, precision: str = "float32"
) -> pd.DataFrame:
    """The patch tables of preprocessed scans, with a column subject."""
    state, module = model["state"], method(model["method"])
    predicted = module.predictor(state, device, precision)
    tables = []
    for scan in scans:
        volume, mask = read_standardized(scan, model["landmarks"])
        lesion = read_mask(scan.lesion)
        table = patch_table(module.as_seen(state, volume, mask), mask, lesion, state["patch"], predicted)
        tables.append(table.assign(subject=scan.subject))
    return pd.concat(tables, ignore_index=True)
