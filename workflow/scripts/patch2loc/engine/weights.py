"""Weights of networks, to a model's state and back."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from patch2loc.engine.choices import Device

Network = TypeVar("Network", bound=nn.Module)


def weights_of(network: nn.Module) -> dict[str, np.ndarray]:
    """Copy a network's parameters and buffers to arrays, for a model's state."""
    return {name: value.cpu().numpy() for name, value in network.state_dict().items()}


def with_weights(network: Network, weights: Mapping[str, np.ndarray], device: Device) -> Network:
    """Load the weights of a model's state into a network; return it in evaluation mode, on the device."""
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return network.eval().to(device)
