"""Patch analysis: predictions for non-overlapping patches, and the share of lesion in each (paper, section 5.2)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from scipy import ndimage

from patch2loc.data.scans import Scan, refuse_fitted_scans
from patch2loc.data.vocabulary import Truth
from patch2loc.data.volumes import read_mask
from patch2loc.engine.choices import Device, Precision
from patch2loc.heatmap import abnormality, true_location
from patch2loc.method_interface import LocatingMethod, method
from patch2loc.models import check_common_grid, from_state
from patch2loc.network import patches
from patch2loc.standardize import read_standardized

# From the volume (x, y, z) that a network takes, and voxels (n, 3), to the mean and the log-variance of their predicted
# locations, (n, 2) each, percent and log of squared percent.
Predictor = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def patch_table(
    volume: np.ndarray,
    mask: np.ndarray,
    lesion: np.ndarray,
    *,
    patch: int,
    spacing: float,
    predict: Predictor,
) -> pd.DataFrame:
    """One row per non-overlapping patch with at least 20 % of brain, in all slices of a scan.

    Args:
        volume: (x, y, z) float32, as the network takes it.
        mask: (x, y, z) boolean, the brain.
        lesion: (x, y, z) boolean.
        patch: width of a patch, voxels.
        spacing: edge of a voxel, mm.
        predict: predictions of the network at voxels.

    Returns:
        Columns x, y, z (voxel of the center), brain_fraction, lesion_fraction, edge_distance (mm, see
        `edge_distance`), mean_x, mean_y (percent), log_variance_x, log_variance_y, location_error (Euclidean, percent),
        log_error, log_variance, score.
    """
    masks, lesions = (torch.from_numpy(part).permute(2, 0, 1) for part in (mask, lesion))
    centers = torch.zeros_like(masks)
    centers[:, patch // 2 :: patch, patch // 2 :: patch] = True
    # Only whole patches tile the slice: the last center must have p/2 voxels after it.
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
            "brain_fraction": patches.share(masks, patch)[z, x, y].numpy(),
            "lesion_fraction": patches.share(lesions, patch)[z, x, y].numpy(),
            "edge_distance": edge_distance(mask, spacing)[tuple(voxels.T)],
            "mean_x": mean[:, 0],
            "mean_y": mean[:, 1],
            "log_variance_x": log_variance[:, 0],
            "log_variance_y": log_variance[:, 1],
            "location_error": np.linalg.norm(mean - true_location(voxels, volume.shape), axis=1),
            **abnormality(mean, log_variance, voxels, volume.shape),
        }
    )


def edge_distance(mask: np.ndarray, spacing: float) -> np.ndarray:
    """Distance of every voxel from the edge of the brain within its slice, mm, negative outside the brain.

    Within the slice, because that is all that a patch shows. The edge lies between two voxels, half a voxel from the
    center of each. Where the grid cuts the brain off is no edge.

    Args:
        mask: (x, y, z) boolean, the brain.
        spacing: edge of a voxel, mm.

    Returns:
        (x, y, z) float32; NaN in slices without an edge, which are all brain or have none.
    """
    distances = np.full(mask.shape, np.nan, np.float32)
    for z in np.flatnonzero(mask.any(axis=(0, 1)) & ~mask.all(axis=(0, 1))):
        inside, outside = (ndimage.distance_transform_edt(part) for part in (mask[:, :, z], ~mask[:, :, z]))
        distances[:, :, z] = spacing * np.where(mask[:, :, z], inside - 0.5, 0.5 - outside)
    return distances


def analyze_patches(
    model: Mapping[str, Any],
    scans: Sequence[Scan],
    device: Device,
    precision: Precision = "float32",
    *,
    truth: Truth = "half",
    same_dataset: bool = False,
) -> pd.DataFrame:
    """Patch tables of preprocessed scans, one below the other, with a column subject.

    Args:
        model: `models.load_model` of a method that predicts locations.
        scans: on the grid of the model.
        device: of the network.
        precision: of its encoder.
        truth: which of the lesion masks of a scan the share of lesion is of.
        same_dataset: the scans are of the dataset that the model was trained on (`scans.refuse_fitted_scans`).

    Raises:
        InputError: the model was trained on other arrays than a run's scans (`models.check_common_grid`), or it was
            trained or validated on a scan.
    """
    name = f"{model['method']}, {model['modality']}"
    check_common_grid(model, name)
    refuse_fitted_scans(
        scans,
        model.get("contents", {}),
        f"training or validation scans of the model {name}",
        same_dataset=same_dataset,
    )
    state, module = model["state"], cast(LocatingMethod, method(model["method"]))
    predict = from_state(model, name, lambda _: module.predictor(state, device, precision))
    tables = []
    for scan in scans:
        volume, mask = read_standardized(scan, model["landmarks"])
        lesion = read_mask(scan.truth_path(truth))
        network_input = module.network_input(state, volume, mask)
        table = patch_table(
            network_input,
            mask,
            lesion,
            patch=state["patch"],
            spacing=model["grid"]["spacing"],
            predict=predict,
        )
        tables.append(table.assign(subject=scan.subject))
    return pd.concat(tables, ignore_index=True)
