"""The reference outputs of the published network, and weights that they were made with.

They begin at arrays, so they cannot see how a brain lies in these: for axes and crop, see network/test_lightning.py.
"""

import zlib

import numpy as np
import pytest
import torch
from repository_paths import SHARED
from torch import nn

from patch2loc.network import patches

GOLDEN = SHARED / "golden/network_reference.npz"
needs_golden = pytest.mark.skipif(
    not GOLDEN.exists(), reason=f"reference outputs of the published network not at {GOLDEN}"
)


def golden_weights(network):
    """The rule of the reference outputs: every weight from its name and place."""
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        shift = zlib.crc32(f"golden-a:{name}".encode()) % 100003
        wave = np.sin(0.7390851332151607 * np.arange(value.numel()) + 0.001 * shift).reshape(value.shape)
        if name.endswith("running_mean") or name.endswith("bias"):
            filled = 0.1 * wave
        elif name.endswith("running_var"):
            filled = 1 + 0.5 * np.abs(wave)
        elif value.ndim == 1:
            filled = 1 + 0.2 * wave
        else:
            filled = 1.5 * wave * np.sqrt(2 / np.prod(value.shape[1:]))
        value.copy_(torch.from_numpy(filled))
    return network.eval()


def assert_golden(network: nn.Module, count: int) -> None:
    """The network gives the reference outputs on `count` random patches."""
    reference = np.load(GOLDEN)
    rng = np.random.default_rng(0)
    index, x, y = rng.integers(2, size=count), *rng.integers(192, size=(2, count))
    padded = patches.pad_slices(torch.from_numpy(reference["image"]), 24)
    cut = patches.cut(padded, *map(torch.from_numpy, (index, x, y)), patch=24)
    place = patches.location(torch.from_numpy(reference["slice_index"])[index], int(reference["n_slices"]))
    with torch.no_grad():
        mean, log_variance = network(cut, place)
    for found, name in ((mean, "mean"), (log_variance, "logvar")):
        expected = reference[name][index, x, y]
        assert np.linalg.norm(found.numpy() - expected) / np.linalg.norm(expected) < 1e-5
