"""Convolutions of a patch's small maps with fewer multiplications, for inference on a processor in float32.

Two rewritings, both exact but for rounding:

- `FastConv2d` combines inputs and kernel so that sums of fewer products give the same outputs (Winograd 1980; Lavin
  and Gray 2016): along one axis 3 products instead of 4 for two outputs, 6 instead of 10 for four.  Combining costs
  additions, which pay from about a hundred channels on.
- `WindowConv2d` multiplies each output's window without the zeros of the padding around the map.

Both compute voxels first, (height, width, n, channels): then all patches are the rows of one matrix product for each
combination or window, and nothing is transposed between two layers.  The maps that they take and return have torch's
shape, (n, channels, height, width), in any layout.
"""

from itertools import product

import numpy as np
import torch
from torch import Tensor, nn

POINTS = (0, 1, -1, 2, -2)  # where the polynomials of four outputs are evaluated, besides infinity
SIZES = (2, 4)
FEWEST_CHANNELS = 96
COMBINED_MB = 2.5  # of combined inputs at once: about what the caches of one core hold


def algorithm(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bilinear algorithm for convolving with a kernel of 3 along one axis of a map with a zero at either end.

    Along the axis, outputs = sums @ ((kernel @ weights) * (inputs @ map)).

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
    """A convolution of stride 1 and padding 1 on maps of one size.

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
        dtype = convolution.weight.dtype
        self.size = size
        self.register_buffer("weight", weight.flatten(0, 1).to(dtype).contiguous())
        self.register_buffer("inputs", torch.kron(inputs, inputs).to(dtype))
        self.register_buffer("sums", torch.kron(sums, sums).to(dtype))
        self.register_buffer("bias", convolution.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve maps: (n, channels, size, size) -> (n, out_channels, size, size)."""
        combinations, channels, out_channels = self.weight.shape
        voxels = x.permute(2, 3, 0, 1).flatten(0, 1)
        outputs = x.new_empty((self.size**2, len(x), out_channels))
        at_once = max(1, int(COMBINED_MB * 1e6 / (combinations * channels * x.itemsize)))
        for begin in range(0, len(x), at_once):
            part, found = (maps[:, begin : begin + at_once] for maps in (voxels, outputs))
            combined = (self.inputs @ part.flatten(1)).view(combinations, -1, channels)
            products = torch.bmm(combined, self.weight).flatten(1)
            torch.add((self.sums @ products).view_as(found), self.bias, out=found)
        return outputs.view(self.size, self.size, *outputs.shape[1:]).permute(2, 3, 0, 1)


class WindowConv2d(nn.Module):
    """A convolution of maps of one size as a matrix product for each output, without the padding's zeros.

    Args:
        convolution: 3 x 3 with padding 1, or 1 x 1 without; with bias.
        size: Size of the maps.
    """

    bias: Tensor

    def __init__(self, convolution: nn.Conv2d, size: int) -> None:
        super().__init__()
        step, width = convolution.stride[0], convolution.kernel_size[0]
        margin = width // 2
        begins = range(-margin, size + margin - width + 1, step)
        # Along one axis: what each output sees of the map, and by which part of the kernel.
        seen = [slice(max(0, begin), min(size, begin + width)) for begin in begins]
        taps = [
            slice(part.start - begin, part.stop - begin) for begin, part in zip(begins, seen, strict=True)
        ]
        kernel = convolution.weight.permute(2, 3, 1, 0)
        self.size = len(begins)  # of the outputs
        self.windows = list(product(seen, seen))
        weights = [kernel[part].flatten(0, 2).contiguous() for part in product(taps, taps)]
        self.weights = nn.ParameterList(nn.Parameter(weight, requires_grad=False) for weight in weights)
        self.register_buffer("bias", convolution.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve maps: (n, channels, size, size) -> (n, out_channels, outputs, outputs)."""
        voxels = x.permute(2, 3, 0, 1)
        outputs = x.new_empty((self.size**2, len(x), len(self.bias)))
        for window, weight, output in zip(self.windows, self.weights, outputs, strict=True):
            seen = torch.cat(list(voxels[window].flatten(0, 1)), dim=1)
            torch.addmm(self.bias, seen, weight, out=output)
        return outputs.view(self.size, self.size, *outputs.shape[1:]).permute(2, 3, 0, 1)


def with_fast_convolutions(layers: nn.Module, example: Tensor) -> None:
    """Replace, in place, the convolutions that `FastConv2d` or `WindowConv2d` compute faster.

    Args:
        layers: Network or part of one, whose maps are square.
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
    # By benchmarks/convolutions.py (one thread, AVX-512, paper's widths; processor time of what training uses over that
    # of these): FastConv2d 1.2 on 4 x 4 and 1.5 on 2 x 2 voxels, WindowConv2d 1.2 from 4 x 4 to 2 x 2.  The rest gains
    # nothing: on 7 x 7 voxels combining costs as much as 121 products for 361 save; on one voxel nothing is left out.
    for parent in list(layers.modules()):
        for name, child in list(parent.named_children()):
            if not isinstance(child, nn.Conv2d):
                continue
            (size, _), step = sizes[child], child.stride[0]
            many = child.kernel_size == (3, 3) and child.in_channels >= FEWEST_CHANNELS
            if step == 1 and size in SIZES and many:
                setattr(parent, name, FastConv2d(child, size))
            elif step == 2 and size in (3, 4):
                setattr(parent, name, WindowConv2d(child, size))
