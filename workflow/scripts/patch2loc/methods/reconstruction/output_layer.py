"""The last layer of a network whose output is subtracted from a slice."""

import torch
from torch import Tensor, nn


class OutputConv2d(nn.Conv2d):
    """A convolution that is computed in float32 where the layers before it have half precision.

    bfloat16 has steps of 0.002 to 0.004 near 1: a residual would have them, too.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (n, channels, x, y) in any precision to float32."""
        with torch.autocast(maps.device.type, enabled=False):
            return super().forward(maps.float())
