"""Operations that a way executes for a patch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ways import Case, free_memory, predictor

if TYPE_CHECKING:
    from brains import Source

    from patch2loc.engine.choices import Device, Precision


def executed_operations(
    way: str, case: Case, source: "Source", voxels: np.ndarray, *, device: "Device", precision: "Precision"
) -> float:
    """Operations a patch, two for each multiplication that is executed with its addition.

    Counted by torch as they are called, so that those that Winograd's algorithm saves do not count.  Neither do
    products with zeros of padding, which a processor's convolutions leave out, nor what the counter does not know: a
    share of the machine's rate by this count is never too high.
    """
    import torch
    from brains import load
    from torch.utils.flop_counter import FlopCounterMode

    def fused(inputs: list[int], weight: list[int], *others: Any, out_shape: list[int]) -> int:
        stride, padding = others[-4:-2]
        return products_within(inputs, weight, stride, padding)

    def convolution(inputs: list[int], weight: list[int], _bias: object, *others: Any, **_shape: Any) -> int:
        return products_within(inputs, weight, *others[:2])

    fused_convolutions = (torch.ops.aten.cudnn_convolution_relu, torch.ops.aten.cudnn_convolution_add_relu)
    mapping = {torch.ops.aten.convolution: convolution, **dict.fromkeys(fused_convolutions, fused)}
    predict, threads = predictor(way, case, device, precision), torch.get_num_threads()
    torch.set_num_threads(1)  # the counter sees the operators of its own thread
    try:
        with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
            predict(load(source)[0], voxels)
    finally:
        torch.set_num_threads(threads)
    free_memory(device)
    return counter.get_total_flops() / len(voxels)


def products_within(
    inputs: Sequence[int], weight: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> int:
    """Operations of a convolution of maps (n, channels, h, w) that do not meet the zeros of its padding."""
    count = 2 * inputs[0] * weight[0] * weight[1]
    for size, kernel, step, margin in zip(inputs[2:], weight[2:], stride, padding, strict=True):
        begins = range(-margin, size + margin - kernel + 1, step)
        count *= sum(max(0, min(begin + kernel, size) - max(begin, 0)) for begin in begins)
    return count
