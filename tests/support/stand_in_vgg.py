"""A small VGG-19, for tests of what is trained by one."""

import torch
from torch import nn

from patch2loc.methods.reconstruction.inpainting import Vgg19


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def stand_in(width=2, seed=0):
    """A VGG-19 with few channels and random weights."""
    torch.manual_seed(seed)
    network = Vgg19((width,) * 5)
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight)  # as large as its output, at these widths
    return network.requires_grad_(False)
