"""Features of patches at the places of a coarse map of a slice: latent vectors of a frozen location network."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class PatchFeatures(nn.Module):
    """Latent vectors of the patches around the places of a map, by which Patch2Loc locates these patches.

    It stays in evaluation mode and has no gradient: neither weights nor statistics of batch normalization change.

    Args:
        encoder: Of a location network, from patches (n, 1, p, p) to latent vectors (n, size).
        patch: Width p of a patch, in voxels of the grid that the network was trained on.
        reduction: Voxels of a slice to a place of the map, along each axis.
        enlarge: Slices are interpolated to so many times their size first, to voxels of the grid.
    """

    def __init__(self, encoder: nn.Module, patch: int, *, reduction: int, enlarge: int = 1) -> None:
        super().__init__()
        self.encoder, self.patch = encoder, patch
        self.enlarge, self.step = enlarge, reduction * enlarge
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "PatchFeatures":
        """Stay in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, slices: Tensor) -> Tensor:
        """Features (n, size, x / reduction, y / reduction) of slices (n, 1, x, y), x and y multiples of `reduction`.

        The middle of a patch is the middle of its place; around a slice there are zeros, as in Patch2Loc's training.
        """
        if self.enlarge > 1:
            slices = functional.interpolate(slices, scale_factor=self.enlarge, mode="bilinear")
        before = (self.patch - self.step) // 2  # below 0 where patches do not meet: that much is left out
        after = self.patch - self.step - before
        padded = functional.pad(slices, (before, after, before, after))
        patches = padded.unfold(2, self.patch, self.step).unfold(3, self.patch, self.step)
        latent: Tensor = self.encoder(patches.reshape(-1, 1, self.patch, self.patch))
        return latent.reshape(len(slices), *patches.shape[2:4], -1).movedim(3, 1)
