"""Scores of reconstruction methods: residuals of slices on the grid."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from patch2loc.data.volumes import block
from patch2loc.engine.precision import PRECISIONS
from patch2loc.methods.reconstruction.slice_pools import slices_of


def slice_score(
    maps_of: Callable[[Tensor, Tensor], Mapping[str, Tensor]],
    device: str,
    spacing: float,
    multiple: int = 16,
    batch: int | None = 32,
) -> Callable[[np.ndarray, np.ndarray, np.ndarray], dict[str, np.ndarray]]:
    """A scorer's function: what slices are scored by, on the grid.

    maps_of: slices (n, 1, x', y') float32 in 0..1, in order of z, n at most `batch`, and their brain (boolean) ->
    {name: as large a map, float32}, "score" among them; called under inference mode.  Slices that are not needed are
    left out, unless batch is None: then it gets all slices of a scan at once.  spacing: of the grid, mm (keep it in
    the state).
    multiple: as the network was trained (`SlicePool`).
    """
    factor = block(spacing)

    @torch.inference_mode()
    def score(volume: np.ndarray, mask: np.ndarray, wanted: np.ndarray) -> dict[str, np.ndarray]:
        given = torch.from_numpy(volume).to(device), torch.from_numpy(mask).to(device)
        slices, brain = slices_of(*given, spacing, multiple)
        needed = np.unique(np.flatnonzero(wanted.any(axis=(0, 1))) // factor)
        # Both neighbors of a needed slice, too: maps are interpolated between them.
        needed = np.unique(np.clip([needed - 1, needed, needed + 1], 0, len(slices) - 1)).tolist()
        if batch is None:
            needed = list(range(len(slices)))
        at_once = batch or len(slices)
        maps = {"score": torch.zeros_like(slices)}
        for start in range(0, len(needed), at_once):
            place = needed[start : start + at_once]
            for name, found in maps_of(slices[place, None], brain[place, None]).items():
                maps.setdefault(name, torch.zeros_like(slices))[place] = found[:, 0]
        return {
            name: np.where(wanted, _on_grid(found, volume.shape, factor), np.nan).astype(np.float32)
            for name, found in maps.items()
        }

    return score


def residual_score(
    reconstruct: Callable[[Tensor], Tensor],
    device: str,
    spacing: float,
    precision: str = "float32",
    multiple: int = 16,
    batch: int | None = 32,
    as_published: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
) -> Callable[[np.ndarray, np.ndarray, np.ndarray], dict[str, np.ndarray]]:
    """A scorer's function: the absolute residual of reconstructed slices, on the grid.

    reconstruct: (n, 1, x', y') float32 in 0..1, as of `slice_score` -> the same shape; called under autocast where
    precision is "bfloat16".
    as_published: the score of the method's authors, from slices, their reconstructions and their brain (boolean), each
    (n, 1, x', y'), to as large maps in float32; beside the residual, as the map "as_published".
    """

    def maps_of(slices: Tensor, brain: Tensor) -> dict[str, Tensor]:
        with torch.autocast(slices.device.type, PRECISIONS[precision], enabled=precision != "float32"):
            reconstructed = reconstruct(slices)
        reconstructed = reconstructed.float()
        maps = {"score": (slices - reconstructed).abs()}
        return maps | {"as_published": as_published(slices, reconstructed, brain)} if as_published else maps

    return slice_score(maps_of, device, spacing, multiple, batch)


def _on_grid(maps: Tensor, shape: tuple[int, int, int], factor: int) -> np.ndarray:
    """Maps of slices (slices, x', y') of `slices_of`, interpolated between their voxels to a grid (x, y, z)."""
    x, y, z = shape
    blocks = maps[:, : -(-x // factor), : -(-y // factor)].permute(1, 2, 0)[None, None]
    if factor > 1:
        blocks = functional.interpolate(blocks, scale_factor=factor, mode="trilinear")
    return blocks[0, 0, :x, :y, :z].cpu().numpy()
