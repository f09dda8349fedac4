"""The network that predicts where a patch comes from (paper, sections 2.1 to 2.4)."""

from collections.abc import Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Literal, TypeVar, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from patch2loc.network.first_convolution import FirstConv2d
from patch2loc.network.resnet import ResNet18, blocks

PAPER_WIDTHS = (64, 128, 256, 512)
HEAD_WIDTHS = (128, 64, 32)
Heads = Literal["separate", "shared"]

Network = TypeVar("Network", bound="PatchNetwork")


class SmallConv2d(nn.Conv2d):
    """A convolution (3 x 3 with padding 1, or 1 x 1) computed as a matrix product on maps of 2 x 2 or less.

    In the late layers of a patch most of a 3 x 3 kernel meets padding, and every remaining position sees every other:
    the same sums without the zeros, several times faster, forwards and backwards.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve maps: (n, channels, h, w) -> (n, out_channels, h', w')."""
        height, width = x.shape[2:]
        if max(height, width) > 2:
            return super().forward(x)
        step, half = self.stride[0], self.padding[0]
        rows, columns = range(0, height, step), range(0, width, step)
        if half == 0:
            x = x[:, :, : rows[-1] + 1 : step, : columns[-1] + 1 : step]
            if len(rows) * len(columns) > 1:
                return functional.conv2d(x, self.weight, self.bias)
            return functional.linear(x.flatten(1), self.weight.flatten(1), self.bias)[:, :, None, None]
        # For the output at (i, j) the kernel's window over the whole input, 1 - i .. 1 - i + height.  Channels stay
        # innermost, as normalization is fastest with.
        kernel = self.weight.permute(0, 2, 3, 1)
        windows = [
            kernel[:, 1 - i : 1 - i + height, 1 - j : 1 - j + width].flatten(1) for i in rows for j in columns
        ]
        product = functional.linear(x.permute(0, 2, 3, 1).flatten(1), torch.cat(windows))
        if len(windows) > 1:
            product = product.view(len(x), len(rows), len(columns), self.out_channels).permute(0, 3, 1, 2)
        else:
            product = product[:, :, None, None]
        return product if self.bias is None else product + self.bias[:, None, None]


def slice_code(slice_location: Tensor, size: int) -> Tensor:
    """Sinusoidal code of the slice's location (Vaswani et al. 2017; paper, section 2.4).

    Args:
        slice_location: (n,), percent of the grid's height.
        size: Size of the code, even.

    Returns:
        (n, size) float64: sines at even, cosines at odd places.
    """
    pair = torch.arange(0, size, 2, device=slice_location.device, dtype=torch.float64)
    angle = slice_location.double()[:, None] / 10000 ** (pair / size)
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)


def encoder(widths: Sequence[int]) -> ResNet18:
    """Build a ResNet-18 for one channel: first kernel 3 instead of 7, no classifier, any layer widths.

    Args:
        widths: Channels of the four layers; the last is the size of the latent vector.
    """
    # With all its weights, so that a seed draws the same numbers for those below as ever.
    network = ResNet18()
    network.conv1 = FirstConv2d(1, widths[0], kernel_size=3, stride=2, padding=3, bias=False)
    network.bn1 = nn.BatchNorm2d(widths[0])
    for layer, (width_in, width, stride) in enumerate(
        zip((widths[0], *widths[:-1]), widths, (1, 2, 2, 2), strict=True), start=1
    ):
        setattr(network, f"layer{layer}", blocks(width_in, width, stride))
    network.fc = nn.Identity()
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d):
                nn.init.kaiming_normal_(child.weight, mode="fan_out", nonlinearity="relu")
                if child is not network.conv1:
                    setattr(parent, name, _small(child))
    return network


def _small(conv: nn.Conv2d) -> SmallConv2d:
    """The same convolution, sharing its weights."""
    kernel, stride, padding = (
        cast(tuple[int, int], pair) for pair in (conv.kernel_size, conv.stride, conv.padding)
    )
    small = SmallConv2d(conv.in_channels, conv.out_channels, kernel, stride, padding, bias=False)
    small.weight = conv.weight
    return small


def hidden_layers(size: int) -> list[nn.Module]:
    """Build the layers of a head from the latent vector, (n, size), to the last but one."""
    layers: list[nn.Module] = []
    for width_in, width in zip((size, size, *HEAD_WIDTHS), (size, *HEAD_WIDTHS), strict=False):
        layers += [nn.Linear(width_in, width), nn.BatchNorm1d(width), nn.ReLU()]
    return layers


def head(size: int) -> nn.Sequential:
    """Build the layers from the latent vector, (n, size), to two coordinates, (n, 2)."""
    return nn.Sequential(*hidden_layers(size), nn.Linear(HEAD_WIDTHS[-1], 2))


class PatchNetwork(nn.Module):
    """Maps patches and the location of their slice to a Gaussian over the location in the slice.

    Args:
        patch_encoder: From patches (n, 1, p, p) to latent vectors (n, size).
        widths: Channels of the encoder's layers; the last is the size of the latent vector.
        slice_code: False leaves out the code of the slice: the network does not know the height.
        heads: "separate", the paper's two MLPs for mean and log-variance; "shared", one with two last layers.

    Raises:
        ValueError: For other heads.
    """

    def __init__(
        self,
        patch_encoder: nn.Module,
        widths: Sequence[int],
        *,
        slice_code: bool = True,
        heads: Heads = "separate",
    ) -> None:
        super().__init__()
        if heads not in get_args(Heads):
            raise ValueError(f"heads: {heads!r} found, one of {', '.join(get_args(Heads))} expected")
        self.widths, self.slice_code = tuple(widths), slice_code
        self.encoder = patch_encoder
        size = self.widths[-1]
        self.trunk = nn.Sequential(*(hidden_layers(size) if heads == "shared" else []))
        self.mean_branch, self.logvariance_branch = (
            nn.Sequential(nn.Linear(HEAD_WIDTHS[-1], 2)) if heads == "shared" else head(size)
            for _ in range(2)
        )

    def forward(self, patches: Tensor, slice_location: Tensor) -> tuple[Tensor, Tensor]:
        """Predict where patches come from (paper, equation 1).

        Args:
            patches: (n, 1, p, p) float32, intensity over the 98th percentile, 0 outside the brain.
            slice_location: (n,), percent of the grid's height.

        Returns:
            The mean (n, 2), percent of the grid along x and y, and the logarithm of the variance (n, 2).
        """
        return self.locate(self.encoder(patches), slice_location)

    def locate(self, latent: Tensor, slice_location: Tensor) -> tuple[Tensor, Tensor]:
        """Predict mean and log-variance, as `forward` does, from the encoder's latent vectors (n, size)."""
        features = self.trunk(latent + self.codes(slice_location).to(latent.dtype))
        mean: Tensor = self.mean_branch(features)
        log_variance: Tensor = self.logvariance_branch(features)
        return mean, log_variance

    def codes(self, slice_location: Tensor) -> Tensor:
        """Codes of slices, (n, size) float64, from their locations, (n,), percent: zeros without a slice code."""
        code = slice_code(slice_location, self.widths[-1])
        return code if self.slice_code else torch.zeros_like(code)

    @torch.no_grad()
    def rescale_output_(self, center: Tensor, scale: Tensor) -> None:
        """Turn a network that predicts (location - center) / scale into one that predicts locations, exactly.

        Args:
            center: (2,), percent.
            scale: (2,), percent.
        """
        mean, log_variance = (
            cast(nn.Linear, branch[-1]) for branch in (self.mean_branch, self.logvariance_branch)
        )
        mean.weight.mul_(scale[:, None])
        mean.bias.mul_(scale).add_(center)
        log_variance.bias.add_(2 * scale.log())


class LocationNetwork(PatchNetwork):
    """The paper's network.

    Args:
        widths: Channels of the four layers of the encoder.  The default is the paper's; the demo uses a narrower one.
        slice_code: As of `PatchNetwork`.
        heads: As of `PatchNetwork`.
    """

    encoder: ResNet18

    def __init__(
        self, widths: Sequence[int] = PAPER_WIDTHS, *, slice_code: bool = True, heads: Heads = "separate"
    ) -> None:
        super().__init__(encoder(widths), widths, slice_code=slice_code, heads=heads)


def for_inference(network: Network) -> Network:
    """Copy a network for inference: every batch normalization folded into the layer before it, channels last."""
    folded = deepcopy(network)
    folded.eval().requires_grad_(False)
    for parent in list(folded.modules()):
        children = list(parent.named_children())
        for (name, layer), (norm_name, norm) in pairwise(children):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(layer, norm))
                setattr(parent, norm_name, nn.Identity())
            elif isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
                setattr(parent, name, fuse_linear_bn_eval(layer, norm))
                setattr(parent, norm_name, nn.Identity())
    return folded.to(next(network.parameters()).device).to(memory_format=torch.channels_last)
