"""What the engine is compared with: the published network, patch by patch, on batches that the host cuts out."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from patch2loc.engine.precision import PRECISIONS
from patch2loc.network import patches
from patch2loc.network.location import LocationNetwork, SmallConv2d
from patch2loc.network.training import CENTER, SPREAD, beta_nll

GRID, PATCH = (192, 192, 100), 24
AT_ONCE = {"cpu": 1024, "cuda": 16384}  # patches


def published(network: LocationNetwork) -> LocationNetwork:
    """A copy of the network as published: every convolution torch's own."""
    plain = LocationNetwork(network.widths).to(next(network.parameters()).device)
    plain.load_state_dict(network.state_dict())
    for module in plain.modules():
        if isinstance(module, SmallConv2d):
            module.__class__ = nn.Conv2d
    return plain.eval()


def straightforward(
    network: LocationNetwork, volume: np.ndarray, where: str, precision: str, patch: int = PATCH
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """A function from voxels (n, 3) to mean and log-variance, patch by patch."""

    @torch.inference_mode()
    def score(voxels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        padded = patches.pad_slices(torch.from_numpy(volume).permute(2, 0, 1), patch).to(where)
        outputs = []
        for part in torch.from_numpy(voxels).split(AT_ONCE[where]):
            x, y, z = part.to(where).T
            cut = patches.cut(padded, z, x, y, patch=patch)
            with torch.autocast(where, PRECISIONS[precision], enabled=precision != "float32"):
                outputs.append(network(cut, patches.location(z, volume.shape[2])))
        return tuple(torch.cat(output).float().cpu().numpy() for output in zip(*outputs, strict=True))

    return score


def host_batches(scans: list[tuple[np.ndarray, np.ndarray]]) -> Callable[[int], tuple[torch.Tensor, ...]]:
    """Batches as a data loader gives them: candidates by rejection and patches by indexing, in numpy."""
    half = PATCH // 2
    padded = [np.pad(volume, ((half, half), (half, half), (0, 0))) for volume, _ in scans]
    shares = [np.pad(mask, ((half, half), (half, half), (0, 0))) for _, mask in scans]
    random = np.random.default_rng(0)

    def batch(size: int) -> tuple[torch.Tensor, ...]:
        slices = random.integers(GRID[2], size=len(scans))
        found: list[np.ndarray] = []
        places: list[tuple[int, int, int]] = []
        while len(found) < size:
            subject, x, y = (int(random.integers(n)) for n in (len(scans), *GRID[:2]))
            z = slices[subject]
            window = np.s_[x : x + PATCH, y : y + PATCH, z]
            if shares[subject][window].mean() >= patches.MINIMUM_BRAIN_FRACTION:
                found.append(padded[subject][window])
                places.append((x, y, z))
        cut = torch.from_numpy(np.stack(found))[:, None]
        place = 100 * torch.tensor(places) / torch.tensor(GRID)
        return cut, place[:, :2], place[:, 2]

    return batch


def host_step(host: Callable[[int], tuple[torch.Tensor, ...]], size: int, where: str) -> Iterator[None]:
    """One training step of the published network after another, in float32."""
    network = published(LocationNetwork().to(where)).train()
    optimizer = torch.optim.Adam(network.parameters())
    offset, scale = CENTER.to(where), SPREAD.to(where)
    while True:
        cut, place, slice_location = (part.to(where) for part in host(size))
        mean, log_variance = network(cut, slice_location)
        loss = beta_nll(mean, log_variance, (place - offset) / scale)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield
