"""What the engine is compared with: the network patch by patch, as it was released and as a practitioner runs it.

Released: every position of the grid, also of the background, is cut out and computed; the network is eager, with its
batch normalizations, in NCHW, and wholly in half precision on a GPU.  The authors' program needs a GPU; on a CPU this
is the same in float32, in the batches that a CPU is fastest with.  Its training draws four candidates for each patch of
a batch and keeps all that are accepted.  What it does was read from it; this is not its text.

A practitioner's: the same, batch normalization folded and channels last, two lines that everybody knows.

The released cutting takes index grids of 64 bits; here windows are indexed, which is faster.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from patch2loc.engine.choices import Device, Precision
from patch2loc.engine.precision import PRECISIONS
from patch2loc.network import patches
from patch2loc.network.location import PAPER_WIDTHS, LocationNetwork, for_inference
from patch2loc.network.training import CENTER, SPREAD, beta_nll

SLICE = 192 * 192  # patches
SLICES_AT_ONCE = 6  # on a GPU, as released; one where they would not fit
MEMORY_OF_SLICES = 40e9  # bytes
CANDIDATES = 4  # for each patch of a batch
Predict = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def at_once(device: Device) -> int:
    """Patches that are computed together."""
    if device == "cpu":
        return 1024
    memory = torch.cuda.get_device_properties(0).total_memory
    return SLICE * (SLICES_AT_ONCE if memory >= MEMORY_OF_SLICES else 1)


def plain(network: LocationNetwork) -> LocationNetwork:
    """A copy of the network as published: every convolution torch's own, NCHW."""
    copy = LocationNetwork(network.widths)
    copy.load_state_dict(network.state_dict())
    for module in copy.modules():
        if isinstance(module, nn.Conv2d):
            module.__class__ = nn.Conv2d
    return copy.to(memory_format=torch.contiguous_format).eval()


def released(network: LocationNetwork, device: Device, precision: Precision, patch: int) -> Predict:
    """The released way: a function from a volume and voxels (n, 3) to mean and log-variance."""
    return patch_by_patch(plain(network).to(device, PRECISIONS[precision]), device, patch)


def practitioner(network: LocationNetwork, device: Device, precision: Precision, patch: int) -> Predict:
    """A practitioner's way: batch normalization folded into the layer before, channels last."""
    folded = for_inference(plain(network)).to(device, PRECISIONS[precision])
    return patch_by_patch(folded.to(memory_format=torch.channels_last), device, patch)


def patch_by_patch(network: LocationNetwork, device: Device, patch: int) -> Predict:
    """Predictions of patches that are cut out by indexing, one batch after the other."""
    dtype, batch = next(network.parameters()).dtype, at_once(device)

    @torch.inference_mode()
    def predict(volume: np.ndarray, voxels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        padded = patches.pad_slices(torch.from_numpy(volume).permute(2, 0, 1), patch).to(device, dtype)
        outputs = []
        for part in torch.from_numpy(voxels).split(batch):
            x, y, z = part.to(device).T
            cut = patches.cut(padded, z, x, y, patch=patch)
            outputs.append(network(cut, patches.location(z, volume.shape[2])))
        mean, log_variance = (
            torch.cat(output).float().cpu().numpy() for output in zip(*outputs, strict=True)
        )
        return mean, log_variance

    return predict


def training_steps(
    scans: list[tuple[np.ndarray, np.ndarray]],
    batch: int,
    device: Device,
    patch: int,
    widths: tuple[int, ...] = PAPER_WIDTHS,
) -> Iterator[int]:
    """One training step of the released way after another, float32 and eager; the patches that each took.

    All scans are on the device, as the released program's are not: it sends a slice of each through its loader.

    Args:
        scans: Volumes and masks, (x, y, z).
        batch: Of which CANDIDATES times as many are drawn and cut.
        device: Device to train on.
        patch: Width of a patch, voxels.
        widths: Of the network.
    """
    slices, masks = (
        torch.stack([torch.from_numpy(scan[part]).permute(2, 0, 1) for scan in scans]).to(device)
        for part in (0, 1)
    )
    subjects, depth, width, height = slices.shape
    network = plain(LocationNetwork(widths)).to(device).train()
    optimizer = torch.optim.Adam(network.parameters())
    center, spread = CENTER.to(device), SPREAD.to(device)

    def uniform(end: int, count: int) -> Tensor:
        return torch.randint(end, (count,), device=device)

    count = CANDIDATES * batch
    while True:
        every, z = torch.arange(subjects, device=device), uniform(depth, subjects)
        subject, x, y = uniform(subjects, count), uniform(width, count), uniform(height, count)
        brain = patches.cut(patches.pad_slices(masks[every, z], patch), subject, x, y, patch=patch)
        kept = brain.float().mean((1, 2, 3)) >= patches.MINIMUM_BRAIN_FRACTION
        subject, x, y = subject[kept], x[kept], y[kept]
        cut = patches.cut(patches.pad_slices(slices[every, z], patch), subject, x, y, patch=patch)
        place = torch.stack([patches.location(x, width), patches.location(y, height)], dim=1)
        mean, log_variance = network(cut, patches.location(z[subject], depth))
        loss = beta_nll(mean, log_variance, (place - center) / spread)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield len(cut)
