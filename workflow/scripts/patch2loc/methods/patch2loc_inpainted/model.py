"""The inpainter of what Patch2Loc marks, its training and its score."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import patch2loc.methods.patch2loc.model as patch2loc
from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.halving import halved_until_it_fits
from patch2loc.engine.pools import joined
from patch2loc.engine.precision import PRECISIONS
from patch2loc.engine.training_loop import Batch
from patch2loc.engine.transfer import to_device
from patch2loc.engine.weights import weights_of, with_weights
from patch2loc.method_interface import Maps, MethodSettings, Score, State, Volumes, as_array
from patch2loc.methods.reconstruction.inpainting import (
    Inpainter,
    ellipses,
    inpainted,
    mask_of,
    painting_loss,
)
from patch2loc.methods.reconstruction.residual import slice_score
from patch2loc.methods.reconstruction.slice_pools import SlicePool, slices_of
from patch2loc.methods.reconstruction.training import train

PERCENTILE = 95  # of Patch2Loc's scores of healthy brains, where the threshold is, as in phanes
# Voxels along x and y between patches that the training measures: all of them would take as long as it.
LATTICE = 4
MULTIPLE = 4  # sides of slices, as the inpainter needs them
BATCH = 32  # slices that are painted at a time


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, pd.DataFrame]:
    """Find the threshold on healthy validation scans, and train an inpainter on healthy slices."""
    of_location, spacing, precision = (
        settings["models"]["patch2loc"],
        settings["spacing"],
        settings["precision"],
    )
    threshold = healthy_threshold(patch2loc.scorer(of_location, device, 1, precision), validation)
    heatmap = patch2loc.scorer(of_location, device, LATTICE, precision)
    pools = [marked_pool(scans, heatmap, threshold, device, spacing) for scans in (training, validation)]

    def prepare(slices: Tensor, marks: Tensor, generator: torch.Generator, is_training: bool) -> Batch:
        return slices, ellipses(len(slices), slices.shape[2:], generator) | marks

    def loss(network: nn.Module, slices: Tensor, masks: Tensor) -> Tensor:
        return painting_loss(network(slices, masks), slices, None)

    arguments = {name: settings[name] for name in ("widths", "blocks")}
    torch.manual_seed(settings["seed"])
    network = Inpainter(**arguments).to(device)
    history = train(network, loss, *pools, settings=settings, checkpoint=checkpoint, prepare=prepare)
    return {
        "weights": weights_of(network),
        "network": arguments,
        "threshold": threshold,
        "patch2loc": of_location,
        "spacing": spacing,
    }, history


def healthy_threshold(heatmap: Score, healthy: Volumes) -> float:
    """The 95th percentile of a heatmap in healthy brains, at every fourth voxel along x and y.

    heatmap: not interpolated (stride 1), whose values there are those of the whole heatmap.
    """
    scores = []
    for volume, mask in healthy:
        sampled = np.zeros_like(mask)
        sampled[::LATTICE, ::LATTICE] = mask[::LATTICE, ::LATTICE]
        scores.append(as_array(heatmap(volume, mask, sampled)["score"])[sampled])
    return float(np.percentile(np.concatenate(scores), PERCENTILE))


def marked(
    heatmap: Score, volume: np.ndarray, mask: np.ndarray, *, threshold: float, device: Device, spacing: float
) -> Tensor:
    """Where a heatmap is above a threshold in the brain, in at least half of a slice's voxel; a little widened.

    Args:
        heatmap: Patch2Loc's score.
        volume: (x, y, z) float32, standardized.
        mask: (x, y, z) boolean, the brain.
        threshold: Of the heatmap.
        device: As of a method.
        spacing: Voxel size of the grid, mm.

    Returns:
        (slices, x', y') boolean, as `slices_of` makes slices, on the device.
    """
    above = mask & (as_array(heatmap(volume, mask, mask)["score"]) > threshold)
    _, marks = slices_of(to_device(volume, device), to_device(above, device), spacing, MULTIPLE)
    return mask_of(marks[:, None].float(), 0.5)[:, 0]


def marked_pool(
    scans: Volumes, heatmap: Score, threshold: float, device: Device, spacing: float
) -> SlicePool:
    """Slices of scans with what `marked` marks in them in the place of their brain masks."""
    pool = SlicePool(scans, device, spacing, MULTIPLE)
    marks = [
        marked(heatmap, volume, mask, threshold=threshold, device=device, spacing=spacing).cpu()
        for volume, mask in scans
    ]
    pool.masks = joined(marks, device)
    return pool


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score by the absolute difference between a slice and its pseudo-healthy counterpart: 0 outside the mask.

    stride: of the heatmap.
    """
    network = with_weights(Inpainter(**state["network"]), state["weights"], device)
    heatmap = patch2loc.scorer(state["patch2loc"], device, stride, precision)
    threshold, spacing = state["threshold"], state["spacing"]

    def score(volume: np.ndarray, mask: np.ndarray, region: np.ndarray) -> Maps:
        masks = marked(heatmap, volume, mask, threshold=threshold, device=device, spacing=spacing)[:, None]

        def maps_of(slices: Tensor, brain: Tensor) -> dict[str, Tensor]:
            return {"score": painting_change(network, slices, masks, precision)}

        # All slices of the scan, as its masks are: those without a mask are not painted.
        return slice_score(maps_of, device, spacing, MULTIPLE, batch=None)(volume, mask, region)

    return score


def painting_change(network: nn.Module, slices: Tensor, masks: Tensor, precision: Precision) -> Tensor:
    """Absolute difference between slices (n, 1, x, y) and the same with their masks painted: 0 outside the masks."""
    change = torch.zeros_like(slices)
    with_mask = masks.flatten(1).any(dim=1).nonzero()[:, 0]
    if not len(with_mask):
        return change

    def compute(at_once: int) -> Tensor:
        for part in torch.split(with_mask, at_once):
            with torch.autocast(slices.device.type, PRECISIONS[precision], enabled=precision != "float32"):
                painted = inpainted(network, slices[part], masks[part])
            change[part] = (slices[part] - painted).abs()
        return change

    return halved_until_it_fits(compute, min(BATCH, len(with_mask)))[0]
