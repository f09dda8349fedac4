"""Saliency of the difference between a slice and its reconstruction, for ra and phanes (Bercea et al. 2023).

    perceived = perception(weights, device)             once; weights: of `perception_weights`, from a model's state
    residual_of_contrast(slices, reconstructed, brain)  |CLAHE of the slices - CLAHE of the reconstructions|
    saliency(perceived, slices, reconstructed)          their perceptual distance, smoothed

Slices and maps are (n, 1, x, y) float32, slices in 0..1, brain boolean; nothing here has a gradient.
Perceptual distances need a SqueezeNet that was trained on ImageNet, and the heads of LPIPS.  Without, the absolute
difference takes their place, which knows nothing of what a network sees.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import squeezenet1_1
from torchvision.transforms.functional import gaussian_blur

from patch2loc.engine.choices import Device
from patch2loc.engine.pretrained import with_pretrained
from patch2loc.engine.weights import weights_of, with_weights
from patch2loc.errors import InputError

SMOOTHING = 2.0  # voxels, standard deviation of a Gaussian
REACH = 4  # standard deviations at which a Gaussian ends
# Of CLAHE: tiles along each side, and how many times the mean of a tile's histogram a bin may hold: what 0.01 of the
# tile is with 256 bins, the default of scikit-image, which the authors use.
TILES, LIMIT = (8, 8), 2.56
BACKBONE, HEADS = "squeezenet1_1_imagenet", "lpips_squeezenet"  # in settings["pretrained"]
COMPARED = (1, 4, 7, 9, 10, 11, 12)  # layers of SqueezeNet 1.1 that LPIPS compares
CENTER, SPREAD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of the colors in -1..1 that LPIPS puts in


def clahe(slices: Tensor, brain: Tensor) -> Tensor:
    """Slices after contrast-limited adaptive histogram equalization, each for itself; 0 outside the brain.

    What a network leaves in the background has no part in it.  By kornia, in 256 steps of intensity, on the device of
    the slices; sides are more than 8 voxels.
    """
    try:
        enhance = import_module("kornia.enhance")
    except ModuleNotFoundError as error:
        raise InputError(
            f"methods: the package kornia was not found ({error}), which ra and phanes need; install it (pip install "
            "kornia) or leave these methods out"
        ) from error
    with torch.no_grad():
        equalized: Tensor = enhance.equalize_clahe(slices.clamp(0, 1) * brain, LIMIT, TILES) * brain
    return equalized


def residual_of_contrast(slices: Tensor, reconstructed: Tensor, brain: Tensor) -> Tensor:
    """The absolute difference of slices and reconstructions after `clahe` of both."""
    return (clahe(slices, brain) - clahe(reconstructed, brain)).abs()


def smoothed(maps: Tensor, deviation: float = SMOOTHING) -> Tensor:
    """Maps (n, 1, x, y) after a Gaussian of a standard deviation in voxels; their edges are reflected."""
    reach = min(round(REACH * deviation), *(side - 1 for side in maps.shape[2:]))
    blurred: Tensor = gaussian_blur(maps, 2 * reach + 1, deviation)
    return blurred


class Perception(nn.Module):
    """The perceptual distance LPIPS (Zhang et al. 2018) of two slices at every voxel, by SqueezeNet 1.1.

    Differences of its features at seven depths, each normalized at its place, squared, weighted by heads and brought
    to the size of the slice.
    """

    center: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features: nn.Sequential = squeezenet1_1(weights=None).features
        self.heads = nn.ParameterList(torch.zeros(1, width, 1, 1) for width in _widths(self.features))
        self.register_buffer("center", torch.tensor(CENTER)[None, :, None, None], persistent=False)
        self.register_buffer("spread", torch.tensor(SPREAD)[None, :, None, None], persistent=False)

    def forward(self, slices: Tensor, others: Tensor) -> Tensor:
        """Distances (n, 1, x, y) of slices in 0..1."""
        total = torch.zeros_like(slices)
        for head, one, other in zip(self.heads, self._compared(slices), self._compared(others), strict=True):
            distance = (head * (one - other).square()).sum(dim=1, keepdim=True)
            total = total + functional.interpolate(distance, slices.shape[2:], mode="bilinear")
        return total

    def _compared(self, slices: Tensor) -> list[Tensor]:
        """Features of each depth, of length 1 at every place; slices enter as gray in -1..1."""
        maps, features = (2 * slices - 1 - self.center) / self.spread, []
        for number, layer in enumerate(self.features):
            maps = layer(maps)
            if number in COMPARED:
                features.append(maps / (maps.square().sum(dim=1, keepdim=True).sqrt() + 1e-10))
        return features


def _widths(features: nn.Sequential) -> list[int]:
    """Channels of the layers that LPIPS compares."""
    maps, widths = torch.zeros(1, 3, 32, 32), []
    for number, layer in enumerate(features):
        maps = layer(maps)
        if number in COMPARED:
            widths.append(maps.shape[1])
    return widths


class SqueezeNetHeads(nn.Module):
    """Weights of the seven depths that LPIPS was trained to, named as in its authors' file.  widths: of the depths."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        for number, width in enumerate(widths):
            model = nn.Sequential(nn.Dropout(), nn.Conv2d(width, 1, 1, bias=False))
            self.add_module(f"lin{number}", nn.ModuleDict({"model": model}))


def perception_weights(pretrained: Mapping[str, str | Path | None]) -> dict[str, np.ndarray] | None:
    """Weights of `Perception`, for a model's state; None where its two files are not named.

    Args:
        pretrained: settings["pretrained"]; the backbone's file is torchvision's, the heads' that of LPIPS's authors.

    Raises:
        InputError: When one file is named without the other, and when a file has not the weights expected.
    """
    paths = {name: pretrained.get(name) for name in (BACKBONE, HEADS)}
    absent = [name for name, path in paths.items() if path is None]
    if len(absent) == 1:
        (present,) = set(paths) - set(absent)
        raise InputError(
            f"pretrained.{present}: {paths[present]} found without {absent[0]}, both expected, or none; add "
            f"{absent[0]} (`snakemake --cores 1 pretrained` gets it), or leave {present} out"
        )
    backbone_path, heads_path = paths[BACKBONE], paths[HEADS]
    if backbone_path is None or heads_path is None:
        return None
    backbone = with_pretrained(squeezenet1_1(weights=None), backbone_path)
    network = Perception()
    network.features.load_state_dict(backbone.features.state_dict())
    heads = with_pretrained(SqueezeNetHeads(_widths(network.features)), heads_path)
    with torch.no_grad():
        for head, weight in zip(network.heads, heads.state_dict().values(), strict=True):
            head.copy_(weight)
    return weights_of(network)


def perception(weights: Mapping[str, np.ndarray] | None, device: Device) -> Perception | None:
    """The network of `perception_weights`, ready on a device; None for None."""
    if weights is None:
        return None
    return with_weights(Perception(), weights, device)


@torch.no_grad()
def saliency(perceived: Perception | None, slices: Tensor, others: Tensor) -> Tensor:
    """Smoothed perceptual distance of slices and others around every voxel, (n, 1, x, y) as both are, >= 0.

    perceived: of `perception`; with None the absolute difference takes the place of the perceptual distance.
    """
    return smoothed((slices - others).abs() if perceived is None else perceived(slices, others))


def saliency_kind(weights: Mapping[str, np.ndarray] | None) -> str:
    """Name of a saliency, for a state, a history and a table."""
    return "absolute difference" if weights is None else "LPIPS SqueezeNet"
