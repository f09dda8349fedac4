"""Small location networks, their training data and the plain way to score, for tests that compare."""

from functools import cache

import numpy as np
import pandas as pd
import torch
from scans import located_scans

from patch2loc.engine.weights import weights_of
from patch2loc.network import patches
from patch2loc.network.location import LocationNetwork
from patch2loc.network.sampling import PatchPool
from patch2loc.network.training import Settings


def randomized(network):
    """Weights and running statistics that no layer leaves without effect."""
    generator = torch.Generator().manual_seed(1)
    for name, value in network.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(1 + torch.rand(value.shape, generator=generator))
        elif value.is_floating_point() and value.ndim == 1:
            value.copy_(0.5 + 0.3 * torch.randn(value.shape, generator=generator))
    return network.eval()


@cache
def untrained_state(widths, patch):
    """State of a model of patch2loc as it is before its training."""
    torch.manual_seed(3)
    return {"weights": weights_of(LocationNetwork(widths)), "widths": list(widths), "patch": patch}


SETTINGS = Settings(
    widths=(4, 4, 8, 8),
    patch=8,
    patches=64 * 12,
    batch=64,
    learning_rate=0.01,
    schedule="one_cycle",
    validation_patches=96,
    validations=4,
    seed=1,
)


def cohort(subjects, seed=0, shape=(24, 20, 5)):
    """Patches of scans whose intensity tells the place, with some noise."""
    return PatchPool(located_scans(subjects, seed, shape, np.s_[3:21, 3:17, 1:4]), 8, "cpu")


def patch_by_patch(volume, voxels, network, patch):
    """Straight from the definitions: every patch cut out and given to the network as published."""
    padded = patches.pad_slices(torch.from_numpy(volume).permute(2, 0, 1), patch)
    x, y, z = torch.from_numpy(voxels).T
    with torch.no_grad():
        mean, log_variance = network(
            patches.cut(padded, z, x, y, patch=patch), patches.location(z, volume.shape[2])
        )
    return mean.numpy(), log_variance.numpy()


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


class Killed(Exception):
    pass


def same_training(first, second):
    (network, history), (other, other_history) = first, second
    untimed = [pd.DataFrame(rows).drop(columns="patches_per_second") for rows in (history, other_history)]
    pd.testing.assert_frame_equal(*untimed, check_exact=True)
    for name, value in network.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
