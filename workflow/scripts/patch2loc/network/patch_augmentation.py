"""Random changes of training patches, so that a network does not learn one scanner: contrast, pose, edge of the brain.

The ranges were set in advance, from how scanners, sequences of one contrast, registrations and brain masks differ, not
from results on lesions.  No change moves the center of a patch, so that locations stay true.
"""

import math
from collections.abc import Collection

import torch
from torch import Tensor
from torch.nn import functional

from patch2loc.network.leveling import DARKEST

CHANCE = 0.5  # of each change in each patch
LOG_GAMMA = 0.4
GAIN = 0.15  # around 1
SHADING = 0.1  # greatest change of the gain from the center of a patch to its edges, along each axis
NOISE = 0.05  # greatest standard deviation; 1 is the 98th percentile of the brain
ANGLE = math.radians(10)
LOG_SIZE = 0.1  # of the tissue, along each axis
# Of a patch's side, at each of its edges: what a turned and shrunken patch shows besides.
MARGIN = (math.cos(ANGLE) + math.sin(ANGLE)) * math.exp(LOG_SIZE) / 2 - 0.5


def margin(changes: Collection[str], patch: int) -> int:
    """Voxels that have to be cut beyond each edge of a patch, of `patch` voxels, for changes."""
    return math.ceil(MARGIN * patch) if "pose" in changes else 0


def change_patches(
    patches: Tensor, generator: torch.Generator, changes: Collection[str], patch: int
) -> Tensor:
    """Change each patch in its own way.

    Args:
        patches: (n, 1, p + 2 m, p + 2 m) float32, m from `margin`; exactly 0 outside the brain.
        generator: Random numbers, on the device of the patches.
        changes: Some of pose, contrast and edge.
        patch: p, voxels.

    Returns:
        (n, 1, p, p), exactly 0 outside the brain.
    """
    brain = patches != 0  # of the scan, whatever a change makes of its tissue
    if "pose" in changes:
        patches, brain = change_pose(patches, brain, generator, margin(changes, patch))
    if "contrast" in changes:
        patches = change_contrast(patches, brain, generator)
    return change_edge(patches, brain, generator) if "edge" in changes else patches


def change_pose(
    patches: Tensor, brain: Tensor, generator: torch.Generator, reach: int
) -> tuple[Tensor, Tensor]:
    """Resize half of the patches by up to a tenth along each axis and turn them by up to 10 degrees.

    Their tissue turns around the voxel that the patch is centered on.

    Args:
        patches: (n, 1, q, q).
        brain: (n, 1, q, q) boolean.
        generator: Random numbers, on the device of the patches.
        reach: Voxels that are cut off at each edge afterwards.

    Returns:
        Patches and brain, (n, 1, q - 2 reach, q - 2 reach).
    """
    count, cut = len(patches), patches.shape[2]
    inner = slice(reach, cut - reach)
    angle = ANGLE * _uniform(patches, generator, -1, 1)[:, 0, 0, 0]
    size = torch.stack(
        [_uniform(patches, generator, -LOG_SIZE, LOG_SIZE).exp().flatten() for _ in "xy"], dim=1
    )
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1).view(count, 2, 2)
    offset = torch.arange(cut, device=patches.device, dtype=patches.dtype)[inner] - cut // 2
    offsets = torch.stack(torch.meshgrid(offset, offset, indexing="ij"), dim=2).flatten(0, 1)
    # Where each voxel's value comes from, in voxels from the center: (n, voxels, 2).
    source = (offsets @ turn) / size[:, None]
    grid = (2 * (source + cut // 2) / (cut - 1) - 1).view(count, len(offset), len(offset), 2)

    def sampled(maps: Tensor) -> Tensor:
        # Columns come first in the grid of grid_sample.
        return functional.grid_sample(maps, grid.flip(3), align_corners=True)

    posed_brain = sampled(brain.float()) > 0.5
    posed = sampled(patches) * posed_brain
    happens = _uniform(patches, generator, 0, 1) < CHANCE
    return (
        torch.where(happens, posed, patches[:, :, inner, inner]),
        torch.where(happens, posed_brain, brain[:, :, inner, inner]),
    )


def change_edge(patches: Tensor, brain: Tensor, generator: torch.Generator) -> Tensor:
    """Remove from half of the patches, (n, 1, p, p), the voxels of the brain (boolean) that touch its outside."""
    outside = functional.max_pool2d((~brain).float(), 3, stride=1, padding=1)
    happens = _uniform(patches, generator, 0, 1) < CHANCE
    return torch.where(happens & (outside > 0), 0.0, patches)


def cover_some(patches: Tensor, generator: torch.Generator) -> Tensor:
    """Cover the middle of half of the patches, (n, 1, p, p).

    After every other change: a covered voxel would be taken for one outside the brain.
    """
    happens = _uniform(patches, generator, 0, 1) < CHANCE
    return torch.where(happens, cover_middle(patches), patches)


def cover_middle(patches: Tensor) -> Tensor:
    """Set the middle of patches, (n, 1, p, p), to 0: p // 2 voxels along each axis around the voxel at their center."""
    side = patches.shape[2]
    begin = side // 2 - side // 4
    middle = slice(begin, begin + side // 2)
    covered = patches.clone()
    covered[:, :, middle, middle] = 0
    return covered


def change_contrast(patches: Tensor, brain: Tensor, generator: torch.Generator) -> Tensor:
    """Change the contrast of patches.

    In turn, each with a chance of one half: gamma, gain, linear shading, blur by a share of a 3 x 3 binomial kernel,
    Gaussian noise.

    Args:
        patches: (n, 1, p, p).
        brain: (n, 1, p, p) boolean.
        generator: Random numbers, on the device of the patches.

    Returns:
        (n, 1, p, p), at least DARKEST in the brain and 0 outside.
    """
    device, sides = patches.device, patches.shape[2:]

    def uniform(low: float, high: float) -> Tensor:
        return _uniform(patches, generator, low, high)

    def sometimes(amount: Tensor) -> Tensor:
        return torch.where(uniform(0, 1) < CHANCE, amount, 0.0)

    x, y = (torch.linspace(-1, 1, side, device=device) for side in sides)
    shading = sometimes(uniform(-SHADING, SHADING)) * x[:, None] + sometimes(uniform(-SHADING, SHADING)) * y
    changed = patches.clamp(min=DARKEST) ** sometimes(uniform(-LOG_GAMMA, LOG_GAMMA)).exp()
    changed = changed * (1 + sometimes(uniform(-GAIN, GAIN))) * (1 + shading)
    changed = torch.lerp(changed, _blurred(changed, brain), sometimes(uniform(0, 1)))
    noise = torch.randn(patches.shape, generator=generator, device=device)
    return (changed + sometimes(uniform(0, NOISE)) * noise).clamp(min=DARKEST) * brain


def _uniform(patches: Tensor, generator: torch.Generator, low: float, high: float) -> Tensor:
    """A random number for each patch, (n, 1, 1, 1)."""
    share = torch.rand(len(patches), 1, 1, 1, generator=generator, device=patches.device)
    return low + (high - low) * share


def _blurred(patches: Tensor, brain: Tensor) -> Tensor:
    """Weighted mean of the brain among the 3 x 3 neighbors of each voxel: edges of the brain do not darken."""
    # Made on the device: a list of numbers would be copied there, for which the host waits.
    side = 2.0 - torch.arange(-1, 2, device=patches.device).abs()  # 1, 2, 1
    kernel = (side[:, None] * side / 16)[None, None]
    weight = functional.conv2d(brain.float(), kernel, padding=1)
    return functional.conv2d(patches * brain, kernel, padding=1) / weight.clamp(min=1e-6)
