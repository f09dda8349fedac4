"""The first convolution: torch's own on a processor, a product of matrices on a GPU.

There torch's convolution of one channel, with channels last and a deterministic gradient, is slow.
"""

from typing import cast

from torch import Tensor, nn
from torch.nn import functional

ALIGNED = 8  # numbers of half precision that matrix units take together


class FirstConv2d(nn.Conv2d):
    """A convolution of one channel without dilation; on a GPU the product of its windows with the kernels."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve maps: (n, 1, h, w) -> (n, out_channels, h', w')."""
        if x.device.type == "cpu":
            return super().forward(x)
        padding = cast(tuple[int, int], self.padding)[0]
        return convolution_by_product(x, self.weight, self.bias, stride=self.stride[0], padding=padding)


def convolution_by_product(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int, padding: int
) -> Tensor:
    """The convolution of maps (n, 1, h, w) with kernels (channels, 1, k, k): (n, channels, h', w'), channels last."""
    kernel = weight.shape[2]
    padded = functional.pad(x[:, 0], (padding,) * 4)
    windows = padded.unfold(1, kernel, stride).unfold(2, kernel, stride).flatten(3)
    zeros = (0, -(kernel**2) % ALIGNED)
    product = functional.linear(
        functional.pad(windows, zeros), functional.pad(weight.flatten(1), zeros), bias
    )
    return product.permute(0, 3, 1, 2)
