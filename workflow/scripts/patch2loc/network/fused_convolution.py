"""Convolution, bias, residual and ReLU of a residual block in one kernel of cuDNN."""

from typing import cast

import torch
from torch import Tensor, nn

from patch2loc.network.resnet import BasicBlock

SMALLEST = 3  # voxels along an axis of maps that are convolved; below, `SmallConv2d` is a product of matrices


class FusedBlock(nn.Module):
    """A residual block whose normalizations are folded into its convolutions, for inference on a GPU.

    Args:
        block: From `for_inference`.
    """

    def __init__(self, block: BasicBlock) -> None:
        super().__init__()
        self.conv1, self.conv2 = block.conv1, block.conv2
        self.downsample = block.downsample

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block: (n, channels, h, w) -> (n, out_channels, h', w')."""
        residual = x if self.downsample is None else self.downsample(x)
        return _convolved(self.conv2, _convolved(self.conv1, x), residual)


def _convolved(convolution: nn.Conv2d, x: Tensor, residual: Tensor | None = None) -> Tensor:
    """The convolution of x, plus a residual where there is one, and the ReLU of that."""
    if max(x.shape[2:]) < SMALLEST:
        product: Tensor = convolution(x)
        return (product if residual is None else product.add_(residual)).relu_()
    weight, bias, groups = convolution.weight, convolution.bias, convolution.groups
    stride, padding, dilation = (
        cast(tuple[int, int], pair)
        for pair in (convolution.stride, convolution.padding, convolution.dilation)
    )
    if residual is None:
        return torch.cudnn_convolution_relu(x, weight, bias, stride, padding, dilation, groups)
    return torch.cudnn_convolution_add_relu(x, weight, residual, 1.0, bias, stride, padding, dilation, groups)


def with_fused_convolutions(layers: nn.Sequential) -> None:
    """Replace, in place, the blocks of a network's layers."""
    for layer in layers:
        for name, block in list(layer.named_children()):
            setattr(layer, name, FusedBlock(cast(BasicBlock, block)))
