"""3 x 3 convolutions on maps of 2 x 2 and 4 x 4 voxels with fewer multiplications (Winograd 1980; Lavin and Gray 2016).

Along one axis the outputs are sums @ ((kernel combinations) * (input combinations)): 3 products instead of 4 for two
outputs, 6 instead of 10 for four.  Combining costs additions, which pay from about a hundred channels on.
"""

import numpy as np
import torch
from torch import Tensor, nn

POINTS = (0, 1, -1, 2, -2)  # where the polynomials of four outputs are evaluated, besides infinity
SIZES = (2, 4)
FEWEST_CHANNELS = 96


def algorithm(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bilinear algorithm for convolving with a kernel of 3 along one axis of a map with a zero at either end.

    Args:
        size: Size of the map, 2 or 4.

    Returns:
        Combinations of the inputs (k, size), combinations of the kernel (k, 3), and sums of the products (size, k).
    """
    if size == 2:  # Karatsuba
        return (
            np.array([[1.0, 1], [0, 1], [1, 0]]),
            np.array([[0.0, 1, 0], [0, -1, 1], [1, -1, 0]]),
            np.array([[1.0, 1, 0], [1, 0, 1]]),
        )
    # Products of polynomials by their values at points (Toom and Cook), transposed.
    inputs, kernel, sums = np.zeros((6, 6)), np.zeros((6, 3)), np.zeros((4, 6))
    for row, point in enumerate(POINTS):
        others = [other for other in POINTS if other != point]
        inputs[row, :-1] = np.poly(others)[::-1]
        kernel[row] = point ** np.arange(3.0) / np.prod(np.subtract(point, others))
        sums[:, row] = point ** np.arange(4.0)
    inputs[-1] = np.poly(POINTS)[::-1]
    kernel[-1, -1] = sums[-1, -1] = 1
    return inputs[:, 1:-1], kernel, sums  # the first input and the last are the zeros


class FastConv2d(nn.Module):
    """A convolution of stride 1 and padding 1 on maps of one size, for inference in float32.

    Args:
        convolution: 3 x 3, with bias.
        size: Size of the maps, one of SIZES.
    """

    weight: Tensor
    inputs: Tensor
    sums: Tensor
    bias: Tensor

    def __init__(self, convolution: nn.Conv2d, size: int) -> None:
        super().__init__()
        inputs, kernel, sums = map(torch.from_numpy, algorithm(size))
        weight = torch.einsum("ak,bl,oikl->abio", kernel, kernel, convolution.weight.double())
        self.size = size
        self.register_buffer("weight", weight.flatten(0, 1).float().contiguous())
        self.register_buffer("inputs", torch.kron(inputs, inputs).float())
        self.register_buffer("sums", torch.kron(sums, sums).float())
        self.register_buffer("bias", convolution.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve maps: (n, channels, size, size) -> (n, out_channels, size, size), both channels last."""
        voxels = x.permute(0, 2, 3, 1).flatten(1, 2)
        combined = torch.matmul(self.inputs, voxels).transpose(0, 1)
        products = torch.bmm(combined, self.weight).transpose(0, 1)
        outputs = torch.matmul(self.sums, products).add_(self.bias)
        return outputs.view(len(x), self.size, self.size, outputs.shape[2]).permute(0, 3, 1, 2)


def with_fast_convolutions(layers: nn.Module, example: Tensor) -> None:
    """Replace, in place, the convolutions that `FastConv2d` computes faster.

    Args:
        layers: Network or part of one.
        example: An input of the layers, which tells the sizes of their maps.
    """
    sizes: dict[nn.Conv2d, tuple[int, ...]] = {}

    def record_size(convolution: nn.Conv2d, inputs: tuple[Tensor], _output: Tensor) -> None:
        sizes[convolution] = tuple(inputs[0].shape[2:])

    convolutions = [module for module in layers.modules() if isinstance(module, nn.Conv2d)]
    hooks = [module.register_forward_hook(record_size) for module in convolutions]
    with torch.inference_mode():
        layers(example)
    for hook in hooks:
        hook.remove()
    for parent in list(layers.modules()):
        for name, child in list(parent.named_children()):
            if not isinstance(child, nn.Conv2d) or child.kernel_size != (3, 3) or child.stride != (1, 1):
                continue
            height, width = sizes[child]
            if height == width and height in SIZES and child.in_channels >= FEWEST_CHANNELS:
                setattr(parent, name, FastConv2d(child, height))
