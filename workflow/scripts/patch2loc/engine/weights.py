"""Weights of networks, to a model's state and back."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def weights_of(network: nn.Module) -> dict[str, np.ndarray]:
    """A network's weights as arrays, for a model's state."""
    return {name: value.cpu().numpy() for name, value in network.state_dict().items()}


def with_weights(network: Network, weights: Mapping[str, np.ndarray], device: str) -> Network:
    """The network with weights of a model's state, in evaluation mode, on a device."""
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return network.eval().to(device)
