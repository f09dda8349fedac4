"""Inpainting of slices with aggregated contexts (AOT-GAN, Zeng et al. 2022), as phanes uses it (Bercea et al. 2023).

The network fills a mask with what fits the rest of the slice.  Slices are (n, 1, x, y) float32 in 0..1, masks
(n, 1, x, y) boolean, True where it fills.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.vgg import make_layers

from patch2loc.methods.reconstruction.output_layer import OutputConv2d
from patch2loc.methods.reconstruction.saliency import smoothed
from patch2loc.methods.reconstruction.structural_similarity import structural_similarity

RATES = (1, 2, 4, 8)  # distances between the voxels that each branch of a block looks at
EDGE = 1.2  # voxels, standard deviation of the Gaussian that widens a mask
SHARE = 0.1  # of the smoothed mask that is still mask
ELLIPSES = 10  # of a training mask
AXES = (2.0, 4.0)  # half axes, voxels: absolute values of a normal of this mean and deviation
LEAST_AXIS = 2.0
STYLE, PERCEPTUAL, SSIM = 250.0, 0.1, 1.0  # weights beside the absolute difference, which has 1
WINDOW = 11  # of the structural similarity, voxels
CONVOLUTIONS = (2, 2, 4, 4, 4)  # of VGG-19's levels
PERCEIVED = (1, 6, 11, 20, 29)  # places of its layers relu1_1, 2_1, 3_1, 4_1, 5_1
STYLED = (8, 17, 26, 31)  # relu2_2, 3_4, 4_4, 5_2
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's colors


class Inpainter(nn.Module):
    """Fills masks in slices; sides of slices are multiples of 4.

    With the widths of the paper it has 15,193,409 parameters.

    Args:
        widths: Channels at a voxel's size, at half and at a quarter of it, the last a multiple of 4.
        blocks: Number of `ContextBlock` at the smallest size.
    """

    def __init__(self, widths: Sequence[int] = (64, 128, 256), blocks: int = 8) -> None:
        super().__init__()
        first, second, third = widths
        self.first = nn.Conv2d(2, first, 7)
        self.down = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(first, second, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(second, third, 4, 2, 1),
            nn.ReLU(),
        )
        self.middle = nn.Sequential(*(ContextBlock(third) for _ in range(blocks)))
        self.up = nn.ModuleList([nn.Conv2d(third, second, 3, 1, 1), nn.Conv2d(second, first, 3, 1, 1)])
        self.last = OutputConv2d(first, 1, 3, 1, 1)

    def forward(self, slices: Tensor, masks: Tensor) -> Tensor:
        """Whole slices, in -1..1, from what is outside the masks; the masks themselves are seen as 1."""
        maps = torch.cat([torch.where(masks, 1.0, slices), masks.to(slices.dtype)], dim=1)
        maps = self.middle(self.down(self.first(reflected(maps, 3))))
        for convolution in self.up:
            maps = functional.relu(convolution(doubled(maps)))
        return torch.tanh(self.last(maps))


class ContextBlock(nn.Module):
    """Four dilated convolutions side by side, whose output replaces maps where a gate opens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(width, width // 4, 3, dilation=rate) for rate in RATES)
        self.fuse = nn.Conv2d(width, width, 3)
        self.gate = nn.Conv2d(width, width, 3)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (n, width, x, y) to as large ones."""
        wide = reflected(maps, RATES[-1])
        around = {rate: _cropped(wide, RATES[-1] - rate) for rate in RATES}
        branches = [
            functional.relu(branch(around[rate])) for rate, branch in zip(RATES, self.branches, strict=True)
        ]
        gate = opening(self.gate(around[1]))
        fused: Tensor = self.fuse(reflected(torch.cat(branches, dim=1), 1))
        return (1 - gate) * maps + gate * fused


def opening(maps: Tensor) -> Tensor:
    """Opening of a gate, 0 to 1: sigmoid of 5 (2 (maps - mean) / deviation - 1).

    Mean and standard deviation are those of each channel of each slice (n, channels, x, y).
    """
    deviation, mean = torch.std_mean(maps.float(), dim=(2, 3), keepdim=True)
    return torch.sigmoid(5 * (2 * (maps - mean) / (deviation + 1e-9) - 1)).to(maps.dtype)


def reflected(maps: Tensor, width: int) -> Tensor:
    """Maps (n, channels, x, y) with `width` mirrored voxels more at each edge; smaller maps are mirrored repeatedly."""
    # Not by functional.pad, whose gradient on a GPU does not repeat exactly.
    for axis in (2, 3):
        missing = width
        while missing:
            length = maps.shape[axis]
            added = min(missing, length - 1)
            start, end = maps.narrow(axis, 1, added), maps.narrow(axis, length - 1 - added, added)
            maps = torch.cat([start.flip(axis), maps, end.flip(axis)], dim=axis)
            missing -= added
    return maps


def _cropped(maps: Tensor, width: int) -> Tensor:
    x, y = maps.shape[2:]
    return maps[:, :, width : x - width, width : y - width]


def doubled(maps: Tensor) -> Tensor:
    """Maps (n, channels, x, y) interpolated to twice their size, corners kept."""
    # As a product of matrices, because torch's gradient of the interpolation on a GPU does not repeat exactly.
    x, y = (_doubling(length).to(maps) for length in maps.shape[2:])
    return x @ maps @ y.T


def _doubling(length: int) -> Tensor:
    """The matrix, (2 length, length), that interpolates a line to twice its length."""
    lines = torch.eye(length)[:, None]
    doubled_lines: Tensor = functional.interpolate(lines, scale_factor=2, mode="linear", align_corners=True)
    return doubled_lines[:, 0].T


def inpainted(network: nn.Module, slices: Tensor, masks: Tensor) -> Tensor:
    """Slices whose masks are filled by the network, as intensities of 0 to 1; unchanged outside the masks."""
    painted: Tensor = network(slices, masks)
    return torch.where(masks, painted.float().clamp(0, 1), slices)


def mask_of(anomaly: Tensor, threshold: float) -> Tensor:
    """Mask of an anomaly map (n, 1, x, y) above a threshold, a little widened: boolean."""
    return smoothed((anomaly > threshold).float(), EDGE) > SHARE


def ellipses(count: int, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Ten random ellipses a slice, (count, 1, x, y) boolean; their centers are in the middle half of each axis."""
    device = generator.device

    def random(*last: int) -> Tensor:
        return torch.rand((count, ELLIPSES, *last), generator=generator, device=device)

    shares = 0.25 + 0.5 * random(2)
    centers = torch.stack([shares[..., axis] * side for axis, side in enumerate(shape)], dim=2)
    drawn = torch.randn((count, ELLIPSES, 2), generator=generator, device=device)
    axes = (AXES[0] + AXES[1] * drawn).abs().clamp(min=LEAST_AXIS)
    angle = torch.pi * random()
    return ellipses_at(centers, axes, angle, shape).any(dim=1, keepdim=True)


def ellipses_at(centers: Tensor, axes: Tensor, angle: Tensor, shape: Sequence[int]) -> Tensor:
    """Ellipses as masks, (..., x, y) boolean.

    Args:
        centers: (..., 2), voxels.
        axes: (..., 2), half axes, voxels.
        angle: (...), of the first axis.
        shape: Of a slice, voxels.
    """
    x, y = (torch.arange(length, device=centers.device) for length in shape)
    dx = (x - centers[..., :1])[..., :, None]
    dy = (y - centers[..., 1:])[..., None, :]
    cosine, sine = (part[..., None, None] for part in (angle.cos(), angle.sin()))
    first, second = (axes[..., place, None, None] for place in (0, 1))
    along, across = cosine * dx + sine * dy, cosine * dy - sine * dx
    return (along / first).square() + (across / second).square() <= 1


class Vgg19(nn.Sequential):
    """The layers of a VGG-19 up to relu5_2, named as in torchvision's `features`.

    widths: channels of its five levels, if not those of VGG-19.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, widths: Sequence[int] = (64, 128, 256, 512, 512)) -> None:
        levels = [[width] * count for width, count in zip(widths, CONVOLUTIONS, strict=True)]
        layers = make_layers([layer for level in levels for layer in (*level, "M")])
        super().__init__(*layers[: STYLED[-1] + 1])
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)
        for layer in self:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False

    def forward(self, slices: Tensor) -> dict[int, Tensor]:
        """Maps after each layer of `PERCEIVED` and `STYLED`, of slices as three equal colors.

        Intensities are taken as if they were -1 to 1, as the authors' code takes its 0 to 1, which the weights of the
        losses go with: 0.5 to 1 before the normalization.
        """
        maps, maps_after = ((slices + 1) / 2 - self.mean) / self.deviation, {}
        for place, layer in enumerate(self):
            maps = layer(maps)
            if place in (*PERCEIVED, *STYLED):
                maps_after[place] = maps
        return maps_after


def gram(maps: Tensor) -> Tensor:
    """Products of channels, (n, channels, channels), of maps (n, channels, x, y), summed over voxels, over their number
    and that of the channels."""
    flat = maps.flatten(2)
    return flat @ flat.transpose(1, 2) / flat[0].numel()


def feature_losses(network: Vgg19, painted: Tensor, slices: Tensor) -> tuple[Tensor, Tensor]:
    """Style and perceptual loss: mean absolute differences of Gram matrices and of maps, summed over layers."""
    maps, target = network(painted), network(slices)
    style = torch.zeros((), device=slices.device)
    for place in STYLED:
        style = style + (gram(maps[place]) - gram(target[place])).abs().mean()
    perceptual = torch.zeros((), device=slices.device)
    for place in PERCEIVED:
        perceptual = perceptual + (maps[place] - target[place]).abs().mean()
    return style, perceptual


def similarity(slices: Tensor, others: Tensor) -> Tensor:
    """Mean structural similarity of slices over all windows that lie inside them."""
    return _cropped(structural_similarity(slices, others, WINDOW), WINDOW // 2).mean()


def painting_loss(painted: Tensor, slices: Tensor, vgg: Vgg19 | None) -> Tensor:
    """Loss over whole slices: absolute difference, 250 style and 0.1 perceptual loss of a VGG-19.

    painted: the network's output.  Without a VGG-19 (None): absolute difference and 1 - structural similarity.
    """
    painted = painted.float()
    with torch.autocast(slices.device.type, enabled=False):  # small differences of Gram matrices
        absolute = (painted - slices).abs().mean()
        if vgg is None:
            return absolute + SSIM * (1 - similarity(painted, slices))
        style, perceptual = feature_losses(vgg, painted, slices)
    return absolute + STYLE * style + PERCEPTUAL * perceptual
