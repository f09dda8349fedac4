"""Convolution, bias, residual and ReLU of a residual block in one kernel of cuDNN."""

import warnings
from typing import cast

import torch
from torch import Tensor, nn

from patch2loc.network.resnet import BasicBlock

SMALLEST = 3  # voxels along an axis of maps that are convolved; below, `SmallConv2d` is a product of matrices


class FusedBlock(nn.Module):
    """A residual block whose normalizations are folded into its convolutions, for inference on a GPU.

    What cuDNN refuses to compute in one kernel, which depends on its version and the GPU, is computed in several from
    then on, with a warning: the same numbers but for rounding.

    Args:
        block: From `for_inference`.
    """

    def __init__(self, block: BasicBlock) -> None:
        super().__init__()
        self.conv1, self.conv2 = block.conv1, block.conv2
        self.downsample = block.downsample
        self.is_fused = True

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block: (n, channels, h, w) -> (n, out_channels, h', w')."""
        residual = x if self.downsample is None else self.downsample(x)
        return self._convolved(self.conv2, self._convolved(self.conv1, x), residual)

    def _convolved(self, convolution: nn.Conv2d, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """The convolution of x, plus a residual where there is one, and the ReLU of that."""
        if not self.is_fused or max(x.shape[2:]) < SMALLEST:
            return _in_steps(convolution, x, residual)
        try:
            return _in_one_kernel(convolution, x, residual)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
        # Raises what has another cause, such as too little memory, as the fused one did.
        result = _in_steps(convolution, x, residual)
        self.is_fused = False
        warnings.warn(
            f"cuDNN refuses a convolution with its ReLU in one kernel ({reason}); they are computed one after the "
            "other: the same numbers but for rounding, but slower",
            RuntimeWarning,
            stacklevel=2,
        )
        return result


def _in_steps(convolution: nn.Conv2d, x: Tensor, residual: Tensor | None) -> Tensor:
    product: Tensor = convolution(x)
    return (product if residual is None else product.add_(residual)).relu_()


def _in_one_kernel(convolution: nn.Conv2d, x: Tensor, residual: Tensor | None) -> Tensor:
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
