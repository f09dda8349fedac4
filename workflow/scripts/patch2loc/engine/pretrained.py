"""Networks with weights from elsewhere, read from files as they are published."""

import pickle
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from patch2loc.errors import InputError

Network = TypeVar("Network", bound=nn.Module)

# Errors of reading a file that is no state dict, or one of another network.
UNFIT = (
    *(OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError),
    *(TypeError, AttributeError),  # what was saved is no dictionary of arrays
)


def with_pretrained(network: Network, path: str | Path, prefix: str = "") -> Network:
    """Load pretrained weights into a network; return it frozen, in evaluation mode.

    Args:
        network: Network whose parts are named as in torchvision.
        path: State dict that torch.save wrote; no code in it is run.  It may hold more than the network, which is
            not read.
        prefix: Prefix of the names in the file, such as "features." for that part of a network.

    Raises:
        InputError: The file is no state dict, or weights of the network are missing or of another shape.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        names = [name for name in network.state_dict() if f"{prefix}{name}" in saved]
        network.load_state_dict({name: saved[f"{prefix}{name}"] for name in names})
    except UNFIT as error:
        raise InputError(
            f"{path}: {' '.join(str(error).split())[:300]} found, weights of {type(network).__name__} expected, as "
            "published; get the file again (docs/how-to/data.md)"
        ) from error
    return network.eval().requires_grad_(False)
