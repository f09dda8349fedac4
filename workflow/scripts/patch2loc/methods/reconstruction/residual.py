"""Scores of reconstruction methods: residuals of slices, and other maps of these, on the grid."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from patch2loc.data.volumes import block
from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.halving import halved_until_it_fits
from patch2loc.engine.precision import PRECISIONS
from patch2loc.engine.transfer import as_map, to_device
from patch2loc.method_interface import Maps, Score
from patch2loc.methods.reconstruction.slice_pools import slices_of


def slice_score(
    maps_of: Callable[[Tensor, Tensor], Mapping[str, Tensor]],
    device: Device,
    spacing: float,
    multiple: int = 16,
    *,
    batch: int | None = 32,
) -> Score:
    """A method's score, from maps of slices.

    Args:
        maps_of: From slices (n, 1, x', y') float32 in 0..1, in order of z, n at most `batch`, and their brain (boolean)
            to maps of the same shape, float32: "score", and "as_published" where that is another score; called under
            inference mode.
        device: "cpu" or "cuda".
        spacing: Voxel size of the grid, mm; a method keeps it in its state.
        multiple: As the network was trained (`SlicePool`).
        batch: Most slices at a time, of those that are needed; None gives all slices of a scan at once.

    Returns:
        The score: "score" on the grid, and "as_published" on the voxels of the slices.
    """
    factor = block(spacing)

    @torch.inference_mode()
    def score(volume: np.ndarray, mask: np.ndarray, region: np.ndarray) -> Maps:
        slices, brain = slices_of(to_device(volume, device), to_device(mask, device), spacing, multiple)
        needed = np.unique(np.flatnonzero(region.any(axis=(0, 1))) // factor)
        # Both neighbors of a needed slice, too: maps are interpolated between them.
        with_neighbors = np.unique(np.clip([needed - 1, needed, needed + 1], 0, len(slices) - 1))
        numbers = np.arange(len(slices)) if batch is None else with_neighbors
        chosen = to_device(numbers, device) if len(numbers) else None

        def compute(at_once: int) -> dict[str, Tensor]:
            maps = {"score": torch.zeros_like(slices)}
            for part in () if chosen is None else torch.split(chosen, at_once):
                for name, part_maps in maps_of(slices[part, None], brain[part, None]).items():
                    maps.setdefault(name, torch.zeros_like(slices))[part] = part_maps[:, 0]
            return maps

        if batch is None:
            maps = compute(len(slices))
        else:
            maps, _ = halved_until_it_fits(compute, max(1, min(batch, len(numbers))))
        on_grid = _on_grid(_blocks(maps["score"], volume.shape, factor), volume.shape, factor)
        # Post-processed as published before it is brought to the grid, whose interpolation would blur it.
        published = _blocks(maps.get("as_published", maps["score"]), volume.shape, factor)
        return {
            "score": as_map(torch.where(to_device(region, device), on_grid, float("nan"))),
            "as_published": as_map(published),
        }

    return score


def residual_score(
    reconstruct: Callable[[Tensor], Tensor],
    device: Device,
    spacing: float,
    precision: Precision = "float32",
    *,
    multiple: int = 16,
    batch: int | None = 32,
    as_published: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
) -> Score:
    """A method's score: the absolute residual of reconstructed slices.

    Args:
        reconstruct: From slices (n, 1, x', y') float32 in 0..1, as of `slice_score`, to the same shape; called under
            autocast where precision is "bfloat16".
        device: "cpu" or "cuda".
        spacing: Voxel size of the grid, mm.
        precision: "float32" or "bfloat16".
        multiple: As of `slice_score`.
        batch: As of `slice_score`.
        as_published: The score of the method's authors, from slices, their reconstructions and their brain (boolean),
            each (n, 1, x', y'), to as large maps in float32; returned beside the residual as the map "as_published".
    """

    def maps_of(slices: Tensor, brain: Tensor) -> dict[str, Tensor]:
        with torch.autocast(slices.device.type, PRECISIONS[precision], enabled=precision != "float32"):
            reconstructed = reconstruct(slices)
        reconstructed = reconstructed.float()
        maps = {"score": (slices - reconstructed).abs()}
        return maps | {"as_published": as_published(slices, reconstructed, brain)} if as_published else maps

    return slice_score(maps_of, device, spacing, multiple, batch=batch)


def _blocks(maps: Tensor, shape: tuple[int, ...], factor: int) -> Tensor:
    """Maps of slices (slices, x', y') of `slices_of` as a volume (x', y', slices), without the padding of slices."""
    x, y, _ = shape
    return maps[:, : -(-x // factor), : -(-y // factor)].permute(1, 2, 0)


def _on_grid(blocks: Tensor, shape: tuple[int, ...], factor: int) -> Tensor:
    """A volume of `_blocks`, interpolated between its voxels to a grid (x, y, z)."""
    x, y, z = shape
    if factor > 1:
        blocks = functional.interpolate(blocks[None, None], scale_factor=factor, mode="trilinear")[0, 0]
    return blocks[:x, :y, :z]
