"""Weights of networks, to a model's state and back."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from patch2loc.engine.choices import Device
from patch2loc.errors import InputError

Network = TypeVar("Network", bound=nn.Module)
NAMED = 3  # in one message, as names of parameters


def weights_of(network: nn.Module) -> dict[str, np.ndarray]:
    """Copy a network's parameters and buffers to arrays, for a model's state."""
    return {name: value.cpu().numpy() for name, value in network.state_dict().items()}


def with_weights(network: Network, weights: Mapping[str, np.ndarray], device: Device) -> Network:
    """Load the weights of a model's state into a network; return it in evaluation mode, on the device.

    Raises:
        InputError: Weights are missing, unknown, or of another shape or type.
    """
    tensors = {name: torch.from_numpy(value) for name, value in weights.items()}
    expected = network.state_dict()
    problems = mismatches(tensors, expected) or [
        f"{name} has {str(value.dtype).removeprefix('torch.')} instead of "
        f"{str(expected[name].dtype).removeprefix('torch.')} numbers"
        for name, value in tensors.items()
        if value.dtype != expected[name].dtype  # they would be converted without a word
    ]
    if problems:
        raise InputError(
            f"weights of another network found ({first(problems)}), those of {type(network).__name__} as the "
            "description of the model says expected; train it again or get it again"
        )
    network.load_state_dict(tensors)
    return network.eval().to(device)


def mismatches(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], prefix: str = "") -> list[str]:
    """What is missing, unknown, or of another shape, in words.

    Args:
        found: Weights by name.
        expected: Those of the network, which may be on the device "meta".
        prefix: Of the names in messages.
    """
    missing, unknown = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    problems = []
    if missing:
        problems.append(f"without {_some(missing, prefix)}")
    if unknown:
        problems.append(f"with {_some(unknown, prefix)}, which the network does not have")
    for name in sorted(expected.keys() & found.keys()):
        shapes = tuple(found[name].shape), tuple(expected[name].shape)
        if shapes[0] != shapes[1]:
            problems.append(f"{prefix}{name} has the shape {shapes[0]} instead of {shapes[1]}")
    return problems


def first(problems: list[str]) -> str:
    """The first problems in words, and how many more there are."""
    more = f"; and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
    return "; ".join(problems[:NAMED]) + more


def _some(names: list[str], prefix: str) -> str:
    """The first names in words, and how many more there are."""
    listed = ", ".join(f"{prefix}{name}" for name in names[:NAMED])
    return f"{listed} and {len(names) - NAMED} more" if len(names) > NAMED else listed
